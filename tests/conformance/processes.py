"""Who is whose child, and where each process stands: the traced command's threads, their working and root directories.

strace prints the working directory with AT_FDCWD alone; calls like open(2) and stat(2) take it from here.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tests.conformance.paths import join, physical
from tests.conformance.strace import DELETED, FORKS, Call, End, descriptor, split, string


@dataclass(slots=True)
class Place:
    """What fs_struct holds; threads share it, forked processes get a copy (CLONE_FS in clone(2))."""

    cwd: bytes
    root: bytes = b"/"
    mounts: int = 0
    """Which mount namespace it is in; 0 is the one that all began in."""

    def copy(self) -> "Place":
        return Place(self.cwd, self.root, self.mounts)


@dataclass(slots=True)
class _Life:
    """One thread. Numbers are used again, so a number alone names nobody."""

    first: int
    place: Place | None = None
    """None: none of the command's."""


@dataclass(slots=True)
class Tree:
    """What the command's own threads did, in order, and the numbers that they had."""

    calls: list[tuple[Call, Place]] = field(default_factory=list)
    """Each with a copy of where its process stood when it began."""
    threads: set[int] = field(default_factory=set)
    directories: set[bytes] = field(default_factory=set)
    """Working directories that strace read from the kernel, links resolved."""
    binds: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Bind mounts: where, and of what. So are the new root and the old one of pivot_root; empty is the root itself."""
    pivoted: bool = False
    """A root was exchanged: from then on what others resolve has other names than the process's own."""
    begun: bool = False


def follow(events: Iterable[Call | End], command: list[bytes], cwd: bytes) -> Tree:
    """Keep what the first process that executes `command`, and everything that comes from it, does from then on."""
    listed = list(events)
    lives = _lives(listed)
    tree = Tree()
    for line, event, beginning in _ordered(listed):
        life = _at(lives.get(event.thread, []), line)
        if life is None:
            continue
        if not tree.begun and isinstance(event, Call) and not beginning and _is_command(event, command):
            tree.begun = True
            life.place = Place(cwd)
            tree.threads.add(event.thread)
            tree.calls.append((event, life.place.copy()))
            continue
        if life.place is None or isinstance(event, End):
            continue
        if beginning:
            if event.name in FORKS and event.result > 0:
                _fork(event, life.place, lives, tree)
            continue
        tree.calls.append((event, life.place.copy()))
        if event.result >= 0:
            _move(event, life, tree)
            if event.name == "pivot_root":
                _pivot(event, life.place, lives, tree)
    return tree


def _ordered(events: list[Call | End]) -> Iterator[tuple[int, Call | End, bool]]:
    """Order by line. A fork counts twice: where it begins, since the child may run before its parent returns."""
    moments: list[tuple[int, int, Call | End, bool]] = []
    for index, event in enumerate(events):
        if isinstance(event, Call):
            if event.name in FORKS:
                moments.append((event.start, index, event, True))
            moments.append((event.end, index, event, False))
        else:
            moments.append((event.line, index, event, False))
    for line, _, event, beginning in sorted(moments, key=lambda one: (one[0], not one[3], one[1])):
        yield line, event, beginning


def _lives(events: list[Call | End]) -> dict[int, list[_Life]]:
    found: dict[int, list[_Life]] = {}
    ended: set[int] = set()
    for event in events:
        start = event.start if isinstance(event, Call) else event.line
        if event.thread not in found or event.thread in ended:
            found.setdefault(event.thread, []).append(_Life(start))
            ended.discard(event.thread)
        if isinstance(event, End):
            ended.add(event.thread)
    return found


def _at(lives: list[_Life], line: int) -> _Life | None:
    """The life that a line belongs to: the last one begun by then."""
    current = None
    for life in lives:
        if life.first > line:
            break
        current = life
    return current


def _fork(call: Call, place: Place, lives: dict[int, list[_Life]], tree: Tree) -> None:
    child = call.translated or call.result
    # fork's siblings have no flags.
    shared = any("CLONE_FS" in argument for argument in call.arguments)
    tree.threads.add(child)
    for life in lives.get(child, []):
        if life.first > call.start:
            life.place = place if shared else place.copy()
            return


def _is_command(call: Call, command: list[bytes]) -> bool:
    if call.name != "execve" or call.result != 0 or len(call.arguments) < 2:
        return False
    argv = [string(one) for one in split(call.arguments[1].strip("[]"))]
    return string(call.arguments[0]) == command[0] and argv == command


def _move(call: Call, life: _Life, tree: Tree) -> None:
    place = life.place
    if place is None:
        return
    if call.name in ("chdir", "chroot"):
        name = string(call.arguments[0])
        if name is None:
            return
        to = physical(join(name, place.cwd, place.root), place.root)
        if call.name == "chdir":
            place.cwd = to
        else:
            place.root = to
    elif call.name == "fchdir":
        _, path = descriptor(call.arguments[0])
        if path is not None:
            place.cwd = standing(path)
    elif call.name == "mount" and "MS_BIND" in call.arguments[3]:
        names = [string(one) for one in call.arguments[:2]]
        if names[0] and names[1]:
            source, to = (physical(join(one, place.cwd, place.root), place.root) for one in names if one)
            tree.binds.append((to, source))
    elif call.name == "unshare" and any(flag in call.arguments[0] for flag in ("CLONE_FS", "CLONE_NEWNS")):
        life.place = place.copy()
        if "CLONE_NEWNS" in call.arguments[0]:
            life.place.mounts = call.end
    else:
        # What strace prints is the truth: it read it from the kernel during the call.
        for argument in call.arguments[:3]:
            if argument.startswith("AT_FDCWD<"):
                _, path = descriptor(argument)
                if path is not None:
                    place.cwd = standing(path)
                    tree.directories.add(place.cwd)
                break


def _pivot(call: Call, place: Place, lives: dict[int, list[_Life]], tree: Tree) -> None:
    """pivot_root(2): the new root is the top of the mount namespace, for all who are in it; every name starts there."""
    tree.pivoted = True
    name = string(call.arguments[0])
    if name is None:
        return
    top = physical(join(name, place.cwd, place.root), place.root)
    old = string(call.arguments[1])
    # An image has the names that were good before.
    tree.binds.append((b"", top))
    if old is not None:
        tree.binds.append((physical(join(old, place.cwd, place.root), place.root).removeprefix(top), b""))
    moved = [life.place for several in lives.values() for life in several if life.place]
    for one in {id(other): other for other in moved if other.mounts == place.mounts}.values():
        one.cwd = b"/" + one.cwd.removeprefix(top).lstrip(b"/")
        one.root = b"/"


def standing(path: bytes) -> bytes:
    """A directory's path as /proc has it, without what the kernel adds if it is gone."""
    return path if os.path.isdir(path) else path.removesuffix(DELETED)  # noqa: PTH112 - bytes
