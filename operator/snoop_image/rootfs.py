"""A root file system in a folder, walked without following a link or crossing into another mount."""

import os
import re
import stat
from dataclasses import replace
from pathlib import Path

from snoop_image.assemble import Parsers, Progress, finish
from snoop_image.gather import Gatherer
from snoop_image.limits import Limits
from snoop_image.model import Entry, FileType, ImageError, Inventory, Layer
from snoop_image.tree import Tree

_TYPES = {
    stat.S_IFREG: FileType.FILE,
    stat.S_IFDIR: FileType.DIRECTORY,
    stat.S_IFLNK: FileType.SYMLINK,
    stat.S_IFCHR: FileType.CHARACTER,
    stat.S_IFBLK: FileType.BLOCK,
    stat.S_IFIFO: FileType.FIFO,
    stat.S_IFSOCK: FileType.SOCKET,
}
_STEP = 1000
_OCTAL = re.compile(rb"\\([0-7]{3})")


def read_folder(folder: Path, parsers: Parsers, limits: Limits, progress: Progress | None = None) -> Inventory:
    """Read a root file system. What cannot be read is told in notes. ImageError if the folder itself cannot be."""
    try:
        root = folder.resolve(strict=True)
        if not root.is_dir():
            raise ImageError(f"{folder}: is no folder")
        with os.scandir(root):
            pass
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        raise ImageError(f"{folder}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    walk = _Walk(os.fsencode(root), Gatherer(parsers.wanted, parsers.read_elf, limits), limits, str(folder))
    walk.run(progress)
    walk.follow(parsers)
    found = Inventory(source=str(folder), layers=[Layer()])
    return finish(found, walk.tree, parsers, walk.gatherer)


class _Walk:
    """One walk over the folder, directory by directory."""

    def __init__(self, root: bytes, gatherer: Gatherer, limits: Limits, what: str) -> None:
        self._root = root
        self.gatherer = gatherer
        self.tree = Tree()
        self._limits = limits
        self._what = what
        self._mounts = _mounts_below(root)
        self._inodes: dict[tuple[int, int], str] = {}
        self._link = 0

    def run(self, progress: Progress | None) -> None:
        """Walk."""
        self._add("/", os.lstat(self._root))
        pending = ["/"]
        size = 0
        while pending:
            directory = pending.pop()
            for name in self._names(directory):
                path = f"{directory}/{name}" if directory != "/" else f"/{name}"
                try:
                    status = os.lstat(self._real(path))
                except OSError as error:
                    self.gatherer.note("unreadable", f"{path}: cannot be read: {error.strerror}")
                    continue
                size += status.st_size if stat.S_ISREG(status.st_mode) else 0
                if not self._add(path, status):
                    continue
                if path in self._mounts:
                    self.gatherer.note("mount", f"{path}: is a mount of its own, and not read")
                else:
                    pending.append(path)
            if progress and len(self.tree.entries) % _STEP < 50:
                progress(f"{len(self.tree.entries)} names", size, 0)

    def _real(self, path: str) -> bytes:
        # Bytes, since the locale's encoding need not be UTF-8.
        return self._root + path.encode("utf-8", "surrogateescape")

    def _names(self, directory: str) -> list[str]:
        try:
            with os.scandir(self._real(directory)) as found:
                return [name.name.decode("utf-8", "surrogateescape") for name in found]
        except OSError as error:
            self.gatherer.note(
                "unreadable", f"{directory}: cannot be listed: {error.strerror}: what is in it is not known"
            )
            return []

    def _add(self, path: str, status: os.stat_result) -> bool:
        """Add a name; True if it is a directory to go into."""
        if len(self.tree.entries) >= self._limits.entries:
            raise ImageError(f"{self._what}: has more than {self._limits.entries} names")
        kind = _TYPES[stat.S_IFMT(status.st_mode)]
        entry = Entry(
            path=path,
            type=kind,
            mode=stat.S_IMODE(status.st_mode),
            uid=status.st_uid,
            gid=status.st_gid,
            size=status.st_size if kind is FileType.FILE else 0,
            target=self._target(path) if kind is FileType.SYMLINK else "",
            attributes=self._attributes(path),
        )
        if kind is not FileType.DIRECTORY and status.st_nlink > 1 and (first := self._other_name(path, status)):
            entry = replace(entry, link=self.tree.entries[first].link)
            self.tree.entries[path] = entry
            self.tree.copy(path, self.tree, first)
            if path in self.tree.contents or not self.gatherer.wanted(path):
                return False
        self.tree.entries[path] = entry
        if kind is FileType.FILE:
            self._content(path, entry, self.gatherer)
        return kind is FileType.DIRECTORY

    def _other_name(self, path: str, status: os.stat_result) -> str:
        """Give the first name of the same file, numbered; empty if this one is the first."""
        first = self._inodes.setdefault((status.st_dev, status.st_ino), path)
        if first == path:
            return ""
        known = self.tree.entries[first]
        if not known.link:
            self._link += 1
            self.tree.entries[first] = replace(known, link=self._link)
        return first

    def _target(self, path: str) -> str:
        try:
            return os.readlink(self._real(path)).decode("utf-8", "surrogateescape")  # noqa: PTH115 # bytes
        except OSError as error:
            self.gatherer.note("unreadable", f"{path}: where it leads cannot be read: {error.strerror}")
            return ""

    def _attributes(self, path: str) -> tuple[str, ...]:
        try:
            return tuple(sorted(os.listxattr(self._real(path), follow_symlinks=False)))
        except OSError:
            return ()  # a file system without any

    def follow(self, parsers: Parsers) -> None:
        """Read what is wanted under a symlink's name."""
        every = Gatherer(lambda _: True, lambda _: None, self._limits)
        for path, entry in self.tree.entries.items():
            if entry.type is not FileType.SYMLINK or not parsers.wanted(path):
                continue
            target = self.tree.entries.get(parsers.resolve(self.tree.entries, path))
            if target is None or target.type is not FileType.FILE:
                continue
            if target.path not in self.tree.contents:
                self._content(target.path, target, every)
            if (content := self.tree.contents.get(target.path)) is not None:
                self.tree.contents[path] = content

    def _content(self, path: str, entry: Entry, gatherer: Gatherer) -> None:
        if not entry.size:
            return
        try:
            # Not a link's target, and no waiting, if it is another thing by now.
            descriptor = os.open(self._real(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb", buffering=0) as file:
                gatherer.take(self.tree, path, entry.mode, entry.size, file)
        except OSError as error:
            self.gatherer.note("unreadable", f"{path}: its content cannot be read: {error.strerror}")


def _mounts_below(root: bytes) -> frozenset[str]:
    """Give the mount points strictly below a folder, as paths in it (proc_pid_mountinfo(5), field 5)."""
    below = set()
    prefix = root.rstrip(b"/")
    try:
        lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        fields = line.split(b" ")
        if len(fields) < 5:
            continue
        point = _OCTAL.sub(lambda match: bytes([int(match.group(1), 8)]), fields[4])
        if point.startswith(prefix + b"/") and len(point) > len(prefix) + 1:
            below.add(point[len(prefix) :].decode("utf-8", "surrogateescape"))
    return frozenset(below)
