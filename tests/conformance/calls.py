"""Which arguments of which system calls are paths. Written from the man pages; the tracer has a list of its own."""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.conformance.processes import Place, standing
from tests.conformance.strace import FORKS, Call, descriptor, split, string

# The path is the first argument, relative to the working directory.
_PLAIN = frozenset(
    [
        "open",
        "creat",
        "stat",
        "lstat",
        "access",
        "statfs",
        "readlink",
        "truncate",
        "chmod",
        "chown",
        "lchown",
        "utime",
        "utimes",
        "mkdir",
        "rmdir",
        "unlink",
        "mknod",
        "chdir",
        "chroot",
        "execve",
        "uselib",
        "acct",
        "swapon",
        "swapoff",
        "umount",
        "umount2",
        "inotify_add_watch",
        "quotactl",
        "getxattr",
        "lgetxattr",
        "listxattr",
        "llistxattr",
        "setxattr",
        "lsetxattr",
        "removexattr",
        "lremovexattr",
    ]
)
# A directory's descriptor, then a path.
_AT = frozenset(
    [
        "openat",
        "openat2",
        "newfstatat",
        "statx",
        "faccessat",
        "faccessat2",
        "readlinkat",
        "mkdirat",
        "mknodat",
        "unlinkat",
        "fchmodat",
        "fchmodat2",
        "fchownat",
        "utimensat",
        "futimesat",
        "name_to_handle_at",
        "execveat",
        "open_tree",
        "fspick",
        "mount_setattr",
        "getxattrat",
        "setxattrat",
        "listxattrat",
        "removexattrat",
        "fanotify_mark",
    ]
)
# What 32-bit code has besides.
_PLAIN |= frozenset(["stat64", "lstat64", "statfs64", "truncate64", "chown32", "lchown32", "oldstat", "oldlstat"])
_AT |= frozenset(["fstatat64", "utimensat_time64"])
_OTHER = {"inotify_add_watch": 1, "quotactl": 1}
_PAIRS = frozenset(["rename", "link", "pivot_root"])
_AT_PAIRS = frozenset(["renameat", "renameat2", "linkat", "move_mount"])
_SOCKETS = frozenset(["connect", "bind", "sendto"])
LISTINGS = frozenset(["getdents", "getdents64"])
STATS = frozenset(
    [
        "stat",
        "lstat",
        "access",
        "statfs",
        "newfstatat",
        "statx",
        "faccessat",
        "faccessat2",
        "getxattr",
        "lgetxattr",
        "listxattr",
        "llistxattr",
        "inotify_add_watch",
        "name_to_handle_at",
    ]
)
OPENS = frozenset(["open", "openat", "openat2", "creat", "open_tree"])

TRACED = sorted(
    {*_PLAIN, *_AT, *_PAIRS, *_AT_PAIRS, *_SOCKETS, *LISTINGS}
    | {"symlink", "symlinkat", "mount", "fchdir", "unshare", "recvmsg", *FORKS}
)
"""What strace is to trace. It is told to ignore those that it does not know."""


@dataclass(frozen=True, slots=True)
class Name:
    """A path as it was asked for, and where it starts."""

    text: bytes
    base: bytes
    root: bytes
    known: bool = True
    """Whether `base` is known."""


def names(call: Call, place: Place) -> list[Name]:
    """The paths that a call names. Empty ones (AT_EMPTY_PATH: the descriptor is meant) and unreadable ones do not."""
    return list(_names(call, place))


def _names(call: Call, place: Place) -> Iterator[Name]:
    arguments = call.arguments
    if call.name in _OTHER:
        yield from _plain(arguments, _OTHER[call.name], place)
    elif call.name in _PLAIN:
        yield from _plain(arguments, 0, place)
    elif call.name == "fanotify_mark":
        yield from _at(arguments, 3, place)
    elif call.name in _AT:
        yield from _at(arguments, 0, place)
    elif call.name in _PAIRS:
        yield from _plain(arguments, 0, place)
        yield from _plain(arguments, 1, place)
    elif call.name in _AT_PAIRS:
        yield from _at(arguments, 0, place)
        yield from _at(arguments, 2, place)
    elif call.name == "symlink":  # what a link holds is not looked up
        yield from _plain(arguments, 1, place)
    elif call.name == "symlinkat":
        yield from _at(arguments, 1, place)
    elif call.name == "mount":
        yield from _plain(arguments, 1, place)
        # Of other mounts the source is a word ("tmpfs") or a device, which the file system looks up or not.
        if any(flag in arguments[3] for flag in ("MS_BIND", "MS_MOVE")):
            yield from _plain(arguments, 0, place)
    elif call.name in _SOCKETS:
        yield from _socket(arguments, place)


def _plain(arguments: list[str], index: int, place: Place) -> Iterator[Name]:
    text = string(arguments[index]) if index < len(arguments) else None
    if text:
        yield Name(text, place.cwd, place.root)


def _at(arguments: list[str], index: int, place: Place) -> Iterator[Name]:
    text = string(arguments[index + 1]) if index + 1 < len(arguments) else None
    if not text:
        return
    number, path = descriptor(arguments[index])
    if any("RESOLVE_IN_ROOT" in argument for argument in arguments) and path is not None:
        # openat2(2): as if the process had changed its root to that directory.
        yield Name(text, path, path)
    elif text.startswith(b"/"):
        yield Name(text, place.cwd, place.root)
    elif path is not None:
        yield Name(text, standing(path), place.root)
    elif number is None:
        yield Name(text, place.cwd, place.root)
    else:
        # No such descriptor, so the call failed before it looked at the name.
        yield Name(text, b"", place.root, known=False)


def _socket(arguments: list[str], place: Place) -> Iterator[Name]:
    for argument in arguments:
        if argument.startswith("{sa_family=AF_UNIX, sun_path="):
            # An abstract name is written @"...": no path.
            text = string(split(argument[1:-1])[1].partition("=")[2])
            if text:
                yield Name(text, place.cwd, place.root)


def kinds(call: Call) -> frozenset[str]:
    """How a call touches what it names, in a report's words; empty where those leave room for opinions."""
    if call.name in ("open", "openat", "openat2"):
        return _opened(" ".join(call.arguments))
    if call.name in STATS:
        return frozenset(["stat"])
    found = {
        "creat": "write",
        "readlink": "readlink",
        "readlinkat": "readlink",
        "execve": "execute",
        "execveat": "execute",
        "chdir": "chdir",
    }.get(call.name)
    return frozenset([found] if found else [])


def _opened(flags: str) -> frozenset[str]:
    if "O_PATH" in flags:
        return frozenset(["open"])
    found = {"O_WRONLY": {"write"}, "O_RDWR": {"read", "write"}}.get(
        next((word for word in ("O_WRONLY", "O_RDWR") if word in flags), ""), {"read"}
    )
    # Without O_EXCL it is not known whether the file was there before.
    return frozenset(found | ({"create"} if "O_CREAT" in flags and "O_EXCL" in flags else set()))
