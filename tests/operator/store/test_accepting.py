import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from snoop_operator.store.sql import SqlStore, open_sqlite
from snoop_report.model import Gap, GapCode, Identity, Kind, Outcome

NOW = 1000.0


async def test_what_an_agent_posts_is_what_the_report_holds(store: SqlStore, make: Any) -> None:
    odd = "/tmp/\udcff\\x41\n"
    posted = [
        make.seen("/bin/sh", "/usr/bin/dash", kinds=[Kind.EXECUTE, Kind.MAP]),
        make.seen("/etc/gone", "", Outcome.MISSING),
        make.seen(odd, volume=True),
        make.seen("/etc/x", "/#deleted", collapsed=True, executable=""),
    ]
    gap = Gap(GapCode.LATE_START, "late", 95.0, 2, "c1")
    delta = make.delta(1, make.container(*posted, events=7, dropped=1), gaps=[gap])
    await store.accept(make.key(), delta, {"c1": make.nginx}, NOW)

    report = await store.report("u1", NOW)
    assert report is not None
    (container,) = report.containers
    assert container.observations == {one.key: one for one in posted}
    assert container.files == sorted(["/bin/sh", "/usr/bin/dash", odd, "/etc/x"])
    assert (container.name, container.image, container.digest) == ("nginx", make.nginx.image, make.nginx.digest)
    assert (container.total_events, container.dropped_events, container.started_at) == (7, 1, 90.0)
    assert report.gaps == [gap]
    assert (report.namespace, report.pod_name, report.node) == ("shop", "web-1", "node-1")
    assert (report.agent.hooks, report.started_at, report.last_updated_at) == ("syscalls", 90.0, NOW)


async def test_what_any_run_of_the_agent_left_out_is_told(store: SqlStore, make: Any) -> None:
    async def told() -> tuple[tuple[str, ...], int]:
        report = await store.report("u1", NOW)
        assert report is not None
        return report.exclude, report.max_unique_files

    await store.accept(make.key(), make.delta(1), {}, NOW)
    assert await told() == ((), 0)
    await store.accept(make.key(), make.delta(2, exclude=["/proc/", "/tm\udcff/"], cap=100), {}, NOW)
    assert await told() == (("/proc/", "/tm\udcff/"), 100)
    for _ in range(2):
        await store.accept(make.key(), make.delta(1, boot="b2", exclude=["/proc/self/", "/dev/"], cap=50), {}, NOW)
    assert await told() == (("/dev/", "/proc/", "/tm\udcff/"), 50)


async def test_an_unknown_pod_has_no_report(store: SqlStore) -> None:
    assert await store.report("nobody", NOW) is None


async def test_the_same_path_seen_again_grows_in_kinds_and_time_and_keeps_who_was_first(
    store: SqlStore, make: Any
) -> None:
    later = make.seen("/etc/x", kinds=[Kind.READ], first=200, last=210, executable="/bin/b", volume=True)
    earlier = make.seen("/etc/x", kinds=[Kind.STAT], first=100, last=105, executable="/bin/a")
    await store.accept(make.key(), make.delta(1, make.container(later)), {}, NOW)
    await store.accept(make.key(), make.delta(2, make.container(earlier)), {}, NOW)
    report = await store.report("u1", NOW)
    assert report is not None
    (seen,) = report.containers[0].observations.values()
    assert seen == make.seen("/etc/x", kinds=[Kind.READ, Kind.STAT], first=100, last=210, executable="/bin/a")


async def test_a_target_that_was_once_a_name_counts_as_used_for_good(store: SqlStore, make: Any) -> None:
    real = make.seen("/a", "/b")
    deleted = make.seen("/a", "/b", collapsed=True)
    for sequence, seen in enumerate([deleted, real, deleted], 1):
        accepted = await store.accept(make.key(), make.delta(sequence, make.container(seen)), {}, NOW)
    assert accepted.files == {"c1": 2}


async def test_files_are_counted_as_the_report_counts_them(store: SqlStore, make: Any) -> None:
    container = make.container(
        make.seen("/bin/sh", "/usr/bin/dash"),
        make.seen("/usr/bin/dash"),
        make.seen("/gone", "", Outcome.MISSING),
        make.seen("/denied", "", Outcome.DENIED),
        make.seen("/only-asked", ""),
        make.seen("/asked", "/#inode", collapsed=True),
    )
    accepted = await store.accept(make.key(), make.delta(1, container), {}, NOW)
    assert accepted.files == {"c1": len(container.files)} == {"c1": 4}


