from dataclasses import replace
from typing import Any

import pytest

from snoop_operator.profile import Selector
from snoop_operator.store import unprofiled
from snoop_operator.store.interface import Unprofiled
from snoop_operator.store.sql import SqlStore
from snoop_report.model import Gap, GapCode

NOW = 1000.0
DAY = 86400.0


async def _gaps(store: SqlStore, now: float, uid: str = "u1") -> list[GapCode]:
    report = await store.report(uid, now)
    assert report is not None
    return [gap.code for gap in report.gaps]


class TestFinalReport:
    async def test_is_missing_thirty_seconds_after_a_pod_ended_without_it(self, store: SqlStore, make: Any) -> None:
        await store.accept(make.key(), make.delta(1), {}, NOW)
        await store.mark_ended("u1", NOW + 10)
        assert await _gaps(store, NOW + 40) == []
        assert await _gaps(store, NOW + 41) == [GapCode.FINAL_REPORT_MISSING]

    async def test_that_arrives_late_closes_the_gap(self, store: SqlStore, make: Any) -> None:
        await store.accept(make.key(), make.delta(1), {}, NOW)
        await store.mark_ended("u1", NOW)
        await store.accept(make.key(), make.delta(2, final=True), {}, NOW + 100)
        assert await _gaps(store, NOW + 100) == []

    async def test_of_an_earlier_run_of_the_agent_is_not_the_last(self, store: SqlStore, make: Any) -> None:
        await store.accept(make.key(), make.delta(1, boot="b1", final=True), {}, NOW)
        await store.accept(make.key(), make.delta(1, boot="b2"), {}, NOW)
        await store.mark_ended("u1", NOW)
        assert GapCode.FINAL_REPORT_MISSING in await _gaps(store, NOW + 60)

    async def test_is_missing_of_an_injected_pod_that_never_reported(self, store: SqlStore, make: Any) -> None:
        await store.note_pods([make.pod()])
        await store.mark_ended("u1", NOW)
        assert await _gaps(store, NOW + 60) == [GapCode.FINAL_REPORT_MISSING]

    async def test_is_not_owed_by_a_pod_that_never_had_a_node(self, store: SqlStore, make: Any) -> None:
        await store.note_pods([make.pod(node="", phase="Pending")])
        await store.mark_ended("u1", NOW)
        assert await _gaps(store, NOW + 60) == []

    async def test_is_not_owed_by_a_pod_without_an_agent(self, store: SqlStore, make: Any) -> None:
        await store.note_pods([make.pod(injected=False)])
        await store.mark_ended("u1", NOW)
        assert await store.report("u1", NOW) is None


class TestRestartsOfTheAgent:
    async def test_that_no_run_has_told_are_a_gap(self, store: SqlStore, make: Any) -> None:
        """The first run said goodbye; the second died before its first word, so nobody speaks of it but the kubelet."""
        await store.accept(make.key(), make.delta(1, final=True), {}, NOW)
        assert await _gaps(store, NOW) == []
        await store.note_pods([make.pod(agent_restarts=1)])
        await store.note_pods([make.pod(agent_restarts=0)])
        assert await _gaps(store, NOW) == [GapCode.AGENT_RESTARTED]

    async def test_are_seen_by_two_runs_that_report_where_neither_can_know_of_the_other(
        self, store: SqlStore, make: Any
    ) -> None:
        for boot in ("b1", "b2"):
            await store.accept(make.key(), make.delta(1, boot=boot, final=True), {}, NOW)
        assert await _gaps(store, NOW) == [GapCode.AGENT_RESTARTED]

    async def test_that_the_agent_tells_are_told_in_its_words(self, store: SqlStore, make: Any) -> None:
        await store.note_pods([make.pod(agent_restarts=1)])
        gap = Gap(GapCode.AGENT_RESTARTED, "the second run's words", NOW + 5)
        await store.accept(make.key(), make.delta(1, gaps=[gap]), {}, NOW)
        report = await store.report("u1", NOW)
        assert report is not None
        assert report.gaps == [gap]

    async def test_of_a_pod_that_never_reported_are_no_gap_of_evidence(self, store: SqlStore, make: Any) -> None:
        await store.note_pods([make.pod(agent_restarts=3)])
        assert await _gaps(store, NOW) == []


