"""Whether anything is lost when files are opened as fast as two cores can, and whether it is said."""

import os

from tests.bench.containers import FILES
from tests.bench.memory import Watch
from tests.bench.pods import Pod
from tests.bench.report import Report
from tests.bench.session import Session
from tests.bench.start import MEMORY, MIB
from tests.bench.table import Row
from tests.bench.trouble import BenchError

NAME = "losses"
COUNT, COUNT_QUICK = 100_000, 4_000
BURST, BURST_QUICK = 1_000_000, 20_000
_SECONDS, _SECONDS_QUICK = 60.0, 2.0
_LARGE_RING = 2048
"""Pages of 4 KiB."""
_TOLD = ("records_lost", "cap_reached")
"""The gaps that say that something is missing."""


def measure(session: Session) -> list[Row]:
    """Rows 5 and 6."""
    rows = []
    ways = [way for way in session.ways if way not in session.refused]
    session.node.make_files(COUNT_QUICK if session.quick else COUNT)
    for way in ways:
        for ring in (_LARGE_RING, 0):
            with session.node.pod() as pod:
                try:
                    rows += _full_rate(session, pod, way, ring)
                except BenchError as error:
                    rows.append(Row(NAME, f"two cores at full rate, {_ring(ring)}", way, detail=str(error)))
    session.node.make_files(BURST_QUICK if session.quick else BURST)
    for way in ways[:1]:
        with session.node.pod() as pod:
            try:
                rows += _burst(session, pod, way)
            except BenchError as error:
                rows.append(Row(NAME, "a burst of new files", way, detail=str(error)))
    return rows


def _ring(pages: int) -> str:
    return f"{pages * 4096 >> 20} MiB ring" if pages else "default ring"


def _full_rate(session: Session, pod: Pod, way: str, ring: int) -> list[Row]:
    count = COUNT_QUICK if session.quick else COUNT
    seconds = session.seconds or (_SECONDS_QUICK if session.quick else _SECONDS)
    agent = pod.agent(way, ring_pages=ring, max_unique_files="0").wait()
    app = pod.container("app")
    cpus = sorted(os.sched_getaffinity(0))[-2:]
    share = count // len(cpus)
    loads = [
        pod.load(app, "flood", n=share, f=share * place, s=seconds, c=cpu).ready() for place, cpu in enumerate(cpus)
    ]
    for load in loads:
        load.go()
    opened = sum(load.result()[0] for load in loads)
    agent.settle(2.0)
    report = agent.stop()
    missing = count - report.below(FILES)
    what = f"two cores at full rate for {seconds:.0f} s, {_ring(ring)}"
    told = f"{opened / seconds:,.0f} opens/s; gaps: {_gaps(report)}"
    session.say(f"{way}, {_ring(ring)}: {report.lost:,} lost, {missing:,} objects missing; {told}")
    return [
        Row(NAME, f"{what}: records lost", way, report.lost, "", 0 if ring else None, told),
        Row(NAME, f"{what}: objects missing in the report", way, missing, "", 0, f"of {count:,}"),
        Row(NAME, f"{what}: missing and not said", way, _unsaid(missing, report), "", 0),
    ]


def _unsaid(missing: int, report: Report) -> int:
    return 0 if any(code in report.gaps for code in _TOLD) else missing


def _gaps(report: Report) -> str:
    return ", ".join(sorted(set(report.gaps) - {"late_start", "late_end"})) or "none"


def _burst(session: Session, pod: Pod, way: str) -> list[Row]:
    """A sidecar as the chart makes it: 128 MiB, 100,000 files a container."""
    count = BURST_QUICK if session.quick else BURST
    group = pod.container("snoop-agent")
    group.limit_memory(MEMORY)
    agent = pod.agent(way, group=group, interval="5s").wait()
    agent.settle(2.0)
    start = group.peak()
    group.forget_peak()
    with Watch(group) as watch:
        load = pod.load(pod.container("app"), "flood", n=count, s=0, b=count, c=session.cpu)
        opened, took = load.ready().go().result()
        agent.settle(2.0)
    peak, met = group.peak(), group.failures()
    alive = agent.process.poll() is None
    report = agent.stop() if alive else Report()
    missing = count - report.below(FILES)
    what = f"a burst of {count:,} new files"
    told = f"{opened / took:,.0f} opens/s; {missing:,} not in the report; gaps: {_gaps(report)}"
    session.say(f"{way}, burst: {told}")
    return [
        Row(NAME, f"{what}: cgroup peak", way, peak / MIB, "MiB", MEMORY / MIB, f"{start / MIB:.0f} MiB at start"),
        Row(NAME, f"{what}: working set at most", way, watch.peak / MIB, "MiB", None, f"limit met {met} times"),
        Row(NAME, f"{what}: agent killed", way, int(not alive), "", 0),
        Row(NAME, f"{what}: records lost", way, report.lost, "", None, told),
        Row(NAME, f"{what}: missing and not said", way, _unsaid(missing, report), "", 0),
    ]
