"""From exec to recording under a sidecar's own limits, and what that costs in memory."""

import statistics
from contextlib import ExitStack
from pathlib import Path

from tests.bench.pods import Node
from tests.bench.session import Session
from tests.bench.sidecar import Agent
from tests.bench.table import Row, median_row
from tests.bench.trouble import BenchError

NAME = "start"
CPU, MEMORY = 0.2, 128 << 20
"""A sidecar's limits: the chart's default."""
MIB = 1 << 20
_FIRST, _NEXT, _PEAK = 5.0, 0.5, 96.0
_MOST_ROUNDS = 3
"""A start takes up to 15 seconds and hardly scatters."""


def measure(session: Session) -> list[Row]:
    """Rows 9 and 11."""
    rows = []
    rounds = min(session.rounds, _MOST_ROUNDS)
    for way in session.ways:
        if way in session.refused:
            rows.append(Row(NAME, "start to recording", way, detail=f"refused here: {session.refused[way]}"))
            continue
        firsts, nexts, seconds, peaks, problems = [], [], [], [], []
        try:
            # What is compiled once is in the agent's image; here the first start of all leaves it in the cache.
            with session.node.pod() as pod:
                pod.agent(way).wait()
            for _ in range(rounds):
                with ExitStack() as stack:
                    first = _limited(session.node, stack, way)
                    firsts.append(first.seconds_to_attach)
                    seconds.append(first.group.cpu_seconds())
                    peaks.append(first.group.peak() / MIB)
                    problems.append(first.group.failures())
                    nexts.append(_limited(session.node, stack, way).seconds_to_attach)
                    session.say(f"{way}: first {firsts[-1]:.2f} s, next {nexts[-1]:.2f} s, peak {peaks[-1]:.0f} MiB")
        except BenchError as error:
            rows.append(Row(NAME, "start to recording", way, detail=str(error)))
            continue
        cpu = f"{statistics.median(seconds):.2f} s of CPU"
        limited = "its limit never met" if not any(problems) else f"its limit met {max(problems)} times"
        cached = "libraries were in the page cache"
        shared = "programs shared by bpffs" if session.node.setup.pins else "each loads its own"
        how = "200m of CPU, 128 MiB"
        rows += [
            median_row(firsts, Row(NAME, f"start to recording, first on a node, {how}", way, None, "s", _FIRST, cpu)),
            median_row(nexts, Row(NAME, f"start to recording, next ones, {how}", way, None, "s", _NEXT, shared)),
            median_row(
                peaks,
                Row(NAME, "cgroup peak from start to recording", way, None, "MiB", _PEAK, f"{limited}; {cached}"),
            ),
        ]
    return rows


def _limited(node: Node, stack: ExitStack, way: str) -> Agent:
    pod = stack.enter_context(node.pod())
    group = pod.container("snoop-agent")
    group.limit_cpu(CPU)
    group.limit_memory(MEMORY)
    pod.start(pod.container("app"), ["sleep", "infinity"], root=Path(node.image))
    return pod.agent(way, group=group).wait()
