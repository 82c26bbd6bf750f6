"""The short-lived child that compiles and loads the kernel side: `python -m snoop_agent.compiler FD PLAN`.

The only code that imports bcc. It writes a tree of stub headers over the running kernel's BTF, compiles, loads, and
hands the descriptors of maps and programs to the parent (`compilation`).
"""

import array
import contextlib
import ctypes
import json
import os
import resource
import socket
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import snoop_bpf

from snoop_agent import bpfsys, kernel, programs, syscalls
from snoop_agent.plan import ATTACH_RAW, ATTACH_TRACEPOINT, ATTACH_VFS, CONTAINERS, Plan
from snoop_agent.sources import source

_STUBS = (
    "uapi/linux/bpf.h",
    "uapi/linux/ptrace.h",
    "uapi/linux/if_packet.h",
    "linux/types.h",
    "linux/version.h",
    "linux/log2.h",
    "linux/if_ether.h",
    "linux/bpf_common.h",
    "linux/bpf.h",
    "asm/page.h",
)
# TOP_OF_KERNEL_STACK_PADDING is 0 on the x86-64 kernels that lack bpf_task_pt_regs (5.15).
_THREAD_SIZE, _PT_REGS_SIZE = 16384, 168
_SYSCALL_NUMBER = {"x86_64": "pt_regs_orig_ax", "aarch64": "pt_regs_syscallno"}
_TRACEFS = Path("/sys/kernel/tracing")


def write_tree(directory: Path, btf: kernel.Btf, architecture: str) -> None:
    """Write the headers that stand in for a kernel tree."""
    include = directory / "include"
    for name in _STUBS:
        stub = include / name
        stub.parent.mkdir(parents=True, exist_ok=True)
        stub.write_text("")
    kconfig = Path(snoop_bpf.__path__[0], "stubs/kconfig.h").read_text()
    (include / "linux/kconfig.h").write_text(kconfig)
    (include / "snoop_offsets.h").write_text(kernel.offsets_header(btf, architecture))


def cflags(plan: Plan, btf: kernel.Btf, architecture: str) -> list[str]:
    """Configure the kernel side for `plan` and this kernel."""
    narrow = syscalls.numbers32(architecture)
    flags: dict[str, int | str] = {
        "SNOOP_RING_PAGES": plan.ring_pages,
        "SNOOP_BUCKETS": plan.buckets,
        "SNOOP_TARGETS": plan.targets,
        "SNOOP_CONTAINERS": CONTAINERS,
        "SNOOP_WALK_MAX": plan.walk_max,
        "SNOOP_CALLS": max(syscalls.numbers(architecture)) + 1,
        "SNOOP_CALLS32": max(narrow, default=0) + 1,
        "SNOOP_CALLS32_KNOWN": int(bool(narrow)),
        "SNOOP_SYSCALL_NUMBER": _SYSCALL_NUMBER[architecture],
        {ATTACH_TRACEPOINT: "SNOOP_ATTACH_TRACEPOINT", ATTACH_RAW: "SNOOP_ATTACH_RAW"}.get(
            plan.attach, "SNOOP_ATTACH_VFS"
        ): 1,
    }
    if not btf.function("bpf_task_pt_regs"):
        if plan.attach != ATTACH_RAW and architecture != "x86_64":
            raise kernel.KernelError(f"this kernel is too old for {plan.attach} on this architecture")
        flags["SNOOP_REGS_ON_STACK"] = f"({_THREAD_SIZE}-{_PT_REGS_SIZE})"
    if programs.can_type(btf):
        flags["SNOOP_TYPED"] = 1
    found = programs.uring_tracepoint(btf)
    if found is not None:
        flags["SNOOP_URING"], flags["SNOOP_URING_ARGUMENT"] = 1, found[1]
    # BCC asks for debug information, which takes a fifth of the time and nobody reads.
    # Unrolled loops are no faster to run here, and a fifth slower to compile and verify.
    return ["-g0", "-fno-unroll-loops", *(f"-D{name}={value}" for name, value in flags.items())]


