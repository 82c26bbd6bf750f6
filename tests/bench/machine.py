"""What is measured on, and whether anything else traces it: a forgotten tracer costs every system call 40 ns."""

import contextlib
import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench.trouble import BenchError

TRACEFS = Path("/sys/kernel/tracing")
_TRACING_PROGRAMS = frozenset(
    {"kprobe", "tracepoint", "raw_tracepoint", "raw_tracepoint_writable", "perf_event", "tracing"}
)

_WORTH_A_WORD = 10.0
"""Seconds: detaching from some 70 tracepoints takes 6."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Where the figures come from."""

    processor: str
    cores: int
    memory_gib: int
    kernel: str
    commit: str
    date: str


def describe(root: Path) -> Machine:
    """Tell this machine and the checkout."""
    words = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)$", words, re.M)
    git = ["git", "-C", str(root)]
    commit = subprocess.run([*git, "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    return Machine(
        processor=model[1] if model else os.uname().machine,
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        kernel=os.uname().release.split("-")[0],
        commit=commit or "unknown",
        date=time.strftime("%Y-%m-%d", time.gmtime()),
    )


def tracers() -> list[str]:
    """Say what traces this machine now, as far as it can be seen: empty is quiet.

    BPF programs of tracing types (loaded is enough), perf events that processes hold, ftrace's events and functions.
    """
    return [*_programs(), *_perf_events(), *_ftrace()]


def programs() -> dict[int, str]:
    """Name the BPF programs of tracing types that are loaded now, by ID."""
    try:
        told = subprocess.run(["bpftool", "-j", "prog", "show"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise BenchError(f"bpftool cannot list the kernel's programs: {error}") from error
    return {one["id"]: one.get("name", "?") for one in json.loads(told) if one["type"] in _TRACING_PROGRAMS}


def _programs() -> list[str]:
    found = programs()
    names = sorted(set(found.values()))
    return [f"{len(found)} BPF programs ({', '.join(names[:3])}…)"] if found else []


def _perf_events() -> list[str]:
    holders = set()
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if str(descriptor.readlink()) == "anon_inode:[perf_event]":
                holders.add(descriptor.parts[2])
    return [f"perf events of PID {', '.join(sorted(holders))}"] if holders else []


def _ftrace() -> list[str]:
    found = []
    for place in (TRACEFS, *TRACEFS.glob("instances/*")):
        with contextlib.suppress(OSError):
            if (place / "events/enable").read_text().strip() != "0":
                found.append(f"events of {place}")
            if (place / "current_tracer").read_text().strip() != "nop":
                found.append(f"the tracer of {place}")
    with contextlib.suppress(OSError):
        if (TRACEFS / "enabled_functions").read_text().strip():
            found.append("functions of ftrace")
    return found


def wait_until_quiet(patience_s: float, say: Callable[[str], None]) -> list[str]:
    """Wait until nothing traces. What still does after `patience_s` seconds."""
    began, told = time.monotonic(), False
    while found := tracers():
        waited = time.monotonic() - began
        if waited > patience_s:
            return found
        if waited > _WORTH_A_WORD and not told:
            told = True
            say(f"waiting until others do not trace this machine: {'; '.join(found)}")
        time.sleep(0.2)
    return []


def busy_share(seconds: float) -> float:
    """Tell the share of all cores that is at work, over so many seconds: /proc/stat, proc_stat(5)."""
    before = _ticks()
    time.sleep(seconds)
    passed = [late - early for late, early in zip(_ticks(), before, strict=True)]
    return 1 - (passed[3] + passed[4]) / max(1, sum(passed))


def _ticks() -> list[int]:
    """User, nice, system, idle, iowait, irq, softirq, steal."""
    return [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