async def test_a_replay_changes_nothing(store: SqlStore, make: Any) -> None:
    first = make.delta(1, make.container(make.seen("/a"), events=5), gaps=[Gap(GapCode.CAP_REACHED, "cap", 9.0, 3)])
    second = make.delta(2, make.container(make.seen("/b"), events=8))
    for delta in (first, second):
        await store.accept(make.key(), delta, {}, NOW)
    before = await store.report("u1", NOW)
    for delta in (first, second, first):
        assert not (await store.accept(make.key(), delta, {}, NOW)).resend
    assert await store.report("u1", NOW) == before


async def test_counters_are_absolute_within_a_run_of_the_agent_and_summed_over_runs(store: SqlStore, make: Any) -> None:
    for boot, sequence, events, dropped in [("b1", 1, 10, 1), ("b1", 2, 15, 1), ("b2", 1, 4, 0), ("b1", 2, 15, 1)]:
        delta = make.delta(sequence, make.container(events=events, dropped=dropped), boot=boot)
        await store.accept(make.key(), delta, {}, NOW)
    report = await store.report("u1", NOW)
    assert report is not None
    assert (report.total_events, report.dropped_events) == (19, 1)


async def test_gaps_keep_the_earliest_time_and_the_highest_count_with_its_words(store: SqlStore, make: Any) -> None:
    gaps = [
        Gap(GapCode.RECORDS_LOST, "3 lost", 20.0, 3, "c1"),
        Gap(GapCode.RECORDS_LOST, "1 lost", 10.0, 1, "c1"),
        Gap(GapCode.RECORDS_LOST, "of the pod", 15.0),
    ]
    for sequence, gap in enumerate(gaps, 1):
        await store.accept(make.key(), make.delta(sequence, gaps=[gap]), {}, NOW)
    report = await store.report("u1", NOW)
    assert report is not None
    assert report.gaps == [Gap(GapCode.RECORDS_LOST, "3 lost", 10.0, 3, "c1"), gaps[2]]


class TestResend:
    async def test_a_run_seen_from_its_first_delta_is_whole(self, store: SqlStore, make: Any) -> None:
        answers = [await store.accept(make.key(), make.delta(n), {}, NOW) for n in (1, 2, 3)]
        assert not any(one.resend for one in answers)

    async def test_a_new_store_asks_until_everything_was_sent_again(self, store: SqlStore, make: Any) -> None:
        async def post(sequence: int, full: bool = False) -> bool:
            return (await store.accept(make.key(), make.delta(sequence, full=full), {}, NOW)).resend

        assert await post(7)
        assert await post(7), "the answer may have been lost on the way"
        report = await store.report("u1", NOW)
        assert report is not None
        assert [gap.code for gap in report.gaps] == [GapCode.EVIDENCE_LOST]
        assert not await post(11, full=True), "the agent may skip the numbers of what it no longer sends"
        assert not await post(12, full=True)
        assert not await post(13)
        report = await store.report("u1", NOW)
        assert report is not None
        assert report.gaps == []

    async def test_everything_in_parts_is_whole_only_when_the_last_of_them_is_here(
        self, store: SqlStore, make: Any
    ) -> None:
        async def post(sequence: int, **more: Any) -> tuple[bool, list[GapCode]]:
            accepted = await store.accept(make.key(), make.delta(sequence, **more), {}, NOW)
            report = await store.report("u1", NOW)
            assert report is not None
            return accepted.resend, [gap.code for gap in report.gaps]

        lacking, whole = (True, [GapCode.EVIDENCE_LOST]), (False, [])
        assert await post(7) == lacking
        for part in (9, 10, 9, 10):
            assert await post(part, since=9, more=True) == lacking, "more is to come"
        assert await post(11, since=9) == whole
        assert await post(12) == whole
        assert await post(14) == lacking
        assert await post(11, since=9) == lacking, "a replay makes up for nothing that came after it"

    async def test_of_everything_in_parts_none_may_be_missing(self, store: SqlStore, make: Any) -> None:
        answers = [
            (await store.accept(make.key(), make.delta(sequence, since=9, more=sequence < 11), {}, NOW)).resend
            for sequence in (9, 11)
        ]
        assert answers == [True, True]

    async def test_the_rest_of_a_full_report_that_began_in_another_store_is_not_everything(
        self, store: SqlStore, make: Any
    ) -> None:
        assert (await store.accept(make.key(), make.delta(8, since=7), {}, NOW)).resend
        assert (await store.accept(make.key(), make.delta(9), {}, NOW)).resend

    async def test_a_store_restored_from_a_backup_asks_as_well(self, store: SqlStore, make: Any) -> None:
        await store.accept(make.key(), make.delta(1), {}, NOW)
        assert (await store.accept(make.key(), make.delta(5), {}, NOW)).resend

    async def test_what_an_earlier_run_of_the_agent_sent_only_to_another_store_stays_lost(
        self, store: SqlStore, make: Any
    ) -> None:
        await store.accept(make.key(), make.delta(4, boot="old"), {}, NOW)
        for sequence in (1, 2):
            await store.accept(make.key(), make.delta(sequence, boot="new", full=True), {}, NOW)
        report = await store.report("u1", NOW)
        assert report is not None
        assert GapCode.EVIDENCE_LOST in {gap.code for gap in report.gaps}


