"""What the agent itself computes: idle, and while the pod opens files. What its programs take is the app's."""

import time

from tests.bench.containers import FILES, Load
from tests.bench.pods import Pod
from tests.bench.session import Session
from tests.bench.sidecar import Agent
from tests.bench.table import Row
from tests.bench.trouble import BenchError

NAME = "cpu"
_SECONDS, _SECONDS_QUICK = 30.0, 3.0
KNOWN = 10_000


def measure(session: Session) -> list[Row]:
    """Row 10. The report file is written as in production: a large one with nothing new but counters seldom."""
    for way in session.ways:
        if way in session.refused:
            continue
        with session.node.pod() as pod:
            try:
                return _agent(session, pod, way)
            except BenchError as error:
                return [Row(NAME, "CPU of the agent", way, detail=str(error))]
    return []


def _agent(session: Session, pod: Pod, way: str) -> list[Row]:
    seconds = _SECONDS_QUICK if session.quick else _SECONDS
    new = int(1000 * seconds)
    session.node.make_files(KNOWN + new)
    agent = pod.agent(way).wait()
    app = pod.container("app")
    agent.settle(2.0)
    rows = [Row(NAME, "CPU of the agent, idle pod", way, _share(agent, seconds), "%", 0.1, f"{seconds:.0f} s")]
    pod.load(app, "paced", n=KNOWN, r=20_000, s=0).ready().go().result()
    # Known is what is in the file already: writing that belongs to the new ones.
    if (written := agent.recorded(KNOWN).below(FILES)) < KNOWN:
        raise BenchError(f"the report has {written:,} of the {KNOWN:,} files that shall be known")
    for what, target, mode, options in (
        ("1,000 opens/s of known files", 0.5, "known", {"n": KNOWN, "r": 1000}),
        ("100,000 repeats/s", 1.0, "known", {"n": KNOWN, "r": 100_000}),
        ("1,000 opens/s, each of a new file", None, "paced", {"n": new, "f": KNOWN, "r": 1000}),
    ):
        load = pod.load(app, mode, c=session.cpu, s=seconds, **options).ready()
        agent.settle(2.0)
        share, reached = _while(agent, load)
        rows.append(Row(NAME, f"CPU of the agent, {what}", way, share, "%", target, f"{reached:,.0f}/s reached"))
        session.say(f"{what}: {share:.2f} %")
    return rows


def _share(agent: Agent, seconds: float) -> float:
    before = agent.group.cpu_seconds()
    time.sleep(seconds)
    return (agent.group.cpu_seconds() - before) / seconds * 100


def _while(agent: Agent, load: Load) -> tuple[float, float]:
    before, began = agent.group.cpu_seconds(), time.monotonic()
    operations, took = load.go().result()
    used, passed = agent.group.cpu_seconds() - before, time.monotonic() - began
    return used / passed * 100, operations / took
