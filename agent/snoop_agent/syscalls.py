"""Which system calls name files, and which of their arguments do. The rows of the kernel side's `calls` map.

Numbers: x86-64 from arch/x86/entry/syscalls/syscall_64.tbl, aarch64 from include/uapi/asm-generic/unistd.h.
"""

from dataclasses import dataclass

from snoop_agent.wire import (
    BY_BLIND,
    BY_EXEC,
    BY_FD,
    BY_NAME,
    BY_OPEN,
    BY_OPENAT2,
    CHDIR,
    CREATE,
    EXECUTE,
    LIST,
    MODIFY,
    NO_ARGUMENT,
    OPEN,
    READLINK,
    STAT,
    WRITE,
)


@dataclass(frozen=True, slots=True)
class Call:
    """One system call: `name`, `dirfd` and `extra` are argument indices."""

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
    Call("creat", WRITE | CREATE, BY_NAME, 0, x86_64=85),
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
    Call("chdir", CHDIR, BY_NAME, 0, x86_64=80, aarch64=49),
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
    Call("rename", MODIFY, BY_NAME, 0, x86_64=82),
    Call("renameat", MODIFY, BY_NAME, 1, 0, x86_64=264, aarch64=38),
    Call("renameat2", MODIFY, BY_NAME, 1, 0, x86_64=316, aarch64=276),
    Call("link", STAT, BY_NAME, 0, x86_64=86),
    Call("linkat", STAT, BY_NAME, 1, 0, x86_64=265, aarch64=37),
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
    Call("chroot", CHDIR, BY_NAME, 0, x86_64=161, aarch64=51),
    Call("name_to_handle_at", STAT, BY_NAME, 1, 0, x86_64=303, aarch64=264),
    Call("open_tree", OPEN, BY_NAME, 1, 0, x86_64=428, aarch64=428),
    Call("fanotify_mark", STAT, BY_NAME, 4, 3, x86_64=301, aarch64=262),
    Call("io_uring_setup", 0, BY_BLIND, NO_ARGUMENT, x86_64=425, aarch64=425),
    Call("open_by_handle_at", 0, BY_BLIND, NO_ARGUMENT, x86_64=304, aarch64=265),
    Call("inotify_add_watch", STAT, BY_NAME, 1, x86_64=254, aarch64=27),
)
"""Of rename and link, the name that was there; an unlinked or renamed name existed, and so is evidence."""


def numbers(architecture: str) -> dict[int, Call]:
    """Map system call numbers of `architecture` (`x86_64`, `aarch64`) to rows."""
    if architecture == "x86_64":
        return {call.x86_64: call for call in CALLS if call.x86_64 is not None}
    return {call.aarch64: call for call in CALLS if call.aarch64 is not None}
