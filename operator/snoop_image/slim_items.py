"""What stays of an image, name by name, with all that its file system told of each: the input of a slimmed copy.

The inventory knows what a verdict needs; times, values of extended attributes and device numbers are read here, from
the source itself.
"""

import contextlib
import os
import stat
import tarfile
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from snoop_image import overlay
from snoop_image.assemble import Image, Progress
from snoop_image.assemble import _Passes as Passes
from snoop_image.gather import Gatherer
from snoop_image.layers import LayerReader
from snoop_image.limits import Limits
from snoop_image.model import Entry, FileType, ImageError, Inventory
from snoop_image.rootfs import _mounts_below as mounts_below
from snoop_image.streams import CHUNK, Readable
from snoop_image.tree import Tree

_XATTR = "SCHILY.xattr."
"""How a tar has extended attributes (star(5); Go's archive/tar, paxSchilyXattr)."""
_MODES = {
    FileType.FILE: stat.S_IFREG,
    FileType.DIRECTORY: stat.S_IFDIR,
    FileType.SYMLINK: stat.S_IFLNK,
    FileType.CHARACTER: stat.S_IFCHR,
    FileType.BLOCK: stat.S_IFBLK,
    FileType.FIFO: stat.S_IFIFO,
    FileType.SOCKET: stat.S_IFSOCK,
}


@dataclass(frozen=True, slots=True)
class Item:
    """One name that stays."""

    entry: Entry
    modified: int
    """Nanoseconds since the epoch."""
    attributes: Mapping[str, bytes] = field(default_factory=dict)
    device: tuple[int, int] = (0, 0)
    """Major and minor number of a device."""
    first: str = ""
    """Of a hard link: the name that came before and has the content; empty: this one has it."""
    size: int = 0
    """Bytes of the content."""
    open: Callable[[], AbstractContextManager[Readable]] | None = None
    """Opens the content of a regular file that has one."""


def firsts(kept: Collection[str], inventory: Inventory) -> Iterator[tuple[Entry, str]]:
    """Give the entries that stay, a directory before what is in it; with the first name of each hard-linked file."""
    names: dict[int, str] = {}
    for path in sorted(kept, key=lambda path: path.split("/")):
        entry = inventory.entries[path]
        first = names.setdefault(entry.link, path) if entry.link else path
        yield entry, "" if first == path else first


@contextlib.contextmanager
def of_folder(folder: Path, inventory: Inventory, kept: Collection[str]) -> Iterator[Iterator[Item]]:
    """Read what stays from a root file system's folder. ImageError if it is no longer what the inventory says."""
    root = os.fsencode(folder.resolve())
    mounts = mounts_below(root)

    def items() -> Iterator[Item]:
        for entry, first in firsts(kept, inventory):
            if entry.type is FileType.DIRECTORY and entry.path not in mounts:
                _check_names(root, entry.path, inventory)
            yield _folder_item(root, entry, first)

    yield items()


def _check_names(root: bytes, directory: str, inventory: Inventory) -> None:
    """ImageError if a directory has a name that was not judged: it could not be read then, or is new."""
    try:
        names = os.listdir(root + directory.encode("utf-8", "surrogateescape"))  # noqa: PTH208 # bytes
    except OSError as error:
        raise ImageError(f"{directory}: cannot be listed: {error.strerror}: what is in it is not known") from error
    for name in names:
        path = f"{directory.rstrip('/')}/{name.decode('utf-8', 'surrogateescape')}"
        if path not in inventory.entries:
            raise ImageError(f"{path}: was not there or not readable a moment ago: nothing may change meanwhile")


def _folder_item(root: bytes, entry: Entry, first: str) -> Item:
    real = root + entry.path.encode("utf-8", "surrogateescape")
    try:
        status = os.lstat(real)
        names = os.listxattr(real, follow_symlinks=False) if entry.attributes else []
        attributes = {name: os.getxattr(real, name, follow_symlinks=False) for name in names}
    except OSError as error:
        raise ImageError(f"{entry.path}: cannot be read: {error.strerror}") from error
    kind = _MODES[entry.type]
    if stat.S_IFMT(status.st_mode) != kind:
        raise ImageError(
            f"{entry.path}: was a {entry.type} a moment ago, and is none now: nothing may change meanwhile"
        )

    @contextlib.contextmanager
    def content() -> Iterator[Readable]:
        try:
            descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb", buffering=0) as file:
                yield cast("Readable", file)
        except OSError as error:
            raise ImageError(f"{entry.path}: cannot be read: {error.strerror or error}") from error

    return Item(
        entry,
        status.st_mtime_ns,
        attributes,
        (os.major(status.st_rdev), os.minor(status.st_rdev)),
        first,
        status.st_size if entry.type is FileType.FILE else 0,
        content if entry.type is FileType.FILE and not first else None,
    )


