"""What one record of the kernel says: a path, what it led to, with what outcome; or why there is none. Pure."""

import errno
import re
from typing import NamedTuple

from snoop_agent import wire
from snoop_agent.tracing import Event
from snoop_report.model import GapCode, Outcome
from snoop_report.paths import decode, normalise

_MISSING = frozenset({errno.ENOENT})
_DENIED = frozenset({errno.EACCES, errno.EPERM})
# Answers that only something that is there can cause: ELOOP, too, is a link's. ENOTDIR is not among them: it may be
# about the name's last part or one before it, so it stays open.
_PRESENT = frozenset(
    {
        errno.EEXIST,
        errno.EISDIR,
        errno.ENOTEMPTY,
        errno.ETXTBSY,
        errno.EROFS,
        errno.ENXIO,
        errno.ENODATA,
        errno.ELOOP,
        errno.EXDEV,
        errno.ENOEXEC,
        errno.ERANGE,
        errno.EBUSY,
        errno.EOVERFLOW,
        errno.EOPNOTSUPP,
    }
)

# Beyond these a string of a truncated record may be the one that was cut: bytes as in bpf/walk.h; of the components,
# some of the walk's steps may have been mounts.
_WHOLE_BYTES = wire.NAME_MAX - 256
_WHOLE_COMPONENTS = wire.COMPONENTS_MAX - 148

# Where the kernel leads a process to a place of its own: below, names are those of another directory.
_OWN = re.compile(rb"/proc/(?:self|thread-self)/|/dev/fd/")
_OWN_ROOT = re.compile(rb"/proc/(?:self|thread-self)/root(?=/|\Z)")
_OWN_PLACE = re.compile(rb"/proc/[^/]+/(?:task/[0-9]+/)?(?:root|cwd|fd/[0-9]+)/|/dev/fd/[0-9]+/")


class Sighting(NamedTuple):
    """What one event tells. Paths are the container's, absolute and normal."""

    path: bytes
    """Empty: there is nothing to record."""
    target: bytes
    outcome: Outcome
    collapsed: bool
    executable: bytes
    gaps: tuple[GapCode, ...]
    elsewhere: bool = False
    """The blind spot is in the place of another process, so perhaps in another container's image."""


def outcome_of(error: int, kinds: int = 0) -> Outcome:
    """Tell what the kernel's answer (0 or -errno) says of the path.

    EINVAL of a readlink says that something is there which is no link: that is how realpath(3) proves a path.
    """
    if not error or -error in _PRESENT or (-error == errno.EINVAL and kinds & wire.READLINK):
        return Outcome.EXISTS
    if -error in _MISSING:
        return Outcome.MISSING
    return Outcome.DENIED if -error in _DENIED else Outcome.FAILED


def interpret(event: Event, exclude: tuple[bytes, ...] = ()) -> Sighting:
    """Turn an event into a sighting; nothing that could not be seen is made up.

    What was asked for and may have succeeded (an unconfirmed request) counts as used.

    `exclude` are path prefixes. If only one of the asked and the resolved path is excluded, the other one is recorded:
    /proc/self/exe is excluded and the program that it leads to is not, /etc/mtab is a file of the image although it
    leads to /proc.
    """
    outcome = outcome_of(event.error, event.kinds)
    if event.flags & wire.EITHER and outcome is Outcome.MISSING:
        outcome = Outcome.FAILED  # it may be another name that is not there
    used = outcome is Outcome.EXISTS
    gaps: list[GapCode] = []
    elsewhere = False
    truncated = bool(event.flags & wire.TRUNCATED)
    if truncated and used:
        gaps.append(GapCode.PATH_TRUNCATED)
    torn = not (_legible(event.base) and _legible(event.target))
    if used and (torn or event.flags & wire.ASKED_UNREADABLE):
        gaps.append(GapCode.PATH_UNREADABLE)

    asked = b"" if truncated and len(event.asked) >= wire.NAME_MAX - 1 else event.asked
    if asked and (event.flags & wire.BASE_OUTSIDE or not _whole(event.base, truncated)):
        asked = b""
    if own := _OWN_ROOT.match(asked):
        # The process's own root, which `base` is.
        asked = asked[own.end() :] or b"/"
    path = _absolute(asked, event.base, event.below) if asked else b""
    unfolded = _unfolded(asked, event.base, event.below) if path else b""

    outside = bool(event.flags & wire.OUTSIDE)
    collapsed = bool(event.flags & (wire.DELETED | wire.OUTSIDE))
    target = event.target if not outside and _whole(event.target, truncated) else b""

    if used and not path and not target and not gaps:
        gaps.append(GapCode.BLIND_SPOT)
        elsewhere = bool(event.flags & (wire.OUTSIDE | wire.BASE_OUTSIDE))
    if path.startswith(exclude):
        # The excluded name may lead to one that is not.
        if used and not target and _OWN_PLACE.match(path):
            gaps.append(GapCode.BLIND_SPOT)
            elsewhere = not _OWN.match(path)
        path = b""
        if unfolded.startswith(exclude):
            unfolded = b""
    if target.startswith(exclude):
        target = b""
    executable = event.executable if _whole(event.executable, truncated) else b""
    path = unfolded or path
    return Sighting(path or target, target, outcome, collapsed, executable, tuple(gaps), elsewhere)


def _absolute(asked: bytes, base: bytes, below: int) -> bytes:
    start = decode(base) or "/"
    # An absolute name starts at the process's root, which `base` is then. A relative one cannot climb above that.
    root = start
    if asked[:1] != b"/":
        names = [name for name in start.split("/") if name]
        root = "/" + "/".join(names[: len(names) - below]) if 0 <= below <= len(names) else "/"
    return normalise(decode(asked), base=start, root=root).encode("utf-8", "surrogateescape")


def _unfolded(asked: bytes, base: bytes, below: int) -> bytes:
    """Write an asked path with the `..` that follow a name: that may be a link, so `..` may lead anywhere.

    Only whoever can read the links can tell. Empty: there is no such `..`. A base holds no links.
    """
    parts = [part for part in asked.split(b"/") if part not in (b"", b".")]
    names = next((at for at, part in enumerate(parts) if part != b".."), len(parts))
    if b".." not in parts[names:]:
        return b""
    start = _absolute(b"/".join([*([b""] if asked[:1] == b"/" else []), *parts[:names]]) or b"/", base, below)
    return start.rstrip(b"/") + b"/" + b"/".join(parts[names:])


def _whole(path: bytes, truncated: bool) -> bool:
    """Whether a walk is all there; of a truncated record any long one may be the one that was cut."""
    cut = truncated and (len(path) >= _WHOLE_BYTES or path.count(b"/") >= _WHOLE_COMPONENTS)
    return not cut and _legible(path)


def _legible(path: bytes) -> bool:
    """Whether each step of a walk has its name: one that the kernel side could not read is empty, or zeros."""
    return b"//" not in path and b"\0" not in path
