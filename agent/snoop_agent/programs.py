"""Which program of bpf/ is of what type, and what it hooks: looked up in the kernel's BTF by name, never by version."""

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from snoop_agent import bpfsys, kernel
from snoop_agent.plan import ATTACH_TRACEPOINT, ATTACH_VFS, READ_BY_CALLS, READ_BY_CASTS, READ_BY_TYPES

EXEC = "snoop_exec"
SYS_EXIT = "snoop_sys_exit"
URING = "snoop_uring"
FORK = "snoop_fork"
RMDIR = "snoop_rmdir"


class Hook(NamedTuple):
    """One program of the vfs hook set."""

    functions: tuple[str, ...]
    """Kernel functions, the first that is there; they moved between versions."""
    tails: str
    """Its prog array, named after what its tail programs are called."""
    required: bool = False
    """Without it the hook set is not worth having."""
    told: bool = True
    """Its lack is a gap."""


VFS: dict[str, Hook] = {
    "snoop_vfs_open": Hook(("do_filp_open", "do_file_open"), "open", required=True),
    "snoop_vfs_lookup": Hook(("filename_lookup",), "lookup", required=True),
    "snoop_vfs_list": Hook(("iterate_dir",), "list", required=True),
    "snoop_vfs_unlink": Hook(("security_path_unlink",), "remove"),
    "snoop_vfs_rmdir": Hook(("security_path_rmdir",), "remove"),
    "snoop_vfs_rename": Hook(("security_path_rename",), "rename"),
    "snoop_vfs_renamed": Hook(("security_path_rename",), "rename"),
    "snoop_vfs_handle": Hook(("do_handle_open", "__x64_sys_open_by_handle_at", "__arm64_sys_open_by_handle_at"), ""),
    "snoop_vfs_create": Hook(("filename_create",), "create"),
    # What is mapped was opened before.
    "snoop_vfs_map": Hook(("security_mmap_file",), "map", told=False),
}


def function_of(hook: Hook, btf: kernel.Btf) -> int:
    """Find what a hook attaches to: a BTF type ID, 0 if this kernel has none."""
    return next((found for name in hook.functions if (found := btf.function(name))), 0)


def clones(symbols: bytes) -> set[str]:
    """Name the hooked functions that the compiler made special copies of: callers of those are not seen.

    `symbols` is the text of /proc/kallsyms.
    """
    names = b"|".join(name.encode() for hook in VFS.values() for name in hook.functions)
    found = re.findall(rb" (%b)\.(?:constprop|isra|part|llvm)\b" % names, symbols)
    return {name.decode() for name in found}


def lacking(btf: kernel.Btf, symbols: bytes) -> list[str]:
    """Name the functions that the vfs hook set wants and cannot have here. KernelError if it cannot do without."""
    cloned = clones(symbols)
    missing = [hook for hook in VFS.values() if not function_of(hook, btf) or cloned & set(hook.functions)]
    for hook in missing:
        if hook.required:
            raise kernel.KernelError(f"this kernel has no function {' or '.join(hook.functions)} to attach to")
    return [hook.functions[0] for hook in missing if hook.told]


def hooked(btf: kernel.Btf) -> dict[str, int]:
    """Find what each entry program of the vfs hook set attaches to (BTF type ID)."""
    return {entry: function for entry, hook in VFS.items() if (function := function_of(hook, btf))}


def shape(label: str, attach: str, functions: Mapping[str, int], *, uring: bool) -> tuple[int, int, int] | None:
    """Tell type, attach type and hooked function of a program, of those `hooked` found. None: there is none to hook.

    `uring`: io_uring's requests can be told here.
    """
    if label == URING and not uring:
        return None
    for entry, hook in VFS.items():
        if label == entry or (hook.tails and re.fullmatch(rf"snoop_(admit|walk|emit)_{hook.tails}", label)):
            function = functions.get(entry)
            if function:
                return bpfsys.PROGRAM_TRACING, bpfsys.TRACE_FEXIT, function
            if label == entry:
                return None
    if label.startswith("snoop_vfs_") or label.rpartition("_")[2] in {hook.tails for hook in VFS.values()}:
        return None
    if label.endswith("_tp") or (label == SYS_EXIT and attach == "tracepoint"):
        return bpfsys.PROGRAM_TRACEPOINT, 0, 0
    return bpfsys.PROGRAM_RAW_TRACEPOINT, 0, 0


def tails(attach: str) -> dict[str, dict[int, str]]:
    """List the prog arrays: of each, its programs by index (enum tail in bpf/scratch.h)."""
    admit, walk, emit, blind, call, execute, uring = range(1, 8)

    def own(of: str) -> dict[int, str]:
        stages = {admit: "admit", walk: "walk", emit: "emit"}
        return {index: f"snoop_{stage}_{of}" for index, stage in stages.items()}

    raw = own("raw") | {blind: "snoop_blind_raw", execute: EXEC, uring: URING}
    found = {"tails_raw": raw}
    if attach == "raw_tp":
        raw[call] = SYS_EXIT
    elif attach == "tracepoint":
        found["tails_tp"] = own("tp") | {blind: "snoop_blind_tp", call: SYS_EXIT}
    else:
        found |= {f"tails_{hook.tails}": own(hook.tails) for hook in VFS.values() if hook.tails}
    return found


