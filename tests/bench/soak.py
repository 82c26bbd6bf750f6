"""Whether memory stays flat under a constant load: repeats, files that come and go, processes. `make soak`.

The pod's load goes on for all the time. After a warm-up the agent's memory is sampled, and a line is laid through the
samples (least squares): what it rises from the first to the last is what the agent would leak.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.session import Session
from tests.bench.sidecar import Agent
from tests.bench.start import MIB
from tests.bench.trouble import BenchError

SECONDS = 600.0
FILES, RATE = 10_000, 5_000
"""Files that are opened in turn, so many a second."""
WARM_UP, SAMPLES = 0.25, 60
"""The share of the time that is no measure; how often memory is looked at in all of it."""
RISE_MIB = 1.0
"""What a line through the samples may rise: an allocator's arenas, the kernel's per-CPU stocks."""
_BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class Sample:
    """Memory at one moment: bytes, after so many seconds."""

    seconds: float
    rss: int
    anonymous: int
    kernel: int


def run(session: Session) -> int:
    """Load one pod for so long. 0: memory is flat, 1: it is not, or the agent did not live through it."""
    seconds = session.seconds or SECONDS
    (way,) = [way for way in session.ways if way not in session.refused][:1]
    session.node.make_files(FILES)
    with session.node.pod() as pod:
        agent = pod.agent(way).wait()
        load = pod.load(pod.container("app"), "soak", n=FILES, r=RATE, s=seconds).ready().go()
        samples = _watch(agent, seconds)
        operations, _ = load.result()
        agent.settle(2.0)
        report = agent.stop()
    print(f"  attached by {way}; {operations:,.0f} steps, {report.events:,} operations seen, {report.lost:,} lost")
    flat = True
    for name, values in (
        ("RSS", [one.rss for one in samples]),
        ("anonymous", [one.anonymous for one in samples]),
        ("kernel (BPF maps)", [one.kernel for one in samples]),
    ):
        measured = values[int(len(values) * WARM_UP) :]
        risen = rise(measured) / MIB
        flat = flat and risen <= RISE_MIB
        ends = f"{measured[0] / MIB:.1f} to {measured[-1] / MIB:.1f} MiB"
        print(f"  {name:18} {sparkline(values)}  {ends}, rise {risen:+.2f} MiB (≤ {RISE_MIB:.0f})")
    if report.lost:
        print("  records were lost")
    print("soak: flat" if flat else "soak: memory rises")
    return 0 if flat else 1


def _watch(agent: Agent, seconds: float) -> list[Sample]:
    began = time.monotonic()
    found: list[Sample] = []
    every = seconds / SAMPLES
    for number in range(1, SAMPLES + 1):
        time.sleep(max(0.0, began + number * every - time.monotonic()))
        if agent.process.poll() is not None:
            raise BenchError(f"the agent ended after {number * every:.0f} s: {agent.complaint()}")
        now = Sample(number * every, *agent.resident(), agent.group.memory().kernel)
        found.append(now)
        if number % 10 == 0:
            words = f"RSS {now.rss / MIB:.1f} MiB, anonymous {now.anonymous / MIB:.1f}"
            print(f"  {now.seconds:6.0f} s: {words}", flush=True)
    return found


def rise(values: Sequence[float]) -> float:
    """By how much a line through the values rises from the first to the last."""
    if len(values) < 2:
        return 0.0
    slope, _ = statistics.linear_regression(range(len(values)), values)
    return slope * (len(values) - 1)


def sparkline(values: Sequence[float]) -> str:
    """Draw them.

    >>> sparkline([1, 2, 3])
    '▁▄█'
    """
    low, high = min(values), max(values)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BARS[int((value - low) * scale)] for value in values)
