"""Which program of bpf/ is of what type, and what it hooks: looked up in the kernel's BTF by name, never by version."""

import os
import re
from typing import NamedTuple

from snoop_agent import bpfsys, kernel

EXEC = "snoop_exec"
SYS_EXIT = "snoop_sys_exit"
URING = "snoop_uring"
FORK = "snoop_fork"


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


def shape(label: str, attach: str, btf: kernel.Btf) -> tuple[int, int, int] | None:
    """Tell type, attach type and hooked function (BTF ID) of a program. None: this kernel has nothing to hook."""
    for entry, hook in VFS.items():
        if label in (entry, f"snoop_walk_{hook.tails}", f"snoop_emit_{hook.tails}"):
            function = function_of(hook, btf)
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
    walk, emit, second, script, chain, loader, uring = range(7)
    raw = {
        walk: "snoop_walk_raw",
        emit: "snoop_emit_raw",
        script: "snoop_exec_script",
        chain: "snoop_exec_chain",
        loader: "snoop_exec_loader",
        uring: "snoop_uring_second",
    }
    found = {"tails_raw": raw}
    if attach == "raw_tp":
        raw[second] = "snoop_second_raw"
    elif attach == "tracepoint":
        found["tails_tp"] = {walk: "snoop_walk_tp", emit: "snoop_emit_tp", second: "snoop_second_tp"}
    else:
        for hook in VFS.values():
            if hook.tails:
                programs = {walk: f"snoop_walk_{hook.tails}", emit: f"snoop_emit_{hook.tails}"}
                found[f"tails_{hook.tails}"] = programs
    return found


_URING_EVENTS = ("io_uring_submit_req", "io_uring_submit_sqe")
_URING_MEMBERS = (("io_kiocb", "opcode"), ("io_kiocb", "cmd"), ("io_open", "filename"), ("io_statx", "filename"))


def uring_tracepoint(btf: kernel.Btf) -> tuple[str, int] | None:
    """Find the tracepoint at which io_uring's requests can be read, and which of its arguments is the request."""
    if not all(btf.member(owner, path) for owner, path in _URING_MEMBERS):
        return None
    for name in _URING_EVENTS:
        arguments = btf.tracepoint_arguments(name)
        if "io_kiocb" in arguments:
            return name, arguments.index("io_kiocb")
    return None


def can_fexit(btf: kernel.Btf) -> bool:
    """Whether this kernel takes fexit programs from this process: tried with an empty one."""
    function = btf.function("iterate_dir")
    if not function:
        return False
    # r0 = 0; exit
    nothing = bytes.fromhex("b7000000000000009500000000000000")
    try:
        os.close(bpfsys.load_program(nothing, "snoop_probe", bpfsys.PROGRAM_TRACING, bpfsys.TRACE_FEXIT, function))
    except OSError:
        return False
    return True
