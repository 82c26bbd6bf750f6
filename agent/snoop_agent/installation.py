"""The kernel side, loaded and attached: its maps, programs and attachments, by descriptor.

It is one agent's alone, or a node's (`sharing`), and traces nothing before an agent has registered (`registration`).
"""

import ctypes
import errno
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from snoop_agent import bpfsys, kernel, programs, syscalls, wire
from snoop_agent.plan import ATTACH_RAW, ATTACH_VFS, Plan

if TYPE_CHECKING:
    from snoop_agent.loading import Loaded

LOG = logging.getLogger(__name__)

_CROWDED = "another 63 tracing programs already sit on tracepoint {name}; end one of them, or use raw_tp"


@dataclass(slots=True)
class Installation:
    """Descriptors by name, owned by whoever holds this."""

    attach: str
    maps: dict[str, int]
    programs: dict[str, int]
    links: list[int] = field(default_factory=list)
    """Attachments. Empty where a node's, which names in a bpffs hold."""
    lacking: list[str] = field(default_factory=list)
    """What the hook set wants and this kernel does not have."""

    def close(self) -> None:
        """Give every descriptor back; what nothing else holds is detached."""
        for descriptor in (*self.links, *self.maps.values(), *self.programs.values()):
            os.close(descriptor)
        self.links.clear()
        self.maps.clear()
        self.programs.clear()


def install(plan: Plan, scratch: Path | None = None, *, lasting: bool = False) -> Installation:
    """Compile, load and attach. `lasting`: attachments can be pinned. KernelError says what went wrong."""
    # Only here: who joins what a node has loaded needs none of it.
    from snoop_agent.loading import load_programs

    loaded = load_programs(plan, scratch)
    if loaded.compiled:
        LOG.info("compiled the kernel side for %s: nothing here had been compiled from this source", plan.attach)
    made = Installation(plan.attach, loaded.maps, loaded.programs)
    try:
        _fill(loaded, plan)
        made.lacking = _attach(loaded, plan, made.links, lasting)
    except OSError as error:
        made.close()
        raise kernel.KernelError(f"cannot attach by {plan.attach}: {error.strerror}") from error
    except BaseException:
        made.close()
        raise
    return made


def rows(plan: Plan, *, uring: bool = False) -> dict[str, dict[int, tuple[int, ...]]]:
    """Make the tables of system calls: of each, its rows (struct snoop_call) by number."""
    architecture = kernel.machine()
    tables = {"calls": syscalls.numbers(architecture), "calls32": syscalls.numbers32(architecture)}
    return {
        name: {
            number: (call.kinds, call.how, call.name, call.dirfd, call.extra, call.second, call.second_dirfd)
            for number, call in table.items()
            if _wants(plan, call, uring=uring)
        }
        for name, table in tables.items()
    }


def _fill(loaded: "Loaded", plan: Plan) -> None:
    """Set the tables that the programs read: system calls and tail calls."""
    for table, calls in rows(plan, uring=bool(loaded.uring)).items():
        for number, row in calls.items():
            bpfsys.map_update(loaded.maps[table], ctypes.c_uint32(number), wire.Call(*row))
    for table, tails in programs.tails(plan.attach).items():
        for index, label in tails.items():
            if label in loaded.programs:
                program = ctypes.c_uint32(loaded.programs[label])
                bpfsys.map_update(loaded.maps[table], ctypes.c_uint32(index), program)


def _wants(plan: Plan, call: syscalls.Call, *, uring: bool) -> bool:
    """Whether to listen to a call: the optional ones only where they cost no hook of their own, or are asked for.

    `uring`: requests of io_uring are told, so that its set-up is no gap.
    """
    if call.label == "io_uring_setup" and uring:
        return False
    return not call.optional or plan.maps


def _attach(loaded: "Loaded", plan: Plan, links: list[int], lasting: bool) -> list[str]:
    """Attach everything; `links` collects the descriptors. Returns the hooks that this kernel lacks."""
    lacking = list(loaded.lacking)
    # Exec first: what it tells (the container's first instruction) cannot be learned later.
    links.append(bpfsys.attach_raw_tracepoint(loaded.programs[programs.EXEC], "sched_process_exec"))
    if lasting:
        links.append(bpfsys.attach_raw_tracepoint(loaded.programs[programs.RMDIR], "cgroup_rmdir"))
    if plan.attach == ATTACH_VFS:
        links.extend(bpfsys.attach_tracing(loaded.programs[name]) for name in programs.VFS if name in loaded.programs)
        return lacking
    links.append(bpfsys.attach_raw_tracepoint(loaded.programs[programs.FORK], "sched_process_fork"))
    if loaded.uring:
        links.append(bpfsys.attach_raw_tracepoint(loaded.programs[programs.URING], loaded.uring))
    program = loaded.programs[programs.SYS_EXIT]
    if plan.attach == ATTACH_RAW:
        links.append(bpfsys.attach_raw_tracepoint(program, "sys_exit"))
        return lacking
    for call in syscalls.numbers(kernel.machine()).values():
        name = call.exit_tracepoint
        identifier = loaded.tracepoints.get(name)
        if not _wants(plan, call, uring=bool(loaded.uring)):
            continue
        if identifier is None:
            if not call.recent:
                lacking.append(name)
            continue
        try:
            links.append(bpfsys.attach_tracepoint(program, identifier, link=lasting))
        except OSError as error:
            if error.errno == errno.E2BIG:
                raise kernel.KernelError(_CROWDED.format(name=name)) from error
            raise
    return lacking
