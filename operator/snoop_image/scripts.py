"""Which programs a script's `#!` line starts. Sources: execve(2), env(1) of coreutils 9 and busybox."""

import re
import shlex
from collections.abc import Iterator, Mapping

from snoop_image.links import resolve
from snoop_image.model import Entry, FileType

# What runtimes give a process whose image sets no PATH (containerd's and Docker's default).
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_WITH_ARGUMENT = frozenset({"-u", "--unset", "-C", "--chdir", "-a", "--argv0"})
_SHELLS = re.compile(r"(?:[^/]*/)*(?:env|busybox|toybox)")


def interpreter(line: str) -> Iterator[str]:
    """Give the programs that a `#!` line starts, first to last: one, or env and the one that env looks for.

    A name with a slash is a path; one without is to be looked for.
    """
    head, *rest = line.split(None, 1) or [""]
    if not head:
        return
    yield head
    if not _SHELLS.fullmatch(head) or not rest:
        return
    for word in _command(rest[0]):
        yield word
        # `busybox env python3`, `env busybox sh`: whoever comes next may be a program as well.
        if not _SHELLS.fullmatch(word):
            return


def _command(argument: str) -> Iterator[str]:
    """Give the words of env's argument that are no options or variables.

    The kernel hands over all of it as one argument, which only -S splits; older kernels' neighbours and busybox do not
    care, so neither is it asked here: a name too many does no harm.
    """
    text = re.sub(r"^\s*(?:-[a-zA-Z]*S|--split-string=?)\s*", " ", argument)
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in _WITH_ARGUMENT:
            skip = True
        elif not word.startswith("-") and not _ASSIGNMENT.match(word):
            yield word


def program(name: str, environment: Mapping[str, str], directory: str, entries: Mapping[str, Entry]) -> str | None:
    """Give the path by which a program would be found, as execvp(3) does; None if the image has none such."""
    if "/" in name:
        path = name if name.startswith("/") else f"{directory.rstrip('/')}/{name}"
        return path if resolve(entries, path).found else None
    for place in (environment.get("PATH") or PATH).split(":"):
        # An empty element is the working directory.
        where = place if place.startswith("/") else f"{directory.rstrip('/')}/{place}"
        path = f"{where.rstrip('/')}/{name}"
        entry = resolve(entries, path).entry
        if entry is not None and entry.type is FileType.FILE and entry.mode & 0o111:
            return path
    return None
