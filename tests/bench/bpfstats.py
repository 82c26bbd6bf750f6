"""How long each BPF program runs, as the kernel counts it.

The counting is asked for with bpf(BPF_ENABLE_STATS), Linux 5.8: it lasts as long as the descriptor, so a harness that
is killed leaves nothing switched on. It costs some 20 ns a run itself; a tail call is part of the run that made it.
"""

import contextlib
import ctypes
import json
import os
import platform
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

from tests.bench.trouble import BenchError

_SYS_BPF = {"x86_64": 321, "aarch64": 280}[platform.machine()]
_BPF_ENABLE_STATS, _BPF_STATS_RUN_TIME = 32, 0
_libc = ctypes.CDLL(None, use_errno=True)


class Runs(NamedTuple):
    """Of one program."""

    times: int
    nanoseconds: int


@contextlib.contextmanager
def counting() -> Iterator[None]:
    """Have the kernel count, meanwhile."""
    attribute = ctypes.c_uint32(_BPF_STATS_RUN_TIME)
    descriptor = _libc.syscall(_SYS_BPF, _BPF_ENABLE_STATS, ctypes.byref(attribute), ctypes.sizeof(attribute))
    if descriptor < 0:
        raise BenchError(f"the kernel does not count runs of programs: {os.strerror(ctypes.get_errno())}")
    try:
        yield
    finally:
        os.close(descriptor)


def runs() -> dict[str, Runs]:
    """Tell what has run since it was loaded, by name: programs of one name together."""
    told = subprocess.run(["bpftool", "-j", "prog", "show"], capture_output=True, text=True, check=True).stdout
    found: dict[str, Runs] = {}
    for one in json.loads(told):
        name = one.get("name", "")
        before = found.get(name, Runs(0, 0))
        found[name] = Runs(before.times + one.get("run_cnt", 0), before.nanoseconds + one.get("run_time_ns", 0))
    return found


def since(before: dict[str, Runs]) -> dict[str, Runs]:
    """Tell what has run since `before`, the most time first."""
    nothing = Runs(0, 0)
    passed = {
        name: Runs(now.times - before.get(name, nothing).times, now.nanoseconds - before.get(name, nothing).nanoseconds)
        for name, now in runs().items()
    }
    ran = [(name, one) for name, one in passed.items() if one.times]
    return dict(sorted(ran, key=lambda pair: -pair[1].nanoseconds))
