"""Real programs in the real kernel: each test runs a small command in a cgroup of its own and reads what came out."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from snoop_agent import kernel, subject, tracer
from snoop_agent.owncgroup import OwnCgroup
from snoop_agent.plan import Plan
from snoop_agent.tracing import Counters, Event, NewContainer

_NUMBERS = count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and {"traced", "bench"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.bpf)
            if not kernel.may_trace():
                item.add_marker(pytest.mark.skip(reason="needs root: loads programs into the kernel"))


@dataclass
class Run:
    """What one command did, as the kernel told it."""

    status: int
    events: list[Event]
    containers: list[NewContainer]
    counters: Counters
    strangers: int
    """Records of any other container."""
    blind: int
    """Ways to files that could not be followed."""

    def asked(self, *, kind: int = 0, error: int = 0) -> set[str]:
        return {
            os.fsdecode(event.asked)
            for event in self.events
            if event.error == error and (not kind or event.kinds & kind)
        }

    def targets(self, kind: int = 0) -> set[str]:
        return {os.fsdecode(event.target) for event in self.events if event.target and (not kind or event.kinds & kind)}

    def one(self, asked: str | bytes) -> Event:
        found = [event for event in self.events if event.asked == os.fsencode(asked)]
        assert len(found) == 1, (asked, found)
        return found[0]


class Bench:
    """One tracer for many tests: attaching is quick, detaching from 38 tracepoints takes seconds."""

    def __init__(self, attach: str, plan: Plan) -> None:
        self.cgroup = OwnCgroup("snoop-test", f"-{next(_NUMBERS)}")
        self.tracer = tracer.start_tracer(self._subject, attach=attach, plan=plan)
        assert self.tracer.attach == attach

    def _subject(self, here: subject.Whereabouts) -> subject.Subject:
        if here.hierarchy != self.cgroup.hierarchy:
            raise kernel.KernelError("the tests' cgroup is in another hierarchy")
        self.depth = len(here.places)
        return subject.Subject(self.cgroup.identifier, self.depth, whole=True)

    def run(self, command: Sequence[str | bytes], *, root: Path | None = None, idle_s: float = 0.0) -> Run:
        """Run a command traced from its first instruction, in a cgroup of its own (below `root`, if given).

        The ring is not read for the first `idle_s` seconds.
        """
        cgroup = OwnCgroup("snoop-test", f"-{next(_NUMBERS)}")
        mine = cgroup.identifier
        self.tracer.add(subject.Subject(mine, self.depth, whole=True, waiting=True, keep_root=root is not None))

        def enter() -> None:
            cgroup.join()
            if root is not None:
                os.chroot(root)
                os.chdir("/")

        try:
            told: list[Event | NewContainer] = []
            with subprocess.Popen(
                command,
                preexec_fn=enter,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            ) as child:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(idle_s)
                while child.poll() is None:
                    told += self.tracer.poll(0.02)
            while batch := self.tracer.poll(0.05):
                told += batch
        finally:
            self.tracer.remove(mine)
            cgroup.remove()
        counters = self.tracer.counters()
        return Run(
            child.returncode,
            [one for one in told if isinstance(one, Event) and one.container == mine],
            [one for one in told if isinstance(one, NewContainer)],
            counters.get(mine, Counters(0, 0, 0, 0)),
            len([one for one in told if one.container != mine]),
            sum(gap.count for gap in self.tracer.gaps() if gap.container == str(mine)),
        )

    def close(self) -> None:
        self.tracer.close()
        self.cgroup.remove()


@pytest.fixture(scope="session", params=["raw_tp", "tracepoint"])
def attach(request: pytest.FixtureRequest) -> str:
    way: str = request.param
    if way == "tracepoint" and not kernel.may_open_perf_events():
        pytest.skip("perf_event_paranoid forbids per-syscall tracepoints to this user")
    return way


@pytest.fixture(scope="session")
def bench(attach: str) -> Iterator[Bench]:
    bench = Bench(attach, Plan(attach, ring_pages=256, seen_entries=8192, maps=attach == "raw_tp"))
    yield bench
    bench.close()


@pytest.fixture
def traced(bench: Bench) -> Callable[..., Run]:
    """`traced([command, …], root=…)` runs it and tells what the kernel told."""
    return bench.run


@pytest.fixture
def c_program(tmp_path: Path) -> Callable[[str], str]:
    """Compile C into a static program."""

    def build(source: str) -> str:
        compiler = shutil.which("cc") or shutil.which("gcc")
        assert compiler, "a C compiler is missing: make install brings it"
        path = tmp_path / f"program{next(_NUMBERS)}"
        subprocess.run([compiler, "-static", "-O1", "-w", "-o", path, "-xc", "-"], input=source.encode(), check=True)
        return str(path)

    return build
