"""Whatever the order, and however often: the same evidence."""

import asyncio
import random
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from snoop_operator.store.interface import PodKey
from snoop_operator.store.sql import SqlStore, open_sqlite
from snoop_report.merge import apply
from snoop_report.model import ContainerReport, Delta, Gap, GapCode, Kind, Observation, Outcome, Report

_paths = st.sampled_from(["/a", "/b", "/c/d", "/\udcff", "/x\\x41"])
_times = st.integers(1, 9).map(float)


@st.composite
def _observations(draw: st.DrawFn) -> Observation:
    first = draw(_times)
    return Observation(
        path=draw(_paths),
        target=draw(st.one_of(st.just(""), _paths)),
        outcome=draw(st.sampled_from(Outcome)),
        kinds=frozenset(draw(st.sets(st.sampled_from(Kind), min_size=1, max_size=3))),
        first_seen=first,
        last_seen=first + draw(st.integers(0, 3)),
        executable=draw(st.sampled_from(["", "/bin/a", "/bin/b", "/bin/c"])),
        volume=draw(st.booleans()),
        collapsed=draw(st.booleans()),
    )


_gaps = st.builds(
    Gap, st.sampled_from([GapCode.CAP_REACHED, GapCode.RECORDS_LOST]), st.sampled_from(["x", "y"]), _times,
    st.integers(1, 3), st.sampled_from(["", "c1"]),
)  # fmt: skip


@st.composite
def _deltas(draw: st.DrawFn) -> list[Delta]:
    sequences = {"b1": 0, "b2": 0}
    counts = {("b1", "c1"): 0, ("b1", "c2"): 0, ("b2", "c1"): 0, ("b2", "c2"): 0}
    made: list[Delta] = []
    for _ in range(draw(st.integers(1, 6))):
        boot = draw(st.sampled_from(["b1", "b2"]))
        sequences[boot] += 1
        containers = []
        for name in ("c1", "c2"):
            counts[boot, name] += draw(st.integers(0, 5))
            container = ContainerReport(name, 1, f"/{name}", total_events=counts[boot, name], started_at=1.0)
            for seen in draw(st.lists(_observations(), max_size=4)):
                container.observations[seen.key] = seen
            containers.append(container)
        gaps = draw(st.lists(_gaps, max_size=2))
        made.append(Delta(boot, sequences[boot], Report(containers=containers, gaps=gaps)))
    return made


async def _stored(file: Path, deltas: list[Delta]) -> Report:
    store = await open_sqlite(file, wait=0)
    try:
        for delta in deltas:
            await store.accept(PodKey("ns", "pod", "u1"), delta, {}, 1.0)
        report = await store.report("u1", 1.0)
        assert report is not None
        evidence = await _counts(store)
        assert evidence == len({path for one in report.containers for path in one.files})
        report.containers.sort(key=lambda one: one.id)
        # What stands for the order itself: a delta that came before its predecessor is asked for again.
        report.gaps = [gap for gap in report.gaps if gap.code is not GapCode.EVIDENCE_LOST]
        return report
    finally:
        await store.close()


async def _counts(store: SqlStore) -> int:
    from snoop_operator.profile import Profile, Selector

    profile = Profile("ns", "p", "", 1, Selector((("no", "such"),)))
    return (await store.evidence(profile, 1.0, ["u1"])).files


@settings(max_examples=25, deadline=None)
@given(_deltas(), st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing(deltas: list[Delta], chance: random.Random) -> None:
    shuffled = [*deltas, *chance.choices(deltas, k=3)]
    chance.shuffle(shuffled)
    with tempfile.TemporaryDirectory() as directory:
        straight = asyncio.run(_stored(Path(directory) / "a.db", deltas))
        crooked = asyncio.run(_stored(Path(directory) / "b.db", shuffled))
    assert crooked == straight


@settings(max_examples=40, deadline=None)
@given(_deltas())
def test_the_tables_unite_as_the_report_format_does(deltas: list[Delta]) -> None:
    merged = Report()
    for delta in deltas:
        apply(merged, delta.report)
    with tempfile.TemporaryDirectory() as directory:
        stored = asyncio.run(_stored(Path(directory) / "a.db", deltas))
    assert {one.id: one.files for one in stored.containers} == {one.id: one.files for one in merged.containers}
    assert {one.id: one.missing for one in stored.containers} == {one.id: one.missing for one in merged.containers}
    derived = (GapCode.UNRESOLVED_CONTAINER, GapCode.AGENT_RESTARTED)
    told = [gap for gap in stored.gaps if gap.code not in derived]
    assert told == merged.gaps
    for one, other in zip(stored.containers, sorted(merged.containers, key=lambda one: one.id), strict=True):
        assert one.observations == other.observations


async def test_of_two_programs_at_one_moment_the_same_is_told_in_either_order(store: SqlStore) -> None:
    def delta(boot: str, program: str) -> Delta:
        seen = Observation("/a", "", Outcome.EXISTS, frozenset({Kind.READ}), 1.0, 1.0, executable=program)
        container = ContainerReport("c1", 1, "/c1", started_at=1.0, observations={seen.key: seen})
        return Delta(boot, 1, Report(containers=[container]))

    for uid, programs in (("u1", ("/bin/b", "/bin/a")), ("u2", ("/bin/a", "/bin/b"))):
        for boot, program in enumerate(programs):
            await store.accept(PodKey("ns", uid, uid), delta(str(boot), program), {}, 1.0)
        report = await store.report(uid, 1.0)
        assert report is not None
        assert [one.executable for one in report.containers[0].observations.values()] == ["/bin/a"]


async def test_a_hundred_thousand_files_come_in_without_holding_them(store: SqlStore, make: Any) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    slowest = 0.0
    for sequence in range(1, 21):
        base = f"/usr/lib/python3/dist-packages/some/where/{sequence}/module"
        container = make.container(*(make.seen(f"{base}_{number}.py") for number in range(5000)), events=sequence)
        began = time.monotonic()
        accepted = await store.accept(make.key(), make.delta(sequence, container), {"c1": make.nginx}, 1.0)
        slowest = max(slowest, time.monotonic() - began)
        assert accepted.files == {"c1": sequence * 5000}
    evidence = await store.evidence(make.profile(), 1.0, ["u1"])
    assert evidence.files == 100_000
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 100, f"{grown:.0f} MiB"
    assert slowest < 10, f"{slowest:.1f} s for one delta"


async def test_a_long_count_does_not_hold_up_the_loop(store: SqlStore, make: Any) -> None:
    container = make.container(*(make.seen(f"/{number}") for number in range(20_000)))
    turns, running = 0, True

    async def turn() -> None:
        nonlocal turns
        while running:
            await asyncio.sleep(0.005)
            turns += 1

    turning = asyncio.create_task(turn())
    await store.accept(make.key(), make.delta(1, container), {}, 1.0)
    await store.accept(make.key(), replace(make.delta(2, container), full=True), {}, 1.0)
    running = False
    await turning
    # Each of them takes a second or so. A loop that they hold up gets a turn or two, before and after.
    assert turns > 20