class TestContainersThatRan:
    async def test_and_that_no_report_names_are_a_gap_after_a_while(self, store: SqlStore, make: Any) -> None:
        await store.accept(make.key(), make.delta(1, make.container()), {"c1": make.nginx}, NOW)
        for _ in range(2):
            both = {"c1": make.nginx, "c2": make.nginx}
            await store.note_pods([make.pod(containers=both, ran={"c1": NOW, "c2": NOW + 10})])
        assert await _gaps(store, NOW + 40) == []
        report = await store.report("u1", NOW + 41)
        assert report is not None
        (gap,) = report.gaps
        assert (gap.code, gap.container, gap.since) == (GapCode.UNSEEN_CONTAINER, "c2", NOW + 10)
        assert "nginx" in gap.message
        (pod,) = (await store.evidence(make.profile(), NOW + 41)).pods
        assert [(one.id, one.name, one.files) for one in pod.containers] == [("c1", "nginx", 0), ("c2", "nginx", 0)]
        await store.accept(make.key(), make.delta(2, make.container(key="c2")), {}, NOW + 50)
        assert await _gaps(store, NOW + 50) == [], "it was late"

    async def test_are_owed_only_by_an_agent_that_reports(self, store: SqlStore, make: Any) -> None:
        await store.note_pods([make.pod(containers={"c1": make.nginx}, ran={"c1": NOW})])
        assert await _gaps(store, NOW + 60) == []

    async def test_and_those_that_never_did_are_told_apart(self, store: SqlStore, make: Any) -> None:
        await store.accept(make.key(), make.delta(1), {}, NOW)
        await store.note_pods([make.pod(containers={"c1": make.nginx})])
        assert await _gaps(store, NOW + 60) == []


class TestPodsWithoutLabels:
    async def test_that_report_are_a_gap_of_every_profile_of_their_namespace(self, store: SqlStore, make: Any) -> None:
        """Any of them may select the pod: its evidence must not vanish in silence."""
        await store.accept(make.key(), make.delta(1, make.container(make.seen("/a"))), {}, NOW)
        assert (await store.evidence(make.profile(), NOW + 15)).gaps == ()
        (gap,) = (await store.evidence(make.profile(), NOW + 16)).gaps
        assert (gap.code, gap.count, gap.since) == (GapCode.UNRESOLVED_POD, 1, NOW)
        elsewhere = replace(make.profile(), namespace="elsewhere")
        assert (await store.evidence(elsewhere, NOW + 16)).gaps == ()
        await store.note_pods([make.pod(labels={"app": "other"})])
        assert (await store.evidence(make.profile(), NOW + 16)).gaps == ()


