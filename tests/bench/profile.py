"""Where the time of rows 1 to 3 goes: stage by stage of what an operation runs through, and program by program."""

import contextlib
import os
from collections.abc import Iterator

from tests.bench import bpfstats, machine
from tests.bench.overhead import COUNT, COUNT_QUICK, HOT, add_sidecars, label
from tests.bench.pods import Pod
from tests.bench.session import Session
from tests.bench.table import Row, median_row
from tests.bench.trouble import BenchError

from snoop_agent import bpfsys

NAME = "profile"
_NOTHING = bytes.fromhex("b7000000000000009500000000000000")
"""r0 = 0; exit"""
_OPEN, _GETPPID = "open+close", "getppid"
_SELDOM = 100
"""Runs that are none of the load's."""


def measure(session: Session) -> list[Row]:
    """No figure of the issue's: what to look at where one is missed."""
    rows = []
    session.node.make_files(_count(session))
    for way in session.ways:
        if way not in session.refused:
            rows += _stages(session, way)
            for sidecars in session.sidecars:
                rows += _programs(session, way, sidecars)
    return rows


def _count(session: Session) -> int:
    return COUNT_QUICK if session.quick else COUNT


def _figures(session: Session, pod: Pod) -> dict[str, float]:
    options = {"n": _count(session), "c": session.cpu, "s": 0.1 if session.quick else 1.0}
    found = {
        _OPEN: session.timed(lambda: pod.load(pod.container("app"), "absolute", **options).ready()),
        _GETPPID: session.timed(lambda: session.outside("getppid", **options).ready()),
    }
    if not all(one.alone for one in found.values()):
        raise BenchError("another machine is at work on the same core, and goes on")
    return {what: one.median for what, one in found.items()}


@contextlib.contextmanager
def _empty(way: str) -> Iterator[None]:
    """A program that does nothing, where the tracer's program for openat(2) sits."""
    if way == "tracepoint":
        program = bpfsys.load_program(_NOTHING, "bench_empty", bpfsys.PROGRAM_TRACEPOINT, 0, 0)
        number = int((machine.TRACEFS / "events/syscalls/sys_exit_openat/id").read_text())
        link = bpfsys.attach_tracepoint(program, number)
    elif way == "raw_tp":
        program = bpfsys.load_program(_NOTHING, "bench_empty", bpfsys.PROGRAM_RAW_TRACEPOINT, 0, 0)
        link = bpfsys.attach_raw_tracepoint(program, "sys_exit")
    else:
        raise BenchError(f"no empty program for {way}")
    try:
        yield
    finally:
        os.close(link)
        os.close(program)


def _stages(session: Session, way: str) -> list[Row]:
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(session.rounds):
        session.quiet()
        stages: dict[str, dict[str, float]] = {}
        with session.node.pod() as pod:
            stages["no tracer"] = _figures(session, pod)
        if way != "fexit":
            with session.node.pod() as pod, _empty(way):
                stages["an empty program"] = _figures(session, pod)
            session.quiet()
        with session.node.pod() as pod, session.node.pod() as other:
            agent = pod.agent(way).wait()
            stages["the tracer, another pod"] = _figures(session, other)
            pod.load(pod.container("app"), "absolute", n=_count(session)).ready()
            agent.settle()
            stages["the tracer, its pod"] = _figures(session, pod)
        base = stages.pop("no tracer")
        for stage, figures in stages.items():
            for what, value in figures.items():
                found.setdefault((what, stage), []).append(value - base[what])
    return [
        median_row(samples, Row(NAME, f"added to {what} by {stage}", way, unit="ns"))
        for (what, stage), samples in found.items()
    ]


def _programs(session: Session, way: str, sidecars: int) -> list[Row]:
    """How long a run of each program takes, as the kernel counts it: its own clock, some 30 ns, is in it."""
    found: dict[tuple[str, str], list[bpfstats.Runs]] = {}
    for _ in range(session.rounds):
        with contextlib.ExitStack() as stack:
            pod, other = stack.enter_context(session.node.pod()), stack.enter_context(session.node.pod())
            stack.enter_context(bpfstats.counting())
            agent = pod.agent(way).wait()
            add_sidecars(session, stack, way, sidecars - 1)
            cases = {
                "another pod": (other, "absolute", _count(session)),
                "its pod, absolute names": (pod, "absolute", _count(session)),
                "its pod, relative names": (pod, "relative", _count(session)),
                "its pod, 100 files": (pod, "absolute", HOT),
            }
            for where, (subject, mode, count) in cases.items():
                before = bpfstats.runs()
                load = subject.load(
                    subject.container("app"), mode, n=count, c=session.cpu, s=0.1 if session.quick else 1.0
                ).ready()
                agent.settle()
                if subject is pod and count != HOT:
                    _note(found, f"{where}, first touches", before)
                before = bpfstats.runs()
                load.go().result()
                _note(found, where, before)
    return [
        median_row(
            [ran.nanoseconds / ran.times for ran in all_],
            Row(NAME, f"one run of {name}, {where}", label(way, sidecars), unit="ns", detail=f"{all_[0].times:,} runs"),
        )
        for (name, where), all_ in found.items()
    ]


def _note(found: dict[tuple[str, str], list[bpfstats.Runs]], where: str, before: dict[str, bpfstats.Runs]) -> None:
    for name, ran in bpfstats.since(before).items():
        if ran.times > _SELDOM:
            found.setdefault((name, where), []).append(ran)
