"""Where the members lie that the kernel side reads: the names of these holes, and what a kernel's BTF puts in them."""

from collections.abc import Iterator

from snoop_agent.kernel import Btf, KernelError, Member

# Every member that bpf/*.h reads. `a.b` reaches into an embedded struct or union.
MEMBERS: dict[str, tuple[str, ...]] = {
    "task_struct": (
        "mm",
        "fs",
        "files",
        "nsproxy",
        "real_parent",
        "group_leader",
        "tasks",
        "flags",
        "comm",
        "signal",
        "tgid",
        "cgroups",
        "stack",
    ),
    "signal_struct": ("live",),
    "mm_struct": ("exe_file", "saved_auxv", "arg_start"),
    "fs_struct": ("root.mnt", "root.dentry", "pwd.mnt", "pwd.dentry"),
    "files_struct": ("fdt",),
    "fdtable": ("fd", "max_fds"),
    "file": ("f_path.mnt", "f_path.dentry", "f_inode", "f_mode"),
    "dentry": ("d_parent", "d_name", "d_name.name", "d_name.len", "d_inode", "d_sb", "d_hash.pprev"),
    "inode": ("i_ino", "i_sb", "i_mode"),
    "super_block": ("s_dev", "s_flags"),
    "mount": ("mnt", "mnt.mnt_root", "mnt_parent", "mnt_mountpoint", "mnt_ns", "mnt_id"),
    "nsproxy": ("mnt_ns",),
    "css_set": ("dfl_cgrp", "subsys"),
    "cgroup_subsys_state": ("cgroup",),
    "cgroup": ("kn", "level", "root"),
    "kernfs_node": ("id", "name"),
    "linux_binprm": ("filename", "fdpath", "interp", "file", "buf"),
    "vm_area_struct": ("vm_start", "vm_end", "vm_file"),
}
# Members that a kernel may lack or name otherwise: (owner, name that bpf/*.h uses, candidates, required).
ALTERNATIVES: tuple[tuple[str, str, tuple[str, ...], bool], ...] = (
    ("kernfs_node", "parent", ("parent", "__parent"), True),
    ("mm_struct", "mm_mt_ma_root", ("mm_mt.ma_root",), False),
    ("mm_struct", "mmap", ("mmap",), False),
    ("vm_area_struct", "vm_next", ("vm_next",), False),
    ("backing_file", "user_path", ("user_path",), False),
    ("path", "mnt", ("mnt",), True),
    ("path", "dentry", ("dentry",), True),
    ("maple_range_64", "pivot", ("pivot",), False),
    ("maple_range_64", "slot", ("slot",), False),
    ("maple_arange_64", "pivot", ("pivot",), False),
    ("maple_arange_64", "slot", ("slot",), False),
    ("cgroup", "ancestors", ("ancestors",), False),
    ("cgroup", "ancestor_ids", ("ancestor_ids",), False),
    ("filename", "name", ("name",), False),
    ("filename", "iname", ("iname",), True),
    ("open_flags", "open_flag", ("open_flag",), True),
    ("open_flags", "lookup_flags", ("lookup_flags",), True),
    ("io_kiocb", "opcode", ("opcode",), False),
    ("io_kiocb", "cmd", ("cmd",), False),
    ("io_open", "dfd", ("dfd",), False),
    ("io_open", "filename", ("filename",), False),
    ("io_open", "how_flags", ("how.flags",), False),
    ("io_statx", "dfd", ("dfd",), False),
    ("io_statx", "filename", ("filename",), False),
    ("io_rename", "old_dfd", ("old_dfd",), False),
    ("io_rename", "oldpath", ("oldpath",), False),
    ("io_rename", "new_dfd", ("new_dfd",), False),
    ("io_rename", "newpath", ("newpath",), False),
    ("io_unlink", "dfd", ("dfd",), False),
    ("io_unlink", "filename", ("filename",), False),
    ("io_mkdir", "dfd", ("dfd",), False),
    ("io_mkdir", "filename", ("filename",), False),
    ("io_link", "old_dfd", ("old_dfd",), False),
    ("io_link", "oldpath", ("oldpath",), False),
    ("io_link", "new_dfd", ("new_dfd",), False),
    ("io_link", "newpath", ("newpath",), False),
    ("io_xattr", "filename", ("filename",), False),
)
# Kernels have one or the other of these.
EITHER = (
    (("cgroup", "ancestors"), ("cgroup", "ancestor_ids")),
    (("filename", "name"), ("filename", "iname")),
    (
        ("mm_struct", "mm_mt.ma_root"),
        ("mm_struct", "mmap"),
    ),
)
# Read in one go: of these structs, all that lies between the first and the last of these members.
SPANS: dict[str, tuple[str, ...]] = {
    "file": ("f_path.mnt", "f_path.dentry", "f_mode"),
    "dentry": ("d_parent", "d_name", "d_inode"),
}
ARCHITECTURE_MEMBERS: dict[str, dict[str, tuple[str, ...]]] = {
    "x86_64": {
        "pt_regs": ("di", "si", "dx", "r10", "r8", "orig_ax", "bx", "cx"),
        "task_struct": ("thread_info.status",),
    },
    "aarch64": {
        "pt_regs": ("regs", "orig_x0", "syscallno"),
        "task_struct": ("thread_info.flags",),
    },
}