_URING_EVENTS = ("io_uring_submit_req", "io_uring_submit_sqe")
_URING_MEMBERS = (
    ("io_kiocb", "opcode"),
    ("io_kiocb", "cmd"),
    ("io_open", "dfd"),
    ("io_open", "filename"),
    ("io_open", "how.flags"),
    ("io_statx", "dfd"),
    ("io_statx", "filename"),
)
"""Without these it is not loaded."""


def uring_tracepoint(btf: kernel.Btf) -> tuple[str, int] | None:
    """Find the tracepoint at which io_uring's requests can be read, and which of its arguments is the request."""
    if not all(btf.member(owner, path) for owner, path in _URING_MEMBERS):
        return None
    for name in _URING_EVENTS:
        arguments = btf.tracepoint_arguments(name)
        if "io_kiocb" in arguments:
            return name, arguments.index("io_kiocb")
    return None


_GET_CURRENT_TASK, _GET_CURRENT_TASK_BTF, _TASK_PT_REGS = 35, 158, 175
"""Helpers, from include/uapi/linux/bpf.h."""
RDONLY_CAST = "bpf_rdonly_cast"
"""A function of the kernel's that programs may call."""


def readings(btf: kernel.Btf, attach: str) -> list[str]:
    """List how programs may read kernel memory here (`plan.READINGS`), best first: tried."""
    if not _can_type(btf):
        return [READ_BY_CALLS]
    return [*([READ_BY_CASTS] if _can_cast(btf, attach) else []), READ_BY_TYPES, READ_BY_CALLS]


def words(btf: kernel.Btf) -> int:
    """Find a struct that begins with a 64-bit number: its type ID. 0 if there is none."""
    member = btf.member("timespec64", "tv_sec")
    return btf.struct("timespec64") if member == kernel.Member(0, 8) else 0


def _can_cast(btf: kernel.Btf, attach: str) -> bool:
    function, struct = btf.function(RDONLY_CAST), words(btf)
    if not function or not struct:
        return False
    code = _call(_GET_CURRENT_TASK) + _MOVE_R1_R0 + _move(2, struct) + _call(function, kernel=True) + _load(0, 0)
    kind = bpfsys.PROGRAM_TRACEPOINT if attach == ATTACH_TRACEPOINT else bpfsys.PROGRAM_RAW_TRACEPOINT
    if attach == ATTACH_VFS:
        hooked_function = btf.function("iterate_dir")
        return _loads(code, bpfsys.PROGRAM_TRACING, bpfsys.TRACE_FEXIT, hooked_function)
    return _loads(code, kind)


def _loads(code: bytes, kind: int, attach: int = 0, function: int = 0) -> bool:
    try:
        os.close(bpfsys.load_program(code + _NOTHING, "snoop_probe", kind, attach, function))
    except OSError:
        return False
    return True


def _can_type(btf: kernel.Btf) -> bool:
    """Whether this kernel follows typed pointers from the current task and its registers."""
    members = [btf.member("task_struct", "files"), btf.member("files_struct", "fdt"), btf.member("fdtable", "fd")]
    if not btf.function("bpf_task_pt_regs") or None in members:
        return False
    follow = b"".join(_load(0 if index == 0 else 1, one.offset) for index, one in enumerate(members) if one)
    registers = _call(_GET_CURRENT_TASK_BTF) + _MOVE_R1_R0 + _call(_TASK_PT_REGS) + _load(0, 0)
    return _loads(registers + _call(_GET_CURRENT_TASK_BTF) + follow, bpfsys.PROGRAM_RAW_TRACEPOINT)


_MOVE_R1_R0 = bytes.fromhex("bf01000000000000")
_NOTHING = bytes.fromhex("b7000000000000009500000000000000")
"""r0 = 0; exit"""


def _call(number: int, *, kernel: bool = False) -> bytes:
    """Call a helper or, by its type ID, a function of the kernel's (BPF_PSEUDO_KFUNC_CALL)."""
    return bytes([0x85, 0x20 if kernel else 0, 0, 0]) + number.to_bytes(4, "little")


def _move(register: int, number: int) -> bytes:
    return bytes([0xB7, register, 0, 0]) + number.to_bytes(4, "little")


def _load(source: int, offset: int) -> bytes:
    """Encode `r1 = *(u64 *)(r<source> + offset)`."""
    return bytes([0x79, source << 4 | 1]) + offset.to_bytes(2, "little", signed=True) + bytes(4)


def can_fexit(btf: kernel.Btf) -> bool:
    """Whether this kernel takes fexit programs from this process: tried with an empty one."""
    function = btf.function("iterate_dir")
    return bool(function) and _loads(b"", bpfsys.PROGRAM_TRACING, bpfsys.TRACE_FEXIT, function)
