"""Names to paths, for the witness: by its own few lines, so that it shares no mistake with what it checks."""

import os
import re

_SHOWN = 240
_PROC_ROOT = re.compile(rb"^/proc/(?:self|thread-self|\d+)/root/")
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")


def join(name: bytes, cwd: bytes, root: bytes = b"/") -> bytes:
    """Make a name absolute without interpreting it: only `.`, `//` and a trailing slash go."""
    whole = root + b"/" + name if name.startswith(b"/") else cwd + b"/" + name
    return b"/" + b"/".join(part for part in whole.split(b"/") if part not in (b"", b"."))


def spellings(path: bytes, root: bytes = b"/") -> set[bytes]:
    """The ways in which a joined path may be told without telling something false.

    One with `..` may be told as it was asked for, or by what it names: `link/..` is not the link's own directory. What
    is asked for below a process's root directory in /proc may be told by its own name.
    """
    found = {path}
    if b".." in path.split(b"/"):
        found.add(physical_parents(path, root))
    return found | {_PROC_ROOT.sub(b"/", one) for one in found}


def physical_parents(path: bytes, root: bytes = b"/") -> bytes:
    """Fold each `..`: after a directory lexically, after a link from where the link leads to. Looks at the disk."""
    done = b""
    for part in path.split(b"/"):
        if part == b"..":
            if done == root.rstrip(b"/"):
                continue
            if os.path.islink(done):  # noqa: PTH114 - bytes
                done = physical(done, root)
            done = done.rpartition(b"/")[0]
        elif part:
            done += b"/" + part
    return done or b"/"


def physical(path: bytes, root: bytes = b"/") -> bytes:
    """Follow every link, as the kernel does for a process with this root directory.

    What was found is kept: paths are compared once nothing changes any more, many of them lie in the same directories,
    and some lie a thousand directories deep.
    """
    top = root.rstrip(b"/")
    return _follow(_below(path, root), top, 40) or b"/"


_followed: dict[tuple[bytes, bytes], bytes] = {}


def forget() -> None:
    """Forget where links led to: something has run meanwhile."""
    _followed.clear()


def _follow(path: bytes, top: bytes, budget: int) -> bytes:
    """Resolve a path that starts at `top`."""
    left: list[bytes] = []
    while path and (path, top) not in _followed:
        path, _, part = path.rpartition(b"/")
        left.append(part)
    done = _followed[path, top] if path else top
    while left:
        part = left.pop()
        path += b"/" + part
        at = done + b"/" + part
        if part in (b"", b"."):
            pass
        elif part == b"..":
            done = done if done == top else done.rpartition(b"/")[0]
        elif budget and os.path.islink(at):  # noqa: PTH114 - bytes
            to = os.readlink(at)  # noqa: PTH115 - bytes
            done = _follow(to if to.startswith(b"/") else done[len(top) :] + b"/" + to, top, budget - 1)
        else:
            done = at
        _followed[path, top] = done
    return done


def _below(path: bytes, root: bytes) -> bytes:
    top = root.rstrip(b"/")
    return path[len(top) :] if top and (path == top or path.startswith(top + b"/")) else path


def unescape(text: str) -> bytes:
    r"""Read a path of a report: \xNN stands for the byte NN."""
    raw, at = b"", 0
    for found in _ESCAPE.finditer(text):
        raw += text[at : found.start()].encode() + bytes([int(found[1], 16)])
        at = found.end()
    return raw + text[at:].encode()


def show(path: bytes) -> str:
    """A path on one line."""
    if len(path) > _SHOWN:
        path = path[: _SHOWN // 2] + b"[%d bytes]" % len(path) + path[-_SHOWN // 2 :]
    return path.decode("utf-8", "backslashreplace").replace("\n", "\\n")
