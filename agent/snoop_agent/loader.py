"""The short-lived child that loads the kernel side: `python -m snoop_agent.loader FD PLAN`.

What was compiled once for all kernels (`objects`), or failing that is compiled now (`compiler`), gets this kernel's
offsets, this plan's sizes and its maps, and is loaded. The parent (`loading`) is handed the descriptors.
"""

import array
import contextlib
import json
import os
import resource
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from snoop_agent import bpfsys, holes, kernel, objects, offsets, programs, syscalls
from snoop_agent.compiler import compiled, hole_numbers, name_of
from snoop_agent.plan import ATTACH_RAW, ATTACH_TRACEPOINT, ATTACH_VFS, Plan

# TOP_OF_KERNEL_STACK_PADDING is 0 on the x86-64 kernels that lack bpf_task_pt_regs (5.15).
_THREAD_SIZE, _PT_REGS_SIZE = 16384, 168
_TRACEFS = Path("/sys/kernel/tracing")


@dataclass(slots=True)
class Asked:
    """What loading asks of BTF: taken from it at once, so that its tens of megabytes go before LLVM takes its own."""

    values: dict[str, int | None]
    """Of holes, by name."""
    readings: list[str]
    """Of `plan.READINGS`, best first."""
    functions: dict[str, int]
    lacking: list[str]
    uring: str


def ask_kernel(plan: Plan) -> Asked:
    """Look up what loading needs. KernelError if this kernel will not do."""
    btf, architecture = kernel.Btf.of_running_kernel(), kernel.machine()
    lacking = programs.lacking(btf, _symbols()) if plan.attach == ATTACH_VFS else []
    if lacking and plan.strict:
        raise kernel.KernelError(f"this kernel lacks {', '.join(lacking)}")
    if plan.attach == ATTACH_VFS and not programs.can_fexit(btf):
        raise kernel.KernelError("the kernel refuses fexit programs")
    found = programs.uring_tracepoint(btf) if plan.attach != ATTACH_VFS else None
    values = settings(plan) | offsets.values(btf, architecture)
    values["SNOOP_URING_ARGUMENT"] = found[1] * 8 if found is not None else None
    values["SNOOP_REGS_ON_STACK"] = 0
    if not btf.function("bpf_task_pt_regs"):
        if plan.attach != ATTACH_RAW and architecture != "x86_64":
            raise kernel.KernelError(f"this kernel is too old for {plan.attach} on this architecture")
        values["SNOOP_REGS_ON_STACK"] = _THREAD_SIZE - _PT_REGS_SIZE
    values["SNOOP_RDONLY_CAST"] = btf.function(programs.RDONLY_CAST) or None
    values["SNOOP_WORDS"] = programs.words(btf) or None
    return Asked(values, programs.readings(btf, plan.attach), programs.hooked(btf), lacking, found[0] if found else "")


def settings(plan: Plan) -> dict[str, int | None]:
    """Give the holes that a plan fills."""
    return {
        "SNOOP_RING_BYTES": plan.ring_pages * 4096,
        "SNOOP_BUCKETS": plan.buckets,
        "SNOOP_FRONT": plan.front,
        "SNOOP_FRONT_MASK": plan.front - 1,
        "SNOOP_BACK_MASK": plan.back - 1,
        "SNOOP_TARGETS": plan.targets,
        "SNOOP_WALK_MAX": plan.walk_max,
    }


def find(attach: str, reading: str) -> tuple[objects.Compiled, bool]:
    """Find what was compiled before, or compile it (True). KernelError says why that cannot be."""
    name = name_of(attach, reading)
    found = objects.read(name)
    if found is not None:
        return found, False
    try:
        found = compiled(attach, reading)
    except holes.HoleError as error:
        raise kernel.KernelError(f"BCC compiled the kernel side into something else: {error}") from error
    # In a pod there is nowhere to keep it; its image brings it along.
    with contextlib.suppress(OSError):
        objects.keep(name, found)
    return found, True


