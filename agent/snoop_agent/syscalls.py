"""Which system calls name files, and which of their arguments do. The rows of the kernel side's `calls` map.

Numbers: x86-64 from arch/x86/entry/syscalls/syscall_64.tbl, aarch64 from include/uapi/asm-generic/unistd.h.
"""

from dataclasses import dataclass

from snoop_agent.wire import (
    BY_BLIND,
    BY_CHDIR,
    BY_CHROOT,
    BY_EXEC,
    BY_FCHDIR,
    BY_FD,
    BY_MOUNT,
    BY_NAME,
    BY_OPEN,
    BY_OPENAT2,
    BY_RESULT,
    BY_SETNS,
    BY_SOCKET,
    BY_UNSHARE,
    CHDIR,
    CREATE,
    EXECUTE,
    LIST,
    MAP,
    MODIFY,
    NO_ARGUMENT,
    OPEN,
    READ,
    READLINK,
    STAT,
    WRITE,
)


@dataclass(frozen=True, slots=True)
class Call:
    """One system call: `name`, `dirfd`, `extra`, `second` and `second_dirfd` are argument indices."""

    label: str
    kinds: int
    how: int
    name: int
    dirfd: int = NO_ARGUMENT
    extra: int = 0
    x86_64: int | None = None
    aarch64: int | None = None
    tracepoint: str = ""
    """What the kernel calls it, if not `label` (the name of its SYSCALL_DEFINE)."""
    second: int = NO_ARGUMENT
    """Another path: the name that the call makes."""
    second_dirfd: int = NO_ARGUMENT
    optional: bool = False
    """Tells how a file is used that an open has told of before: not worth its cost beside production."""

    @property
    def recent(self) -> bool:
        """Whether a kernel may lack the call itself, so that nobody can use it there (5.1 began at 424)."""
        return min(number for number in (self.x86_64, self.aarch64) if number is not None) >= 424

    @property
    def exit_tracepoint(self) -> str:
        """Name of the tracepoint at its exit, in the category `syscalls`."""
        return f"sys_exit_{self.tracepoint or self.label}"


