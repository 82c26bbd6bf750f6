"""Compiles and loads the kernel side in a short-lived child, so that LLVM's memory goes when the child goes.

The child (`python -m snoop_agent.compiler FD PLAN`) is the only code that imports bcc. It writes a tree of stub headers
over the running kernel's BTF, compiles, loads, and hands the descriptors of maps and programs to the parent.
"""

import array
import contextlib
import ctypes
import json
import os
import re
import resource
import socket
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from snoop_agent import bpfsys, kernel, programs, syscalls

ATTACH_TRACEPOINT, ATTACH_RAW, ATTACH_VFS = "tracepoint", "raw_tp", "fexit"

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


@dataclass(frozen=True, slots=True)
class Plan:
    """What to compile."""

    attach: str
    """`tracepoint`, `raw_tp` or `fexit`."""
    ring_pages: int = 1024
    """Of 4 KiB; a power of two."""
    seen_entries: int = 65536
    """Objects remembered as seen; beyond, the least recently used is forgotten and may be reported again."""
    walk_max: int = 1024
    """Path components and mounts on the way up in one program; a walk takes two. More verify on recent kernels only."""
    strict: bool = False
    """Rather fail than lack a hook."""
    maps: bool = False
    """Listen to the optional calls (mmap) too."""


@dataclass(slots=True)
class Loaded:
    """Descriptors by name, owned by whoever holds this."""

    maps: dict[str, int]
    programs: dict[str, int]
    tracepoints: dict[str, int]
    """Of the syscalls category, by name: the number that perf_event_open(2) wants."""
    lacking: list[str]
    """Functions that the hook set wants and this kernel does not have."""
    uring: str
    """The tracepoint that tells io_uring's requests; empty if there is none to be read."""

    def close(self) -> None:
        """Give every descriptor back."""
        for descriptor in (*self.maps.values(), *self.programs.values()):
            os.close(descriptor)
        self.maps.clear()
        self.programs.clear()


