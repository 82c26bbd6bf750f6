"""What the resident agent holds: idle, with 100,000 files, and after as many report cycles as a day has."""

import threading
import time
from types import TracebackType

from tests.bench.cgroups import Group, Memory
from tests.bench.containers import FILES
from tests.bench.pods import Pod
from tests.bench.session import Session
from tests.bench.sidecar import Agent
from tests.bench.start import MIB
from tests.bench.table import Row
from tests.bench.trouble import BenchError

NAME = "memory"
COUNT, COUNT_QUICK = 100_000, 2_000
_FILL_RATE = 20_000
"""New files a second, so that the ring is no matter here."""
_PASSES = 5
_REPEATS = 20_000
"""A second, while report cycles pass."""
_CYCLES, _CYCLES_QUICK = 240, 6
"""Report cycles, one a second; a day has 2,880."""
_SAME = 1.0
"""MiB of growth that are none: an allocator's arena."""


class Watch:
    """Samples a cgroup's memory from a thread: the most it held meanwhile."""

    def __init__(self, group: Group, every_s: float = 0.1) -> None:
        self._group = group
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.peak = 0
        """Of the working set, in bytes."""

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            self.peak = max(self.peak, self._group.memory().working)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()


def measure(session: Session) -> list[Row]:
    """Rows 7 and 8."""
    rows = []
    for way in session.ways:
        if way in session.refused:
            continue
        with session.node.pod() as pod:
            try:
                rows += _life(session, pod, way)
            except BenchError as error:
                rows.append(Row(NAME, "resident agent", way, detail=str(error)))
        break  # what is resident is the same, however it is attached
    return rows


def _life(session: Session, pod: Pod, way: str) -> list[Row]:
    count = COUNT_QUICK if session.quick else COUNT
    cycles = _CYCLES_QUICK if session.quick else _CYCLES
    session.node.make_files(count)
    agent = pod.agent(way, interval="1s", max_unique_files="0").wait()
    agent.settle()
    rss, anonymous = agent.resident()
    rows = [
        Row(NAME, "resident agent, idle after start: RSS", way, rss / MIB, "MiB", 32.0),
        Row(NAME, "resident agent, idle after start: anonymous", way, anonymous / MIB, "MiB", 16.0),
        Row(NAME, "resident agent, idle after start: cgroup", way, *_cgroup(agent)),
    ]
    app = pod.container("app")
    recorded, passes, lost = 0, 0, 0
    with Watch(agent.group) as watch:
        # What found no room in the ring is told with the next touch.
        while recorded < count and passes < _PASSES:
            pod.load(app, "paced", n=count, r=_FILL_RATE, s=0).ready().go().result()
            report = agent.recorded(count, patience_s=5.0 if passes < _PASSES - 1 else 60.0)
            recorded, lost, passes = report.below(FILES), report.lost, passes + 1
        agent.settle()
    filled = agent.group.memory()
    rss, anonymous = agent.resident()
    if recorded != count:
        rows.append(Row(NAME, f"with {count:,} files", way, detail=f"the report has {recorded:,} of them"))
        return rows
    if lost:
        detail = f"all there after {passes} passes"
        rows.append(Row(NAME, f"lost while {_FILL_RATE:,} new files/s came", way, lost, "records", detail=detail))
    rows += [
        Row(NAME, f"with {count:,} files: cgroup", way, filled.working / MIB, "MiB", 50.0, _parts(filled)),
        Row(NAME, f"with {count:,} files: RSS", way, rss / MIB, "MiB", None, f"anonymous {anonymous / MIB:.1f} MiB"),
        Row(NAME, f"with {count:,} files: peak, reports written", way, watch.peak / MIB, "MiB"),
    ]
    session.say(f"{count:,} files: {filled.working / MIB:.1f} MiB")
    with Watch(agent.group) as watch:
        pod.load(app, "paced", n=count, r=_REPEATS, s=cycles).ready().go().result()
        agent.settle()
    later = agent.group.memory()
    grown = (later.anonymous + later.kernel - filled.anonymous - filled.kernel) / MIB
    detail = f"{later.working / MIB:.1f} MiB then, peak {watch.peak / MIB:.1f}; {cycles * _REPEATS:,} repeats"
    rows.append(Row(NAME, f"growth in {cycles} report cycles more", way, max(0.0, grown), "MiB", _SAME, detail))
    return rows


def _cgroup(agent: Agent) -> tuple[float, str, None, str]:
    time.sleep(1)
    now = agent.group.memory()
    return now.working / MIB, "MiB", None, _parts(now)


def _parts(memory: Memory) -> str:
    return (
        f"anonymous {memory.anonymous / MIB:.1f}, kernel (BPF maps) {memory.kernel / MIB:.1f}, "
        f"with page cache {memory.usage / MIB:.1f}"
    )