@dataclass(slots=True)
class _Record:
    """What a tar told of one name."""

    modified: int
    attributes: dict[str, bytes]
    device: tuple[int, int]
    offset: int = -1
    """Where its content is in the spool; -1: it has none there."""
    size: int = 0


class _Spool(Gatherer):
    """Keeps contents in one temporary file. A tree's `contents` hold the number of a record, which hard links share."""

    def __init__(self, file: BinaryIO, wanted: Callable[[str], bool], limits: Limits) -> None:
        super().__init__(wanted, lambda _: None, limits)
        self.records: list[_Record] = []
        self.file = file
        self._end = 0

    def record(self, tree: Tree, path: str, member: tarfile.TarInfo) -> None:
        headers = member.pax_headers.items()
        attributes = {
            key[len(_XATTR) :]: value.encode("utf-8", "surrogateescape")
            for key, value in headers
            if key.startswith(_XATTR) and key not in (_XATTR, f"{_XATTR}trusted.overlay.opaque")
        }
        modified = int(member.mtime * 1_000_000) * 1000
        tree.contents[path] = len(self.records).to_bytes(8, "big")
        self.records.append(_Record(modified, attributes, (member.devmajor, member.devminor)))

    def take(self, tree: Tree, path: str, mode: int, size: int, file: Readable) -> None:
        """Keep the content of the regular file `path`."""
        if not self.wanted(path):
            return
        record = self.records[int.from_bytes(tree.contents[path], "big")]
        record.offset, record.size = self._end, size
        left = size
        while left and (data := file.read(min(left, CHUNK))):
            self.file.write(data)
            left -= len(data)
        if left:
            raise ImageError(f"{path}: its content ends too early: fetch the image again")
        self._end += size


class _Reader(LayerReader):
    """Tells the spool of each member, under the name that it has in the image."""

    def __init__(self, spool: _Spool, limits: Limits) -> None:
        super().__init__(spool, limits)
        self._spool = spool

    def _entry(self, path: str, kind: FileType, member: tarfile.TarInfo, size: int) -> Entry:
        self._spool.record(self._tree, path, member)
        return super()._entry(path, kind, member, size)


@contextlib.contextmanager
def of_image(
    image: Image,
    inventory: Inventory,
    kept: Collection[str],
    place: Path,
    limits: Limits,
    progress: Progress | None = None,
) -> Iterator[Iterator[Item]]:
    """Read what stays from an image's layers. Their content is kept in a temporary file in the folder `place`.

    ImageError if the layers are no longer what the inventory says.
    """
    if [one.digest for one in image.layers] != [one.digest for one in inventory.layers]:
        raise ImageError(f"{image.source}: has changed since it was read: start again")
    links = {inventory.entries[path].link for path in kept} - {0}
    keep = frozenset(kept)
    layer = 0

    def wanted(path: str) -> bool:
        # What is hidden by a later layer may have the content of a link that is not.
        known = inventory.entries.get(path)
        return known is None or path in keep or known.link in links or known.layer != layer

    with tempfile.TemporaryFile(prefix=".snoop-", dir=place) as file:
        spool = _Spool(cast("BinaryIO", file), wanted, limits)
        reader = _Reader(spool, limits)
        tree = Tree()
        passes = Passes(image, limits, progress)
        for layer in range(len(image.layers)):  # `wanted` sees it
            with passes.open(layer) as (source, what):
                changes = reader.read(source, layer, tree, what)
            overlay.apply(tree, changes)
        file.flush()
        yield (_image_item(spool, tree, entry, first, image.source) for entry, first in firsts(kept, inventory))


def _image_item(spool: _Spool, tree: Tree, entry: Entry, first: str, what: str) -> Item:
    token = tree.contents.get(entry.path)
    if token is None:
        # A directory that no tar has, only what is in it.
        if entry.type is not FileType.DIRECTORY:
            raise ImageError(f"{what}: {entry.path} is not where it was: has the image changed?")
        return Item(entry, 0)
    record = spool.records[int.from_bytes(token, "big")]
    content = None
    if entry.type is FileType.FILE and not first:
        if record.offset < 0 or record.size != entry.size:
            raise ImageError(f"{what}: the content of {entry.path} was not found again")
        content = _spooled(spool.file, record)
    return Item(entry, record.modified, record.attributes, record.device, first, entry.size, content)


def _spooled(file: BinaryIO, record: _Record) -> Callable[[], AbstractContextManager[Readable]]:
    return lambda: contextlib.nullcontext(_Part(file.fileno(), record.offset, record.size))


class _Part:
    def __init__(self, descriptor: int, offset: int, size: int) -> None:
        self._descriptor = descriptor
        self._offset = offset
        self._left = size

    def read(self, size: int, /) -> bytes:
        data = os.pread(self._descriptor, min(size, self._left), self._offset) if self._left else b""
        self._offset += len(data)
        self._left -= len(data)
        return data
