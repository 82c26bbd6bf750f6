"""Ended pods of a profile that stays become one, and nothing that they told is lost."""

from dataclasses import replace
from typing import Any

import pytest

from snoop_operator.profile import Profile, Requirement, Selector
from snoop_operator.store.interface import ProfileEvidence
from snoop_operator.store.sql import SqlStore
from snoop_report.model import Gap, GapCode, Identity

NOW = 1000.0
DAY = 86400.0
REDIS = Identity("cache", "redis:7", "sha256:" + "b" * 64)


async def _job(
    store: SqlStore, make: Any, number: int, *gaps: Gap, identity: Identity | None = None, final: bool = True
) -> None:
    """One of a CronJob's pods: its labels name it, it uses a file of all and one of its own, and ends."""
    uid = f"u{number}"
    started = 10.0 + number
    container = make.container(
        make.seen("/all", first=100 + number, last=200 + number),
        make.seen(f"/own/{number}", f"/target/{number % 2}", first=110 + number),
        make.seen("/odd-\udcff", volume=number % 2 == 0),
        key=f"c{number}",
        events=5,
        dropped=1,
        started=started,
    )
    delta = make.delta(1, container, gaps=gaps, final=final, exclude=["/proc/", f"/x{number % 2}/"], cap=100 - number)
    known = make.nginx if identity is None else identity
    await store.note_pods([make.pod(uid, f"job-{number}", labels={"app": "web", "job-name": f"job-{number}"})])
    await store.accept(make.key(uid, f"job-{number}"), delta, {container.id: known}, NOW + number)
    await store.mark_ended(uid, NOW + 10 + number)


def _told(evidence: ProfileEvidence) -> dict[str, Any]:
    """What a profile says, whoever said it."""
    containers = [one for pod in evidence.pods for one in pod.containers]
    return {
        "files": evidence.files,
        "newest": evidence.last_new_file_at,
        "images": evidence.images,
        "pods": sum(pod.pods for pod in evidence.pods),
        "events": sum(one.events for one in containers),
        "dropped": sum(one.dropped for one in containers),
        "containers": sum(one.pods for one in containers),
        "gaps": {gap.code for pod in evidence.pods for gap in pod.gaps},
        "reported": min(pod.first_report_at for pod in evidence.pods),
        "last": max(pod.last_report_at for pod in evidence.pods),
    }


async def _prune(store: SqlStore, *profiles: Profile, days: float = 8) -> int:
    return (await store.prune(profiles, NOW + days * DAY)).folded


async def test_a_hundred_ended_pods_become_one_that_tells_the_same(store: SqlStore, make: Any) -> None:
    for number in range(100):
        gaps = [Gap(GapCode.CAP_REACHED, "cap", 50.0, number, f"c{number}")] if number == 7 else []
        await _job(store, make, number, *gaps, identity=REDIS if number % 10 == 0 else None, final=number != 3)
    late = NOW + 8 * DAY
    before = _told(await store.evidence(make.profile(), late))
    assert before["files"] == 100 + 2 + 2
    assert before["gaps"] == {GapCode.CAP_REACHED, GapCode.FINAL_REPORT_MISSING}

    assert await _prune(store, make.profile()) == 100
    evidence = await store.evidence(make.profile(), late)
    assert _told(evidence) == before
    (pod,) = evidence.pods
    assert (pod.pods, pod.labels) == (100, make.labels)
    assert {(one.name, one.pods) for one in pod.containers} == {("nginx", 90), ("cache", 10)}
    (cap,) = [gap for gap in pod.gaps if gap.code is GapCode.CAP_REACHED]
    assert (cap.count, cap.container) == (7, f"nginx@{make.nginx.digest}")
    report = await store.report(pod.uid, late)
    assert report is not None
    assert (report.exclude, report.max_unique_files) == (("/proc/", "/x0/", "/x1/"), 1)
    (nginx,) = [one for one in report.containers if one.name == "nginx"]
    everywhere = nginx.observations[make.seen("/all").key]
    assert (everywhere.first_seen, everywhere.last_seen) == (101, 299)
    assert not nginx.observations[make.seen("/odd-\udcff").key].volume
    for number in (0, 50, 99):
        assert await store.report(f"u{number}", late) is None


