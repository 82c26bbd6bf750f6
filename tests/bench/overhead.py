"""What one operation costs more: in a traced pod, in another pod, anywhere else on the node.

Each round measures without any tracer, then with sidecars, then without again; what is added is the difference to the
mean of the two. A round in which the traced pod's report lacks one of the files is no round; one in which a load never
had its core for itself (timing.py) does not count for that figure.
"""

import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial

from tests.bench.containers import FILES, Load
from tests.bench.pods import Pod
from tests.bench.session import Session
from tests.bench.table import Row, median_row, number
from tests.bench.timing import Timed
from tests.bench.trouble import BenchError, DisturbedError, NotQuietError

NAME = "overhead"
COUNT, COUNT_QUICK = 10_000, 500
"""Files, opened in turn: with their dentries and inodes more than the CPU's own caches hold."""
HOT = 100
"""What they do hold."""
_PARTS = 3
"""Runs of each load, of which the median is taken, in one round."""
_TRIES = 3
"""Of one round, if others begin to trace in the middle."""
_AT_ONCE = 4
"""Sidecars that start together: a node's cores are not more."""
_CROWD_MARGIN = 1.1
"""What 100 sidecars may cost of what one costs."""

_ABSOLUTE = "open+close, traced pod, absolute names"
_RELATIVE = "open+close, traced pod, relative names"
_HOT = "open+close, traced pod, of 100 files"
_OTHER = "open+close, pod that is not traced"
_UNRELATED = "getppid, a process in no pod"
TARGETS = {
    "fexit": {_ABSOLUTE: 450.0, _RELATIVE: 450.0, _OTHER: 150.0, _UNRELATED: 0.0},
    "tracepoint": {_ABSOLUTE: 450.0, _RELATIVE: 450.0, _OTHER: 150.0, _UNRELATED: 50.0},
    "raw_tp": {_ABSOLUTE: 450.0, _RELATIVE: 450.0, _OTHER: 150.0, _UNRELATED: 120.0},
}
_NOISE_NS = 5.0
"""A target of 0 means within this."""

Figures = dict[str, Timed]


def measure(session: Session) -> list[Row]:
    """Rows 1 to 4."""
    rows = []
    session.node.make_files(_count(session))
    for way in session.ways:
        if way in session.refused:
            rows.append(Row(NAME, "open+close and getppid", way, detail=f"refused here: {session.refused[way]}"))
            continue
        with_one: dict[str, float] = {}
        for sidecars in session.sidecars:
            found = _way(session, way, sidecars, with_one)
            if sidecars == 1:
                with_one = {row.what: row.value for row in found if row.value is not None}
            rows += found
    return rows


def _count(session: Session) -> int:
    return COUNT_QUICK if session.quick else COUNT


def _way(session: Session, way: str, sidecars: int, with_one: dict[str, float]) -> list[Row]:
    how = label(way, sidecars)
    rounds: list[tuple[Figures, Figures]] = []
    try:
        before = _untraced(session)
        for round_ in range(session.rounds):
            traced = _patiently(session, lambda: _traced(session, way, sidecars))
            after = _untraced(session)
            rounds.append((_between(before, after), traced))
            before = after
            told = ", ".join(_told(rounds[-1][0][what], one) for what, one in traced.items())
            session.say(f"{how}, round {round_ + 1}: {told} ns")
    except NotQuietError:
        raise
    except BenchError as error:
        return [Row(NAME, "open+close and getppid", how, detail=str(error))]
    return [
        row(
            what,
            how,
            [(without[what], traced[what]) for without, traced in rounds],
            target_of(way, what, with_one, sidecars),
        )
        for what in rounds[0][1]
    ]


def _told(without: Timed, traced: Timed) -> str:
    return f"{traced.median - without.median:+.0f}" if _alone(without, traced) else "(beside a neighbour)"


def target_of(way: str, what: str, with_one: dict[str, float], sidecars: int) -> float | None:
    """`with_one`: what was added with one sidecar, by figure. None: there is no target. Pure."""
    if sidecars > 1 and what in with_one:
        one = max(with_one[what], 0.0)
        return max(one * _CROWD_MARGIN, one + _NOISE_NS)
    return TARGETS[way].get(what) or (_NOISE_NS if what in TARGETS[way] else None)