SPAN_MAX = 256
"""Bytes of a span, at most (cflags)."""


def names(architecture: str) -> list[str]:
    """Name the holes: OFF_ and SIZE_ of each member, HAS_ where a kernel may lack it, and those of spans."""
    found = []
    for owner, label, _, required in _members(architecture):
        member = f"{owner}_{label}"
        found += [f"OFF_{member}", f"SIZE_{member}", *([] if required else [f"HAS_{member}"])]
    for owner, members in SPANS.items():
        found += [f"SPAN_{owner}", f"SPAN_SIZE_{owner}", *(f"IN_SPAN_{owner}_{_label(path)}" for path in members)]
    return found


def values(btf: Btf, architecture: str) -> dict[str, int | None]:
    """Look all of them up, in bytes. None: this kernel has no such member. KernelError if it is one to have."""
    found: dict[str, int | None] = {}
    for owner, label, candidates, required in _members(architecture):
        member = next((one for path in candidates if (one := btf.member(owner, path)) is not None), None)
        if member is None and required:
            words = candidates[0] if len(candidates) == 1 else f"{{{','.join(candidates)}}}"
            raise KernelError(f"this kernel has no {owner}.{words}, which Snoop reads; please report its version")
        found |= _places(f"{owner}_{label}", member)
        if not required:
            found[f"HAS_{owner}_{label}"] = int(member is not None)
    for owner, members in SPANS.items():
        found |= _span(btf, owner, members)
    for choices in EITHER:
        if not any(btf.member(owner, path) for owner, path in choices):
            words = " or ".join(f"{owner}.{path}" for owner, path in choices)
            raise KernelError(f"this kernel has neither {words}; please report its version")
    return found


def _members(architecture: str) -> Iterator[tuple[str, str, tuple[str, ...], bool]]:
    """List owner, name in bpf/*.h, candidates, and whether one of them has to be there."""
    for owner, members in [*MEMBERS.items(), *ARCHITECTURE_MEMBERS[architecture].items()]:
        yield from ((owner, _label(path), (path,), True) for path in members)
    yield from ALTERNATIVES


def _label(path: str) -> str:
    return path.replace(".", "_")


def _places(name: str, member: Member | None) -> dict[str, int | None]:
    return {
        f"OFF_{name}": member.offset if member is not None else None,
        f"SIZE_{name}": member.size if member is not None else None,
    }


def _span(btf: Btf, owner: str, members: tuple[str, ...]) -> dict[str, int | None]:
    parts = {path: member for path in members if (member := btf.member(owner, path)) is not None}
    low = min(part.offset for part in parts.values())
    # d_name is read as the number that it begins with: hash and length.
    size = max(part.offset + min(part.size, 8) for part in parts.values()) - low
    if size > SPAN_MAX:
        raise KernelError(f"this kernel's struct {owner} is larger than Snoop reads at once; please report its version")
    inside = {f"IN_SPAN_{owner}_{_label(path)}": part.offset - low for path, part in parts.items()}
    return {f"SPAN_{owner}": low, f"SPAN_SIZE_{owner}": size, **inside}