async def test_those_that_end_later_join_them(store: SqlStore, make: Any) -> None:
    for number in range(6):
        await _job(store, make, number)
        await _prune(store, make.profile(), days=8 + number)
    before = {f"/own/{number}" for number in range(6)}
    evidence = await store.evidence(make.profile(), NOW)
    assert [pod.pods for pod in evidence.pods] == [6]
    report = await store.report(evidence.pods[0].uid, NOW)
    assert report is not None
    assert before <= set(report.containers[0].files)
    assert evidence.files == len(report.containers[0].files)


async def test_pods_that_live_or_ended_within_a_week_stay_as_they_are(store: SqlStore, make: Any) -> None:
    for number in range(3):
        await _job(store, make, number)
    await store.note_pods([make.pod("u1", "job-1")])
    assert await _prune(store, make.profile(), days=6) == 0
    assert await _prune(store, make.profile(), days=8) == 2
    assert await store.report("u1", NOW) is not None


async def test_a_container_that_is_not_identified_keeps_its_id_and_its_gap(store: SqlStore, make: Any) -> None:
    for number in range(4):
        await _job(store, make, number, identity=Identity("nginx", "nginx:1.27", "") if number > 1 else None)
    before = _told(await store.evidence(make.profile(), NOW))
    await _prune(store, make.profile())
    evidence = await store.evidence(make.profile(), NOW)
    assert _told(evidence) == before
    (pod,) = evidence.pods
    assert {one.id for one in pod.containers} == {f"nginx@{make.nginx.digest}", "c2", "c3"}
    assert {gap.container for gap in pod.gaps if gap.code is GapCode.UNRESOLVED_CONTAINER} == {"c2", "c3"}


async def test_a_container_that_no_report_names_stays_a_gap(store: SqlStore, make: Any) -> None:
    await _job(store, make, 0)
    await store.note_pods(
        [make.pod("u0", phase="Succeeded", containers={"c9": REDIS}, ran={"c9": NOW}, labels={"app": "web"})]
    )
    await _prune(store, make.profile())
    (pod,) = (await store.evidence(make.profile(), NOW + 8 * DAY)).pods
    (gap,) = pod.gaps
    assert (gap.code, gap.container, "cache" in gap.message) == (GapCode.UNSEEN_CONTAINER, "", True)


@pytest.mark.parametrize("operator", ["Exists", "In"])
async def test_no_profile_selects_more_or_less_than_before(store: SqlStore, make: Any, operator: str) -> None:
    """One that selects by a label that pods do not share keeps them apart."""
    values = ("job-1", "job-2") if operator == "In" else ()
    narrow = replace(
        make.profile("narrow"), selector=Selector((), (Requirement("job-name", operator, values),)), uid="p2"
    )
    for number in range(4):
        await _job(store, make, number)
    profiles = (make.profile(), narrow)
    before = [_told(await store.evidence(one, NOW)) for one in profiles]
    await _prune(store, *profiles)
    assert [_told(await store.evidence(one, NOW)) for one in profiles] == before


async def test_the_one_is_forgotten_when_no_profile_has_selected_it_for_a_week(store: SqlStore, make: Any) -> None:
    for number in range(3):
        await _job(store, make, number)
    await _prune(store, make.profile())
    for days, pods in ((9, 0), (17, 1)):
        assert (await store.prune([], NOW + days * DAY)).pods == pods
    assert (await store.evidence(make.profile(), NOW)).pods == ()


async def test_a_restarted_container_counts_as_one_pods(store: SqlStore, make: Any) -> None:
    both = [make.container(make.seen(f"/{key}"), key=key, events=1) for key in ("c1", "c2")]
    await store.note_pods([make.pod()])
    await store.accept(make.key(), make.delta(1, *both, final=True), {"c1": make.nginx, "c2": make.nginx}, NOW)
    await store.mark_ended("u1", NOW)
    await _prune(store, make.profile())
    (pod,) = (await store.evidence(make.profile(), NOW)).pods
    assert [(one.pods, one.files, one.events) for one in pod.containers] == [(1, 2, 2)]