@dataclass(slots=True)
class Asked:
    """What compiling asks of BTF: taken from it at once, so that its tens of megabytes go before LLVM takes its own."""

    tree: str
    flags: list[str]
    functions: dict[str, int]
    lacking: list[str]
    uring: str


def ask_kernel(plan: Plan, tree: str) -> Asked:
    """Look up what compiling needs, and write the headers into `tree`. KernelError if this kernel will not do."""
    btf, architecture = kernel.Btf.of_running_kernel(), kernel.machine()
    lacking = programs.lacking(btf, _symbols()) if plan.attach == ATTACH_VFS else []
    if lacking and plan.strict:
        raise kernel.KernelError(f"this kernel lacks {', '.join(lacking)}")
    if plan.attach == ATTACH_VFS and not programs.can_fexit(btf):
        raise kernel.KernelError("the kernel refuses fexit programs")
    found = programs.uring_tracepoint(btf) if plan.attach != ATTACH_VFS else None
    write_tree(Path(tree), btf, architecture)
    flags = cflags(plan, btf, architecture)
    return Asked(tree, flags, programs.hooked(btf), lacking, found[0] if found else "")


def load(plan: Plan, asked: Asked, text: str) -> tuple[dict[str, int], dict[str, int], Any]:
    """Compile `text` and load its programs: maps, programs, and what must live as long as they are wanted here."""
    # BCC reads the variable when it is loaded.
    os.environ["BCC_KERNEL_SOURCE"] = asked.tree
    try:
        import bcc
    except ImportError as error:
        raise kernel.KernelError(
            f"BCC is not installed for {sys.executable} ({error}): apt-get install python3-bpfcc"
        ) from error
    if not hasattr(bcc, "BPF"):
        raise kernel.KernelError(
            "the Python package `bcc` found here is not BCC (PyPI's is another one): apt-get install python3-bpfcc"
        )
    try:
        module = bcc.BPF(text=text, cflags=asked.flags)
    except Exception as error:  # bcc raises nothing more precise
        limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
        if kernel.version() < (5, 11) and limit != resource.RLIM_INFINITY:
            raise kernel.KernelError(
                f"kernels before 5.11 count BPF maps as locked memory, of which this process may have only "
                f"{limit >> 10} KiB: raise the limit, or grant CAP_SYS_RESOURCE"
            ) from error
        raise kernel.KernelError(f"BCC could not compile the kernel side: {error}") from error
    # BCC would raise the limit as it makes maps, and kernels before 5.11 count programs too.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    loaded = {}
    for index in range(bcc.lib.bpf_num_functions(module.module)):
        label = bcc.lib.bpf_function_name(module.module, index).decode()
        start = bcc.lib.bpf_function_start(module.module, label.encode())
        size = bcc.lib.bpf_function_size(module.module, label.encode())
        shape = programs.shape(label, plan.attach, asked.functions)
        if shape is None:
            continue
        try:
            loaded[label] = bpfsys.load_program(ctypes.string_at(start, size), label, *shape)
        except OSError as error:
            raise kernel.KernelError(f"the kernel refused program {label}: {error.strerror}") from error
    bcc.lib.bpf_table_name.restype = ctypes.c_char_p  # BCC leaves it at int
    count = bcc.lib.bpf_num_tables(module.module)
    names = [bcc.lib.bpf_table_name(module.module, index).decode() for index in range(count)]
    maps = {label: bcc.lib.bpf_table_fd(module.module, label.encode()) for label in names}
    return maps, loaded, module


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
        with tempfile.TemporaryDirectory(prefix="snoop-headers-") as tree:
            asked = ask_kernel(plan, tree)
            maps, loaded, keep = load(plan, asked, source())
    except kernel.KernelError as error:
        theirs.send(json.dumps({"error": str(error)}).encode())
        return 1
    answer = {
        "maps": list(maps),
        "programs": list(loaded),
        "tracepoints": tracepoints,
        "lacking": asked.lacking,
        "uring": asked.uring,
    }
    descriptors = array.array("i", [*maps.values(), *loaded.values()])
    theirs.sendmsg([json.dumps(answer).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
    # Leave without BCC's own clean-up, which takes tens of milliseconds; the parent holds the descriptors now.
    del keep
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