class TestBackup:
    async def test_that_was_put_back_is_noticed_by_what_agents_remember(
        self, store: SqlStore, file: Path, make: Any, tmp_path: Path
    ) -> None:
        """Live agents send again what is missing. Of pods that have ended meanwhile nobody can."""
        await store.note_pods([make.pod()])
        first = await store.accept(make.key(), make.delta(1), {}, NOW)
        backup = tmp_path / "backup.db"
        with sqlite3.connect(file) as source, sqlite3.connect(backup) as target:
            source.backup(target)
        source.close()
        target.close()
        await store.accept(make.key("u2"), make.delta(1, final=True), {}, NOW)
        last = await store.accept(make.key(), make.delta(2), {}, NOW)
        assert last.revision > first.revision
        assert (await store.evidence(make.profile(), NOW)).gaps == ()

        restored = await open_sqlite(backup, wait=0)
        try:
            assert restored.id == store.id
            for sequence in (3, 4):
                delta = replace(make.delta(sequence), store=store.id, revision=last.revision)
                assert (await restored.accept(make.key(), delta, {}, NOW + sequence)).resend
            (gap,) = (await restored.evidence(make.profile(), NOW + 5)).gaps
            assert (gap.code, gap.since) == (GapCode.EVIDENCE_LOST, NOW + 3)
            fresh = (await restored.evidence(make.profile("another"), NOW + 8 * 86400)).gaps
            assert fresh == (gap,), "it has pods of before"
        finally:
            await restored.close()

    async def test_another_stores_revision_says_nothing(self, store: SqlStore, make: Any) -> None:
        delta = replace(make.delta(1), store="another", revision=1000)
        await store.accept(make.key(), delta, {}, NOW)
        await store.note_pods([make.pod()])
        assert (await store.evidence(make.profile(), NOW)).gaps == ()


class TestIdentities:
    async def test_are_remembered_when_the_pods_status_has_forgotten_them(self, store: SqlStore, make: Any) -> None:
        await store.accept(make.key(), make.delta(1, make.container()), {"c1": make.nginx}, NOW)
        restarted = make.container(key="c2")
        accepted = await store.accept(make.key(), make.delta(2, restarted), {"c2": make.nginx}, NOW)
        assert accepted.identities == {"c1": make.nginx, "c2": make.nginx}

    async def test_an_unresolved_container_is_a_gap_as_long_as_it_stays_so(self, store: SqlStore, make: Any) -> None:
        await store.accept(make.key(), make.delta(1, make.container()), {}, NOW)
        report = await store.report("u1", NOW)
        assert report is not None
        assert [(gap.code, gap.container, gap.since) for gap in report.gaps] == [
            (GapCode.UNRESOLVED_CONTAINER, "c1", NOW)
        ]
        await store.note_pods([make.pod(containers={"c1": Identity("nginx", "nginx:1.27", "")})])
        report = await store.report("u1", NOW)
        assert report is not None
        assert report.gaps, "a name without a digest tells no image"
        await store.note_pods([make.pod(containers={"c1": make.nginx})])
        report = await store.report("u1", NOW)
        assert report is not None
        assert report.gaps == []

    async def test_the_agent_remembers_for_a_new_store_and_the_cluster_knows_better(
        self, store: SqlStore, make: Any
    ) -> None:
        container = make.container()
        container.name, container.image, container.digest = "nginx", "old:tag", "sha256:old"
        accepted = await store.accept(make.key(), make.delta(1, container), {}, NOW)
        assert accepted.identities["c1"].digest == "sha256:old"
        accepted = await store.accept(make.key(), make.delta(2, container), {"c1": make.nginx}, NOW)
        assert accepted.identities["c1"] == make.nginx
        accepted = await store.accept(make.key(), make.delta(3, container), {}, NOW)
        assert accepted.identities["c1"] == make.nginx


@pytest.mark.parametrize("pieces", [1, 4])
async def test_evidence_outlives_the_process(file: Path, make: Any, pieces: int) -> None:
    first = await open_sqlite(file, wait=0)
    for sequence in range(1, pieces + 1):
        container = make.container(make.seen(f"/{sequence}"), events=sequence)
        await first.accept(make.key(), make.delta(sequence, container), {"c1": make.nginx}, NOW)
    before = await first.report("u1", NOW)
    await first.close()
    second = await open_sqlite(file, wait=0)
    try:
        assert second.id == first.id
        assert first.fresh
        assert not second.fresh
        assert await second.report("u1", NOW) == before
    finally:
        await second.close()