CALLS: tuple[Call, ...] = (
    Call("open", 0, BY_OPEN, 0, extra=1, x86_64=2),
    Call("openat", 0, BY_OPEN, 1, 0, extra=2, x86_64=257, aarch64=56),
    Call("openat2", 0, BY_OPENAT2, 1, 0, extra=2, x86_64=437, aarch64=437),
    Call("creat", WRITE, BY_OPEN, 0, x86_64=85),
    Call("stat", STAT, BY_NAME, 0, x86_64=4, tracepoint="newstat"),
    Call("lstat", STAT, BY_NAME, 0, x86_64=6, tracepoint="newlstat"),
    Call("newfstatat", STAT, BY_NAME, 1, 0, x86_64=262, aarch64=79),
    Call("statx", STAT, BY_NAME, 1, 0, x86_64=332, aarch64=291),
    Call("access", STAT, BY_NAME, 0, x86_64=21),
    Call("faccessat", STAT, BY_NAME, 1, 0, x86_64=269, aarch64=48),
    Call("faccessat2", STAT, BY_NAME, 1, 0, x86_64=439, aarch64=439),
    Call("statfs", STAT, BY_NAME, 0, x86_64=137, aarch64=43),
    Call("readlink", READLINK, BY_NAME, 0, x86_64=89),
    Call("readlinkat", READLINK, BY_NAME, 1, 0, x86_64=267, aarch64=78),
    Call("execve", EXECUTE, BY_EXEC, 0, x86_64=59, aarch64=221),
    Call("execveat", EXECUTE, BY_EXEC, 1, 0, x86_64=322, aarch64=281),
    Call("chdir", CHDIR, BY_CHDIR, 0, x86_64=80, aarch64=49),
    Call("fchdir", CHDIR, BY_FCHDIR, 0, x86_64=81, aarch64=50),
    Call("unshare", 0, BY_UNSHARE, NO_ARGUMENT, x86_64=272, aarch64=97),
    Call("setns", 0, BY_SETNS, NO_ARGUMENT, x86_64=308, aarch64=268),
    Call("connect", OPEN, BY_SOCKET, 1, x86_64=42, aarch64=203),
    Call("bind", CREATE, BY_SOCKET, 1, x86_64=49, aarch64=200),
    Call("getdents", LIST, BY_FD, 0, x86_64=78),
    Call("getdents64", LIST, BY_FD, 0, x86_64=217, aarch64=61),
    Call("truncate", WRITE, BY_NAME, 0, x86_64=76, aarch64=45),
    Call("unlink", MODIFY, BY_NAME, 0, x86_64=87),
    Call("unlinkat", MODIFY, BY_NAME, 1, 0, x86_64=263, aarch64=35),
    Call("rmdir", MODIFY, BY_NAME, 0, x86_64=84),
    Call("chmod", MODIFY, BY_NAME, 0, x86_64=90),
    Call("fchmodat", MODIFY, BY_NAME, 1, 0, x86_64=268, aarch64=53),
    Call("chown", MODIFY, BY_NAME, 0, x86_64=92),
    Call("lchown", MODIFY, BY_NAME, 0, x86_64=94),
    Call("fchownat", MODIFY, BY_NAME, 1, 0, x86_64=260, aarch64=54),
    Call("utimensat", MODIFY, BY_NAME, 1, 0, x86_64=280, aarch64=88),
    Call("rename", MODIFY, BY_NAME, 0, x86_64=82, second=1),
    Call("renameat", MODIFY, BY_NAME, 1, 0, x86_64=264, aarch64=38, second=3, second_dirfd=2),
    Call("renameat2", MODIFY, BY_NAME, 1, 0, x86_64=316, aarch64=276, second=3, second_dirfd=2),
    Call("link", STAT, BY_NAME, 0, x86_64=86, second=1),
    Call("linkat", STAT, BY_NAME, 1, 0, x86_64=265, aarch64=37, second=3, second_dirfd=2),
    Call("symlink", CREATE, BY_NAME, 1, x86_64=88),
    Call("symlinkat", CREATE, BY_NAME, 2, 1, x86_64=266, aarch64=36),
    Call("mkdir", CREATE, BY_NAME, 0, x86_64=83),
    Call("mkdirat", CREATE, BY_NAME, 1, 0, x86_64=258, aarch64=34),
    Call("mknod", CREATE, BY_NAME, 0, x86_64=133),
    Call("mknodat", CREATE, BY_NAME, 1, 0, x86_64=259, aarch64=33),
    Call("getxattr", STAT, BY_NAME, 0, x86_64=191, aarch64=8),
    Call("lgetxattr", STAT, BY_NAME, 0, x86_64=192, aarch64=9),
    Call("utime", MODIFY, BY_NAME, 0, x86_64=132),
    Call("utimes", MODIFY, BY_NAME, 0, x86_64=235),
    Call("futimesat", MODIFY, BY_NAME, 1, 0, x86_64=261),
    Call("fchmodat2", MODIFY, BY_NAME, 1, 0, x86_64=452, aarch64=452),
    Call("setxattr", MODIFY, BY_NAME, 0, x86_64=188, aarch64=5),
    Call("lsetxattr", MODIFY, BY_NAME, 0, x86_64=189, aarch64=6),
    Call("listxattr", STAT, BY_NAME, 0, x86_64=194, aarch64=11),
    Call("llistxattr", STAT, BY_NAME, 0, x86_64=195, aarch64=12),
    Call("removexattr", MODIFY, BY_NAME, 0, x86_64=197, aarch64=14),
    Call("lremovexattr", MODIFY, BY_NAME, 0, x86_64=198, aarch64=15),
    Call("chroot", CHDIR, BY_CHROOT, 0, x86_64=161, aarch64=51),
    Call("name_to_handle_at", STAT, BY_NAME, 1, 0, x86_64=303, aarch64=264),
    Call("open_tree", OPEN, BY_NAME, 1, 0, x86_64=428, aarch64=428),
    Call("fanotify_mark", STAT, BY_NAME, 4, 3, x86_64=301, aarch64=262),
    Call("io_uring_setup", 0, BY_BLIND, NO_ARGUMENT, x86_64=425, aarch64=425),
    Call("open_by_handle_at", 0, BY_BLIND, NO_ARGUMENT, x86_64=304, aarch64=265),
    Call("inotify_add_watch", STAT, BY_NAME, 1, x86_64=254, aarch64=27),
    Call("mount", STAT, BY_MOUNT, 1, x86_64=165, aarch64=40, extra=3, second=0),
    Call("umount2", STAT, BY_NAME, 0, x86_64=166, aarch64=39, tracepoint="umount"),
    Call("swapoff", READ, BY_NAME, 0, x86_64=168, aarch64=225),
    Call("move_mount", STAT, BY_NAME, 1, 0, x86_64=429, aarch64=429),
    Call("mount_setattr", STAT, BY_NAME, 1, 0, x86_64=442, aarch64=442),
    Call("fspick", STAT, BY_NAME, 1, 0, x86_64=433, aarch64=433),
    Call("pivot_root", CHDIR, BY_NAME, 0, x86_64=155, aarch64=41),
    Call("swapon", READ, BY_NAME, 0, x86_64=167, aarch64=224),
    Call("acct", WRITE, BY_NAME, 0, x86_64=163, aarch64=89),
    Call("pidfd_getfd", OPEN, BY_RESULT, NO_ARGUMENT, x86_64=438, aarch64=438),
    Call("setxattrat", MODIFY, BY_NAME, 1, 0, x86_64=463, aarch64=463),
    Call("getxattrat", STAT, BY_NAME, 1, 0, x86_64=464, aarch64=464),
    Call("listxattrat", STAT, BY_NAME, 1, 0, x86_64=465, aarch64=465),
    Call("removexattrat", MODIFY, BY_NAME, 1, 0, x86_64=466, aarch64=466),
    Call("open_tree_attr", OPEN, BY_NAME, 1, 0, x86_64=467, aarch64=467),
    Call("file_getattr", STAT, BY_NAME, 1, 0, x86_64=468, aarch64=468),
    Call("file_setattr", MODIFY, BY_NAME, 1, 0, x86_64=469, aarch64=469),
    Call("mmap", MAP, BY_FD, 4, x86_64=9, aarch64=222, optional=True),
)
"""`second` is told if the call succeeded, or failed since that name is there."""

