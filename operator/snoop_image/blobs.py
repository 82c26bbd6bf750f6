"""Where an image archive's parts lie: in a folder, or in a tar archive read by seeking, not unpacked."""

import contextlib
import os
import posixpath
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from snoop_image.limits import Limits
from snoop_image.model import ImageError
from snoop_image.streams import CHUNK, Bounded, Hashed, Readable, compression, decompressed
from snoop_image.tar import Members

_MEMBERS = 100_000


class Parts(Protocol):
    """Files by name, `/` between components, none that climbs."""

    what: str

    def has(self, name: str) -> bool:
        """Say whether there is such a file."""
        ...

    def open(self, name: str) -> contextlib.AbstractContextManager[Readable]:
        """Open a file. ImageError if there is none, or it cannot be read."""
        ...

    def close(self) -> None:
        """Let go of what was opened."""
        ...


def read_part(parts: Parts, name: str, limits: Limits) -> bytes:
    """Read a whole document. ImageError if it is bigger than a document may be."""
    with parts.open(name) as source:
        content = bytearray()
        while data := source.read(CHUNK):
            content += data
            if len(content) > limits.document:
                raise ImageError(f"{parts.what}: {name} is bigger than {limits.document} bytes: no image has that")
    return bytes(content)


class FolderParts:
    """Files of a folder."""

    def __init__(self, folder: Path) -> None:
        self.what = str(folder)
        self._folder = folder

    def has(self, name: str) -> bool:
        """Say whether there is such a file."""
        return _is_plain(name) and (self._folder / name).is_file()

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[Readable]:
        """Open a file."""
        if not self.has(name):
            raise ImageError(f"{self.what}: has no file {name[:200]!r}")
        try:
            with (self._folder / name).open("rb", buffering=0) as file:
                yield file
        except OSError as error:
            raise ImageError(f"{self.what}: {name} cannot be read: {error.strerror}") from error

    def close(self) -> None:
        """Do nothing."""


class TarParts:
    """Files of a tar archive, itself compressed or not. A compressed one is decompressed into a temporary file."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self.what = str(path)
        self._limits = limits
        self._files: dict[str, tuple[int, int]] = {}
        self._links: dict[str, str] = {}
        with contextlib.ExitStack() as stack:
            try:
                self._file: BinaryIO = stack.enter_context(path.open("rb"))
                self._prepare(stack)
                self._index()
            except OSError as error:
                raise ImageError(f"{self.what}: cannot be read: {error.strerror}") from error
            self._stack = stack.pop_all()

    def _prepare(self, stack: contextlib.ExitStack) -> None:
        """Have a plain file to seek in."""
        seekable = self._file.seekable()
        if seekable and not compression(self._file.read(6), self.what):
            return
        if seekable:
            self._file.seek(0)
        packed = Hashed(self._file, self.what)
        bounded = Bounded(decompressed(packed, self.what), packed, self._limits, self._limits.unpacked, self.what)
        copy = stack.enter_context(tempfile.TemporaryFile(prefix="snoop-"))  # noqa: SIM115 # in the stack
        while data := bounded.read(CHUNK):
            copy.write(data)
        copy.flush()
        self._file = copy

    def _index(self) -> None:
        self._file.seek(0)
        for count, member in enumerate(Members(self._file, self._limits, self.what, skip=self._skip)):
            if count >= _MEMBERS:
                raise ImageError(
                    f"{self.what}: has more than {_MEMBERS} members: is it a root file system, not an image?"
                )
            name = _plain(member.name)
            if member.isreg():
                if member.sparse is not None:
                    raise ImageError(f"{self.what}: {name!r} is stored as a sparse file: copy it with skopeo first")
                self._files[name] = (member.offset_data, member.size)
                self._links.pop(name, None)
            elif member.issym():
                # docker save wrote these for a layer that stands in an archive twice.
                self._links[name] = _plain(posixpath.join(posixpath.dirname(name), member.linkname))
            elif member.islnk():
                self._links[name] = _plain(member.linkname)

    def _skip(self, size: int) -> None:
        self._file.seek(size, os.SEEK_CUR)

    def _find(self, name: str) -> tuple[int, int] | None:
        name = _plain(name)
        for _ in range(10):
            if name not in self._links:
                break
            name = self._links[name]
        return self._files.get(name)

    def has(self, name: str) -> bool:
        """Say whether there is such a file."""
        return self._find(name) is not None

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[Readable]:
        """Open a file."""
        found = self._find(name)
        if found is None:
            raise ImageError(f"{self.what}: has no file {name[:200]!r}")
        yield _Slice(self._file, *found, self.what)

    def close(self) -> None:
        """Close the archive; a temporary file goes."""
        self._stack.close()


class _Slice:
    """A part of a file, read where it stands: several may be open."""

    def __init__(self, file: BinaryIO, offset: int, size: int, what: str) -> None:
        self._file = file
        self._offset = offset
        self._left = size
        self._what = what

    def read(self, size: int, /) -> bytes:
        wanted = min(size, self._left)
        try:
            data = os.pread(self._file.fileno(), wanted, self._offset) if wanted else b""
        except OSError as error:
            raise ImageError(f"{self._what}: cannot be read: {error.strerror}") from error
        if wanted and not data:
            raise ImageError(f"{self._what}: ends too early: fetch it again")
        self._offset += len(data)
        self._left -= len(data)
        return data


def _plain(name: str) -> str:
    """Give a name without `.` and `//`; one that climbs names nothing."""
    name = posixpath.normpath(name).lstrip("/")
    return name if _is_plain(name) else ""


def _is_plain(name: str) -> bool:
    return bool(name) and "\0" not in name and not name.startswith("/") and ".." not in name.split("/")