class TestUnprofiledUse:
    def use(self, name: str = "web", created: float = 100.0, **more: Any) -> Unprofiled:
        return replace(Unprofiled(name, "nginx:1", "sha256:1", created, NOW, "opted_out"), **more)

    async def test_is_remembered_once_for_all_pods_alike_with_the_latest(self, store: SqlStore, make: Any) -> None:
        for created in (100.0, 300.0, 200.0):
            await store.note_unprofiled("shop", "web", [self.use(created=created)])
        assert (await store.evidence(make.profile(), NOW)).unprofiled == (self.use(created=300.0),)
        assert (await store.evidence(make.profile("another"), NOW)).unprofiled == ()

    async def test_that_finds_no_room_is_remembered_as_anything(
        self, store: SqlStore, make: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(unprofiled, "LIMIT", 2)
        await store.note_unprofiled("shop", "web", [self.use(str(number)) for number in range(4)])
        await store.note_unprofiled("shop", "web", [self.use("0", created=500.0)])
        found = (await store.evidence(make.profile(), NOW)).unprofiled
        assert [(one.name, one.digest, one.created_at) for one in found] == [
            ("", "", 100.0),
            ("0", "sha256:1", 500.0),
            ("1", "sha256:1", 100.0),
        ]

    async def test_is_forgotten_a_week_after_it_was_last_seen(self, store: SqlStore, make: Any) -> None:
        await store.note_unprofiled("shop", "web", [self.use()])
        await store.prune([make.profile()], NOW + 6.9 * DAY)
        assert (await store.evidence(make.profile(), NOW)).unprofiled
        await store.prune([make.profile()], NOW + 7.1 * DAY)
        assert not (await store.evidence(make.profile(), NOW)).unprofiled


async def test_labels_stay_as_at_first_sight_and_outlive_the_pod(store: SqlStore, make: Any) -> None:
    await store.note_pods([make.pod()])
    await store.note_pods([make.pod(labels={"app": "quarantine"}, node="node-2")])
    await store.mark_ended("u1", NOW)
    (found,) = await store.pods("shop", make.profile().selector, NOW)
    assert found.labels == make.labels
    assert found.node == "node-2"
    assert found.ended_at == NOW


async def test_evidence_that_came_before_the_watch_showed_the_pod_finds_its_labels(store: SqlStore, make: Any) -> None:
    await store.accept(make.key(), make.delta(1, make.container(make.seen("/a"))), {}, NOW)
    assert (await store.evidence(make.profile(), NOW)).pods == ()
    assert (await store.evidence(make.profile(), NOW, ["u1"])).files == 1
    await store.note_pods([make.pod()])
    assert (await store.evidence(make.profile(), NOW)).files == 1


async def test_a_pod_that_was_thought_gone_and_is_seen_alive_is_open_again(store: SqlStore, make: Any) -> None:
    await store.note_pods([make.pod()])
    await store.mark_ended("u1", NOW)
    assert await store.open_pods() == frozenset()
    await store.note_pods([make.pod()])
    assert await store.open_pods() == {"u1"}
    await store.mark_ended("u1", NOW)
    await store.note_pods([make.pod(terminating=True)])
    assert await store.open_pods() == frozenset()


async def test_the_first_end_counts_and_unknown_pods_are_passed_over(store: SqlStore, make: Any) -> None:
    await store.note_pods([make.pod()])
    for when in (NOW, NOW + 5):
        await store.mark_ended("u1", when)
    await store.mark_ended("nobody", NOW)
    (found,) = await store.pods("shop", make.profile().selector, NOW)
    assert found.ended_at == NOW


async def test_an_unchanged_pod_is_not_written_again(
    store: SqlStore, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.note_pods([make.pod(containers={"c1": make.nginx})])
    monkeypatch.setattr(store, "_write", None)  # whoever writes, fails
    await store.note_pods([make.pod(containers={"c1": make.nginx}), make.pod("u2", injected=False)])


class TestPruning:
    @pytest.fixture(autouse=True)
    async def _pod(self, store: SqlStore, make: Any) -> None:
        delta = make.delta(1, make.container(make.seen("/only/here")), final=True)
        await store.accept(make.key(), delta, {"c1": make.nginx}, NOW)
        await store.note_pods([make.pod()])
        await store.mark_ended("u1", NOW)

    async def test_keeps_the_dead_as_long_as_a_profile_selects_them(self, store: SqlStore, make: Any) -> None:
        for day in (0, 400):
            assert (await store.prune([make.profile()], NOW + day * DAY)).pods == 0
        (pod,) = (await store.evidence(make.profile(), NOW)).pods
        assert [one.files for one in pod.containers] == [1]

    async def test_forgets_them_seven_days_after_the_last_profile_was_seen_gone(
        self, store: SqlStore, make: Any
    ) -> None:
        late = NOW + 100 * DAY
        for day in (0, 6.9):
            assert (await store.prune([], late + day * DAY)).pods == 0
        pruned = await store.prune([], late + 7.1 * DAY)
        assert pruned.pods == 1
        assert pruned.paths > 0
        assert await store.report("u1", NOW) is None

    async def test_keeps_strings_that_others_name(self, store: SqlStore, make: Any) -> None:
        other = make.delta(1, make.container(make.seen("/only/here")))
        await store.accept(make.key("u2"), other, {}, NOW)
        for day in (0, 8):
            await store.prune([], NOW + day * DAY)
        report = await store.report("u2", NOW)
        assert report is not None
        assert report.containers[0].files == ["/only/here"]

    async def test_starts_anew_when_a_profile_comes_back(self, store: SqlStore, make: Any) -> None:
        await store.prune([], NOW)
        await store.prune([make.profile()], NOW + 6 * DAY)
        assert (await store.prune([], NOW + 8 * DAY)).pods == 0
        assert (await store.prune([], NOW + 16 * DAY)).pods == 1

    async def test_never_forgets_a_pod_that_lives(self, store: SqlStore, make: Any) -> None:
        await store.prune([], NOW)
        await store.note_pods([make.pod(phase="Running")])  # thought gone by mistake
        assert (await store.prune([], NOW + 8 * DAY)).pods == 1 - 1
        assert await store.report("u1", NOW) is not None

    async def test_does_not_take_another_namespaces_profile_for_ours(self, store: SqlStore, make: Any) -> None:
        elsewhere = replace(make.profile(), namespace="elsewhere")
        for day in (0, 8):
            pruned = await store.prune([elsewhere], NOW + day * DAY)
        assert pruned.pods == 1


class TestLoss:
    async def test_stays_said_with_its_first_time(self, store: SqlStore, make: Any) -> None:
        assert (await store.evidence(make.profile(), NOW)).lost is None
        for when, previous in ((NOW, "older"), (NOW + 5, "other")):
            await store.note_loss("shop", "web", previous, when)
        lost = (await store.evidence(make.profile(), NOW)).lost
        assert lost is not None
        assert (lost.code, lost.since) == (GapCode.EVIDENCE_LOST, NOW)
        assert "older" in lost.message
        assert (await store.evidence(make.profile("another"), NOW)).lost is None

    async def test_outlives_its_profile_as_long_as_evidence_does(self, store: SqlStore, make: Any) -> None:
        await store.note_loss("shop", "web", "older", NOW)
        for day, profiles in ((0, []), (6, [make.profile()]), (8, []), (14, [])):
            await store.prune(profiles, NOW + day * DAY)
        assert (await store.evidence(make.profile(), NOW)).lost is not None
        await store.prune([], NOW + 16 * DAY)
        assert (await store.evidence(make.profile(), NOW)).lost is None


async def test_an_empty_selector_selects_no_pod(store: SqlStore, make: Any) -> None:
    await store.note_pods([make.pod()])
    assert await store.pods("shop", Selector(), NOW) == []
