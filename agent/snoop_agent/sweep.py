"""What is there before the hooks are: asks the kernel side for the processes of the traced cgroups and what they hold.

Each question is one run of a program (BPF_PROG_TEST_RUN) that reads the map `sweeps`; what is found comes through the
ring as records of kind HELD.
"""

import ctypes
from typing import NamedTuple

from snoop_agent import bpfsys, wire
from snoop_agent.installation import Installation

_ROUNDS = 32768
"""Runs of the task walk, 32 tasks each: more than a kernel has PIDs for."""
_PLACES = 3
_FILES, _AREAS = 65536, 65536
"""Of one process: what is beyond is not told. The report has a gap for whatever ran before the hooks."""


class Task(NamedTuple):
    """A process of a traced cgroup."""

    address: int
    container: int
    """Cgroup ID."""
    tgid: int
    fds: int
    """Room in its table of descriptors."""
    name: str
    """As ps(1) has it: the first 15 bytes of the program's name."""


def without_sandbox(tasks: list[Task]) -> list[Task]:
    """Leave out the pod's sandbox: the oldest container if one process called `pause` is all of it.

    It holds the pod's namespaces open and is no container of the pod's.
    """
    oldest = min((task.container for task in tasks), default=0)
    inside = [task for task in tasks if task.container == oldest]
    if len(inside) == 1 and inside[0].name == "pause":
        return [task for task in tasks if task.container != oldest]
    return tasks


def tasks(installation: Installation, slot: int) -> list[Task]:
    """List the processes of one agent's containers, its own and the sandbox left out."""
    found: dict[int, Task] = {}
    state = wire.Sweep(step=wire.SWEEP_NEXT, slot=slot)
    _put(installation, state)
    for _ in range(_ROUNDS):
        bpfsys.run_program(installation.programs["snoop_sweep"])
        _get(installation, state)
        for one in state.tasks[: min(state.count, wire.SWEEP_TASKS)]:
            found[one.task] = Task(one.task, one.container, one.tgid, one.fds, one.name.decode(errors="replace"))
        if state.done:
            break
    return without_sandbox(list(found.values()))


def tell(installation: Installation, slot: int) -> None:
    """Let the kernel side tell the executable, directories, open and mapped files of those processes."""
    for task in tasks(installation, slot):
        for at in range(_PLACES):
            _ask(installation, task, wire.SWEEP_PLACE, at)
        for at in range(min(task.fds, _FILES)):
            _ask(installation, task, wire.SWEEP_FILE, at)
        at = 0
        for _ in range(_AREAS):
            state = _ask(installation, task, wire.SWEEP_MAP, at)
            if state.done or state.at <= at:
                break
            at = state.at


def _ask(installation: Installation, task: Task, step: int, at: int) -> wire.Sweep:
    state = wire.Sweep(step=step, task=task.address, at=at)
    _put(installation, state)
    bpfsys.run_program(installation.programs["snoop_held"])
    _get(installation, state)
    return state


def _put(installation: Installation, state: wire.Sweep) -> None:
    bpfsys.map_update(installation.maps["sweeps"], ctypes.c_uint32(0), state)


def _get(installation: Installation, state: wire.Sweep) -> None:
    bpfsys.map_lookup(installation.maps["sweeps"], ctypes.c_uint32(0), state)
