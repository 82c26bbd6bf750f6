"""Writes what stays of an image as a root file system in a folder, which appears whole or not at all."""

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

from snoop_image.model import FileType, ImageError
from snoop_image.slim_items import Item
from snoop_image.streams import CHUNK
from snoop_image.tree import parent

_NODES = {
    FileType.CHARACTER: stat.S_IFCHR,
    FileType.BLOCK: stat.S_IFBLK,
    FileType.FIFO: stat.S_IFIFO,
    FileType.SOCKET: stat.S_IFSOCK,
}
_VITAL = "security.capability"
"""Without it a program no longer has its file capabilities (capabilities(7))."""
_REFUSED = (errno.ENOTSUP, errno.EPERM, errno.EACCES)


def write_folder(items: Iterable[Item], target: Path) -> list[str]:
    """Write a root file system to `target`, which must not exist or be empty; gives notes of what could not be kept.

    ImageError if something cannot be written; then nothing is there.
    """
    try:
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise ImageError(f"{target.parent}: cannot be written: {error.strerror}") from error
    try:
        notes = _Folder(os.fsencode(work)).write(items)
        # Over an empty folder as well (rename(2)).
        work.rename(target)
    except OSError as error:
        raise ImageError(f"{target}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return notes


class _Folder:
    def __init__(self, root: bytes) -> None:
        self._root = root
        self._directories: dict[str, Item] = {}
        self._notes: list[str] = []

    def write(self, items: Iterable[Item]) -> list[str]:
        for item in items:
            try:
                self._one(item)
            except OSError as error:
                raise ImageError(self._words(item, error)) from error
        # Last, deepest first: what is written below changes a directory's time, and its mode may forbid it.
        for item in reversed(self._directories.values()):
            try:
                self._finish(item)
            except OSError as error:
                raise ImageError(self._words(item, error)) from error
        return self._notes

    @staticmethod
    def _words(item: Item, error: OSError) -> str:
        if error.errno in (errno.EPERM, errno.EACCES):
            who = f"owner {item.entry.uid}:{item.entry.gid}, type {item.entry.type}"
            return f"{item.entry.path}: cannot be made ({who}): only root may: be root, or write a .tar"
        return f"{item.entry.path}: cannot be written: {error.strerror or error}"

    def _real(self, path: str) -> bytes:
        return self._root + path.encode("utf-8", "surrogateescape")

    def _one(self, item: Item) -> None:
        entry = item.entry
        if entry.path != "/" and parent(entry.path) not in self._directories:
            # Never through a link, whatever an image may say.
            raise ImageError(f"{entry.path}: its directory is none of the image's")
        real = self._real(entry.path)
        if entry.type is FileType.DIRECTORY:
            if entry.path != "/":
                os.mkdir(real, 0o700)  # noqa: PTH102 # bytes
            self._directories[entry.path] = item
            return
        if item.first:
            os.link(self._real(item.first), real, follow_symlinks=False)
            return
        if entry.type is FileType.SYMLINK:
            os.symlink(entry.target.encode("utf-8", "surrogateescape"), real)  # noqa: PTH211 # bytes
        elif entry.type is FileType.FILE:
            _copy(item, real)
        else:
            os.mknod(real, _NODES[entry.type] | 0o600, os.makedev(*item.device))
        self._finish(item)

    def _finish(self, item: Item) -> None:
        entry = item.entry
        real = self._real(entry.path)
        # In this order: a new owner takes set-user-ID and file capabilities away (chown(2)).
        status = os.lstat(real)
        if (status.st_uid, status.st_gid) != (entry.uid, entry.gid):
            os.chown(real, entry.uid, entry.gid, follow_symlinks=False)
        if entry.type is not FileType.SYMLINK:
            os.chmod(real, entry.mode)  # noqa: PTH101 # bytes
        for name, value in item.attributes.items():
            try:
                os.setxattr(real, name, value, follow_symlinks=False)
            except OSError as error:
                if name == _VITAL or error.errno not in _REFUSED:
                    raise
                self._notes.append(f"{entry.path}: the attribute {name} could not be kept: {error.strerror}")
        os.utime(real, ns=(item.modified, item.modified), follow_symlinks=False)


def _copy(item: Item, real: bytes) -> None:
    descriptor = os.open(real, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        if item.open is None:
            return
        with item.open() as source:
            while data := source.read(CHUNK):
                # Holes stay holes.
                if data.count(0) == len(data):
                    file.seek(len(data), os.SEEK_CUR)
                else:
                    left = memoryview(data)
                    while left:
                        left = left[file.write(left) :]
        file.truncate()