# 32-bit calls of x86, by the row that reads them: arch/x86/entry/syscalls/syscall_32.tbl.
_I386: dict[str, tuple[int, ...]] = {
    "open": (5,),
    "creat": (8,),
    "link": (9,),
    "unlink": (10,),
    "execve": (11,),
    "chdir": (12,),
    "mknod": (14,),
    "chmod": (15,),
    "lchown": (16, 198),
    "stat": (18, 106, 195),
    "mount": (21,),
    "umount2": (22, 52),
    "utime": (30,),
    "access": (33,),
    "rename": (38,),
    "mkdir": (39,),
    "rmdir": (40,),
    "acct": (51,),
    "chroot": (61,),
    "symlink": (83,),
    "lstat": (84, 107, 196),
    "readlink": (85,),
    "swapon": (87,),
    "truncate": (92, 193),
    "statfs": (99, 268),
    "getdents": (89, 141),
    "chown": (182, 212),
    "fchdir": (133,),
    "unshare": (310,),
    "setns": (346,),
    "pivot_root": (217,),
    "bind": (361,),
    "connect": (362,),
    "getdents64": (220,),
    "setxattr": (226,),
    "lsetxattr": (227,),
    "getxattr": (229,),
    "lgetxattr": (230,),
    "listxattr": (232,),
    "llistxattr": (233,),
    "removexattr": (235,),
    "lremovexattr": (236,),
    "utimes": (271,),
    "inotify_add_watch": (292,),
    "openat": (295,),
    "mkdirat": (296,),
    "mknodat": (297,),
    "fchownat": (298,),
    "futimesat": (299,),
    "newfstatat": (300,),
    "unlinkat": (301,),
    "renameat": (302,),
    "linkat": (303,),
    "symlinkat": (304,),
    "readlinkat": (305,),
    "fchmodat": (306,),
    "faccessat": (307,),
    "utimensat": (320, 412),
    "name_to_handle_at": (341,),
    "open_by_handle_at": (342,),
    "renameat2": (353,),
    "execveat": (358,),
    "statx": (383,),
    # From 403 on, numbers are the same as those of 64-bit code.
    **{
        label: (number,)
        for label, number in (
            ("io_uring_setup", 425),
            ("open_tree", 428),
            ("move_mount", 429),
            ("fspick", 433),
            ("openat2", 437),
            ("pidfd_getfd", 438),
            ("faccessat2", 439),
            ("mount_setattr", 442),
            ("fchmodat2", 452),
            ("setxattrat", 463),
            ("getxattrat", 464),
            ("listxattrat", 465),
            ("removexattrat", 466),
            ("open_tree_attr", 467),
            ("file_getattr", 468),
            ("file_setattr", 469),
        )
    },
}


def numbers(architecture: str) -> dict[int, Call]:
    """Map system call numbers of `architecture` (`x86_64`, `aarch64`) to rows."""
    if architecture == "x86_64":
        return {call.x86_64: call for call in CALLS if call.x86_64 is not None}
    return {call.aarch64: call for call in CALLS if call.aarch64 is not None}


def numbers32(architecture: str) -> dict[int, Call]:
    """Map numbers of 32-bit calls to rows. Empty where Snoop has no table of them."""
    if architecture != "x86_64":
        return {}
    rows = {call.label: call for call in CALLS}
    return {number: rows[label] for label, found in _I386.items() for number in found}
