from dataclasses import replace
from typing import Any

import pytest

from snoop_operator.profile import Selector
from snoop_operator.store.sql import SqlStore
from snoop_report.model import GapCode

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
        assert await _gaps(store, NOW + 60) == [GapCode.FINAL_REPORT_MISSING]

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
        assert await store.report("u1", NOW) is not None

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