def load(found: objects.Compiled, asked: Asked, attach: str) -> tuple[dict[str, int], dict[str, int]]:
    """Make the maps and load the programs: descriptors by name. KernelError says which one the kernel refused."""
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    by_number = {number: asked.values[name] for name, number in hole_numbers(kernel.machine()).items()}
    maps = _make_maps(found.maps, by_number)
    numbered = {shape.number: maps[name] for name, shape in found.maps.items()}
    loaded: dict[str, int] = {}
    for label, code in found.programs.items():
        shape = programs.shape(label, attach, asked.functions, uring=bool(asked.uring))
        if shape is None:
            continue
        try:
            loaded[label] = bpfsys.load_program(holes.fill(code, by_number, numbered), label, *shape)
        except OSError as error:
            for descriptor in (*maps.values(), *loaded.values()):
                os.close(descriptor)
            raise kernel.KernelError(f"the kernel refused program {label}: {error.strerror}") from error
    return maps, loaded


def load_best(asked: Asked, attach: str) -> tuple[dict[str, int], dict[str, int], bool]:
    """Load what reads memory in the best way that the kernel takes whole. True: it had to be compiled."""
    *others, last = asked.readings
    for reading in others:
        try:
            found, is_new = find(attach, reading)
            return *load(found, asked, attach), is_new
        except kernel.KernelError:
            continue
    found, is_new = find(attach, last)
    return *load(found, asked, attach), is_new


def _make_maps(shapes: Mapping[str, objects.Shape], values: Mapping[int, int | None]) -> dict[str, int]:
    made: dict[str, int] = {}
    numbered: dict[int, int] = {}
    # Those first that others hold.
    for name, shape in sorted(shapes.items(), key=lambda pair: bool(pair[1].inner)):
        entries = values.get(shape.entries, shape.entries)
        try:
            made[name] = bpfsys.map_create(
                shape.kind, name, shape.key_size, shape.value_size, entries or 0, numbered.get(shape.inner, 0)
            )
        except OSError as error:
            raise kernel.KernelError(f"the kernel refused map {name}: {error.strerror}{_locked_memory()}") from error
        numbered[shape.number] = made[name]
    return made


def _locked_memory() -> str:
    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    if kernel.version() >= (5, 11) or limit == resource.RLIM_INFINITY:
        return ""
    return (
        f". Kernels before 5.11 count BPF maps as locked memory, of which this process may have only {limit >> 10} KiB:"
        " raise the limit, or grant CAP_SYS_RESOURCE"
    )


def _tracepoint_ids(plan: Plan) -> dict[str, int]:
    """Read the numbers of the exit tracepoints. Where tracefs is not mounted, mount it for this process alone."""
    if plan.attach != ATTACH_TRACEPOINT:
        return {}
    if not (_TRACEFS / "events").is_dir():
        with contextlib.suppress(OSError):
            kernel.mount_tracefs_privately(_TRACEFS)
    found = {}
    for call in syscalls.CALLS:
        label = call.exit_tracepoint
        with contextlib.suppress(OSError, ValueError):
            found[label] = int((_TRACEFS / "events/syscalls" / label / "id").read_text())
    return found


def _symbols() -> bytes:
    try:
        return Path("/proc/kallsyms").read_bytes()
    except OSError:
        return b""


def main(arguments: list[str]) -> int:
    """Serve as the child: `arguments` are the socket's descriptor and the plan as JSON."""
    theirs = socket.socket(fileno=int(arguments[0]))
    plan = Plan(**json.loads(arguments[1]))
    try:
        tracepoints = _tracepoint_ids(plan)
        if plan.attach == ATTACH_TRACEPOINT and not tracepoints:
            raise kernel.KernelError(f"the syscall tracepoints cannot be read below {_TRACEFS}")
        asked = ask_kernel(plan)
        maps, loaded, is_new = load_best(asked, plan.attach)
    except kernel.KernelError as error:
        theirs.send(json.dumps({"error": str(error)}).encode())
        return 1
    answer = {
        "maps": list(maps),
        "programs": list(loaded),
        "tracepoints": tracepoints,
        "lacking": asked.lacking,
        "uring": asked.uring,
        "compiled": is_new,
    }
    descriptors = array.array("i", [*maps.values(), *loaded.values()])
    theirs.sendmsg([json.dumps(answer).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
    # Leave without anybody's clean-up: BCC's takes tens of milliseconds. The parent holds the descriptors now.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