def row(what: str, how: str, rounds: Sequence[tuple[Timed, Timed]], target: float | None) -> Row:
    """One figure of all rounds, untraced and traced. Those of loads beside a neighbour are left out, and told. Pure."""
    counting = [(without, traced) for without, traced in rounds if _alone(without, traced)]
    beside = f"{len(rounds) - len(counting)} of {len(rounds)} rounds beside a neighbour on the same core do not count"
    if not counting:
        return Row(NAME, what, how, detail=beside)
    base = statistics.median(without.median for without, _ in counting)
    slow = [statistics.median(one.p99 for one in side) for side in zip(*counting, strict=True)]
    detail = f"untraced {number(base)} ns; 99th percentile {number(slow[0])} → {number(slow[1])} ns"
    if len(counting) < len(rounds):
        detail += f"; {beside}"
    samples = [traced.median - without.median for without, traced in counting]
    return median_row(samples, Row(NAME, what, how, unit="ns", target=target, detail=detail))


def _patiently(session: Session, measured: Callable[[], Figures]) -> Figures:
    for left in reversed(range(_TRIES)):
        try:
            return measured()
        except DisturbedError:
            if not left:
                raise
            session.quiet()
    raise AssertionError


def _between(before: Figures, after: Figures) -> Figures:
    """The mean of two untraced measurements: what drifts meanwhile cancels out."""
    return {
        what: Timed((one.median + after[what].median) / 2, (one.p99 + after[what].p99) / 2, _alone(one, after[what]))
        for what, one in before.items()
    }


def _alone(*figures: Timed) -> bool:
    return all(one.alone for one in figures)


def _loads(session: Session) -> dict[str, tuple[str, str, int]]:
    """Of each figure: the load's mode, where it runs, on how many files."""
    count = _count(session)
    return {
        _ABSOLUTE: ("absolute", "traced", count),
        _RELATIVE: ("relative", "traced", count),
        _HOT: ("absolute", "traced", HOT),
        _OTHER: ("absolute", "other", count),
        _UNRELATED: ("getppid", "", 0),
    }


def _run(session: Session, pods: dict[str, Pod], settle: Callable[[], None]) -> Figures:
    found: dict[str, list[Timed]] = {}
    options = {"c": session.cpu, "s": 0.1 if session.quick else 0.4}
    # In turn and in processes of their own: where one happens to lie in the caches is worth 100 ns, a neighbour more.
    for _ in range(1 if session.quick else _PARTS):
        for what, (mode, place, count) in _loads(session).items():
            start = partial(_start, session, pods.get(place), settle, mode, n=count, **options)
            found.setdefault(what, []).append(session.timed(start))
    return {
        what: Timed(
            statistics.median(one.median for one in parts),
            statistics.median(one.p99 for one in parts),
            _alone(*parts),
        )
        for what, parts in found.items()
    }


def _start(session: Session, pod: Pod | None, settle: Callable[[], None], mode: str, **options: float) -> Load:
    """`pod`: None is outside of all."""
    load = pod.load(pod.container("app"), mode, **options) if pod else session.outside(mode, **options)
    load.ready()
    settle()
    return load


def _untraced(session: Session) -> Figures:
    session.quiet()
    with session.node.pod() as pod, session.node.pod() as other:
        found = _run(session, {"traced": pod, "other": other}, lambda: None)
    session.quiet()
    return found


def _traced(session: Session, way: str, sidecars: int) -> Figures:
    with ExitStack() as stack:
        pod, other = stack.enter_context(session.node.pod()), stack.enter_context(session.node.pod())
        agent = pod.agent(way).wait()
        add_sidecars(session, stack, way, sidecars - 1)
        with session.undisturbed():
            found = _run(session, {"traced": pod, "other": other}, agent.settle)
        report = agent.stop()
    _believe(session, report.below(FILES))
    return found


def label(way: str, sidecars: int) -> str:
    """Give a row's `how`."""
    return f"{way}, {sidecars} sidecar{'s' if sidecars > 1 else ''}"


def add_sidecars(session: Session, stack: ExitStack, way: str, count: int) -> None:
    """Start so many more, each in a pod with a process of its own. They end with `stack`."""
    for first in range(0, count, _AT_ONCE):
        agents = []
        for _ in range(min(_AT_ONCE, count - first)):
            pod = stack.enter_context(session.node.pod())
            pod.start(pod.container("app"), ["sleep", "infinity"], root=session.node.image)
            agents.append(pod.agent(way))
        for agent in agents:
            agent.wait()


def _believe(session: Session, files: int) -> None:
    if files != _count(session):
        raise BenchError(f"the report has {files} of the {_count(session)} files: what was timed was not recorded")