def compile_programs(plan: Plan, scratch: Path | None = None, timeout_s: float = 120.0) -> Loaded:
    """Run the child and take over what it loaded. `scratch`: a writable directory. KernelError says what went wrong."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        command = [sys.executable, "-m", "snoop_agent.compiler", str(theirs.fileno()), json.dumps(asdict(plan))]
        environment = dict(os.environ)
        if scratch is not None:
            environment["TMPDIR"] = str(scratch)
        child = subprocess.Popen(
            command,
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
            errors="replace",
        )
        theirs.close()
        try:
            _, words = child.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            child.kill()
            child.communicate()
            raise kernel.KernelError(f"compiling the kernel side took longer than {timeout_s:.0f} s") from error
        answer, descriptors = _receive(ours)
    if answer is None:
        raise kernel.KernelError(f"compiling the kernel side failed: {_last_line(words, child.returncode)}")
    if "error" in answer:
        raise kernel.KernelError(str(answer["error"]))
    maps, labels = answer["maps"], answer["programs"]
    if len(descriptors) != len(maps) + len(labels):
        for descriptor in descriptors:
            os.close(descriptor)
        raise kernel.KernelError("descriptors were lost on the way from the compiler: too many open files?")
    return Loaded(
        dict(zip(maps, descriptors, strict=False)),
        dict(zip(labels, descriptors[len(maps) :], strict=True)),
        {str(name): int(number) for name, number in answer["tracepoints"].items()},
        [str(name) for name in answer["lacking"]],
        str(answer["uring"]),
    )


def _receive(ours: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    descriptors = array.array("i")
    message, ancillary, _, _ = ours.recvmsg(1 << 17, socket.CMSG_SPACE(250 * descriptors.itemsize))
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return (json.loads(message) if message else None), list(descriptors)


def _last_line(words: str, status: int) -> str:
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    if status == -9:
        return "the compiler was killed (out of memory?)"
    return (errors or lines or [f"the compiler ended with status {status}"])[-1]


# The child ----------------------------------------------------------------------------------------------------------


def source() -> str:
    """Put the kernel side together: BCC rewrites only what stands in its main file."""
    folder = resources.files("snoop_bpf")

    def expand(name: str) -> str:
        text = folder.joinpath(name).read_text()
        return re.sub(r'(?m)^#include "([^"]+)"$', lambda match: expand(match.group(1)), text)

    return expand("snoop.bpf.c")


def write_tree(directory: Path, btf: kernel.Btf, architecture: str) -> None:
    """Write the headers that stand in for a kernel tree."""
    include = directory / "include"
    for name in _STUBS:
        stub = include / name
        stub.parent.mkdir(parents=True, exist_ok=True)
        stub.write_text("")
    kconfig = resources.files("snoop_bpf.stubs").joinpath("kconfig.h").read_text()
    (include / "linux/kconfig.h").write_text(kconfig)
    (include / "snoop_offsets.h").write_text(kernel.offsets_header(btf, architecture))


def cflags(plan: Plan, btf: kernel.Btf, architecture: str) -> list[str]:
    """Configure the kernel side for `plan` and this kernel."""
    narrow = syscalls.numbers32(architecture)
    flags: dict[str, int | str] = {
        "SNOOP_RING_PAGES": plan.ring_pages,
        "SNOOP_SEEN_ENTRIES": plan.seen_entries,
        "SNOOP_WALK_MAX": plan.walk_max,
        "SNOOP_CALLS": max(syscalls.numbers(architecture)) + 1,
        "SNOOP_CALLS32": max(narrow, default=0) + 1,
        "SNOOP_CALLS32_KNOWN": int(bool(narrow)),
        "SNOOP_SYSCALL_NUMBER": _SYSCALL_NUMBER[architecture],
        {ATTACH_TRACEPOINT: "SNOOP_ATTACH_TRACEPOINT", ATTACH_RAW: "SNOOP_ATTACH_RAW"}.get(
            plan.attach, "SNOOP_ATTACH_VFS"
        ): 1,
    }
    if plan.attach != ATTACH_RAW and not btf.function("bpf_task_pt_regs"):
        if architecture != "x86_64":
            raise kernel.KernelError(f"this kernel is too old for {plan.attach} on this architecture")
        flags["SNOOP_REGS_ON_STACK"] = f"({_THREAD_SIZE}-{_PT_REGS_SIZE})"
    found = programs.uring_tracepoint(btf)
    if found is not None:
        flags["SNOOP_URING"], flags["SNOOP_URING_ARGUMENT"] = 1, found[1]
    # BCC asks for debug information, which takes a fifth of the time and nobody reads.
    return ["-g0", *(f"-D{name}={value}" for name, value in flags.items())]


def _load(plan: Plan, btf: kernel.Btf) -> tuple[dict[str, int], dict[str, int], Any]:
    architecture = kernel.machine()
    with tempfile.TemporaryDirectory(prefix="snoop-headers-") as name:
        directory = Path(name)
        write_tree(directory, btf, architecture)
        # BCC reads the variable when it is loaded.
        os.environ["BCC_KERNEL_SOURCE"] = name
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
            module = bcc.BPF(text=source(), cflags=cflags(plan, btf, architecture))
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
        shape = programs.shape(label, plan.attach, btf)
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
        btf = kernel.Btf.of_running_kernel()
        lacking = programs.lacking(btf, _symbols()) if plan.attach == ATTACH_VFS else []
        if lacking and plan.strict:
            raise kernel.KernelError(f"this kernel lacks {', '.join(lacking)}")
        if plan.attach == ATTACH_VFS and not programs.can_fexit(btf):
            raise kernel.KernelError("the kernel refuses fexit programs")
        found = programs.uring_tracepoint(btf) if plan.attach != ATTACH_VFS else None
        maps, loaded, keep = _load(plan, btf)
    except kernel.KernelError as error:
        theirs.send(json.dumps({"error": str(error)}).encode())
        return 1
    answer = {
        "maps": list(maps),
        "programs": list(loaded),
        "tracepoints": tracepoints,
        "lacking": lacking,
        "uring": found[0] if found else "",
    }
    descriptors = array.array("i", [*maps.values(), *loaded.values()])
    theirs.sendmsg([json.dumps(answer).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
    # Leave without BCC's own clean-up, which takes tens of milliseconds; the parent holds the descriptors now.
    del keep
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
