"""The members of a tar archive that cannot be trusted, as the stream goes by.

`tarfile` knows every dialect (POSIX.1-2001 pax, GNU long names and sparse files, base-256 numbers), but ends silently
at a header that it cannot read, and reads headers of any size into memory. Here both are errors.
"""

import tarfile
from collections.abc import Callable, Iterator
from typing import IO, Any, Self, cast

from snoop_image.limits import Limits
from snoop_image.model import ImageError
from snoop_image.streams import Forward, Readable

# What `Members` gives may be read through `Forward` up to this many bytes at once.
_WHOLE = 1 << 62


class _Member(tarfile.TarInfo):
    """A member whose headers are checked before they are believed."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> Self:
        try:
            found = super().fromtarfile(tarfile_)
        except (tarfile.EOFHeaderError, tarfile.EmptyHeaderError):  # type: ignore[attr-defined] # the end
            raise
        except tarfile.HeaderError as error:
            raise ImageError(f"not a tar archive, or damaged ({error})") from error
        if found.size < 0:
            raise ImageError("a member of the tar archive has a negative size")
        return found

    def _proc_member(self, tarfile_: tarfile.TarFile) -> Any:
        # Called for each header block, before its data are read: the hook that tarfile documents for subclasses.
        if self.size < 0:
            raise ImageError("a header of the tar archive has a negative size")
        if self.type != tarfile.XGLTYPE:
            # Go's archive/tar, so containerd, gives a global header's records to no member.
            tarfile_.pax_headers.clear()  # type: ignore[attr-defined]
        proceed = super()._proc_member  # type: ignore[misc]
        found = proceed(tarfile_)
        if self.type == tarfile.XHDTYPE and found.sparse is not None and "size" in found.pax_headers:
            # For a sparse member of over 8 GiB, tarfile takes the file's size for that of its stored data.
            first = self.offset + tarfile.BLOCKSIZE + self._block(self.size) + tarfile.BLOCKSIZE  # type: ignore[attr-defined]
            tarfile_.offset = first + self._block(int(found.pax_headers["size"]))  # type: ignore[attr-defined]
        return found


class Members:
    """Iterates over the members; `content` reads the one that was given last. `skip` seeks forward where one can."""

    def __init__(self, source: Readable, limits: Limits, what: str, skip: Callable[[int], None] | None = None) -> None:
        self._what = what
        self._limits = limits
        self._stream = Forward(source, what, skip)
        self._archive: tarfile.TarFile | None = None
        self._member: tarfile.TarInfo | None = None

    def __iter__(self) -> Iterator[tarfile.TarInfo]:
        """Give each member once. ImageError for a damaged archive."""
        while (member := self._next()) is not None:
            self._member = member
            yield member

    def _next(self) -> tarfile.TarInfo | None:
        self._stream.allowance = self._limits.header
        try:
            if self._archive is None:
                self._archive = tarfile.TarFile(
                    fileobj=cast("IO[bytes]", self._stream),
                    tarinfo=_Member,
                    encoding="utf-8",
                    errors="surrogateescape",
                )
            member = self._archive.next()
            self._archive.members = []  # type: ignore[attr-defined] # or it keeps each one
        except ImageError as error:
            raise ImageError(self._named(error)) from error.__cause__
        except tarfile.ReadError as error:
            if str(error) == "empty file":
                return None
            raise ImageError(f"{self._what}: the tar archive is damaged or ends too early ({error})") from error
        except (tarfile.TarError, ValueError, LookupError, ArithmeticError, RecursionError, TypeError) as error:
            raise ImageError(f"{self._what}: the tar archive is damaged ({error})") from error
        return member

    def _named(self, error: ImageError) -> str:
        text = str(error)
        return text if text.startswith(self._what) else f"{self._what}: {text}"

    def content(self) -> Readable:
        """Give the content of the last member, a sparse one with its holes. To be read before the next member."""
        member, archive = self._member, self._archive
        if member is None or archive is None:
            raise ValueError("no member was given yet")
        self._stream.allowance = _WHOLE
        if member.sparse is None:
            return _Content(self._stream, member.size, self._what)
        return _Sparse(cast("IO[bytes]", tarfile.ExFileObject(archive, member)), self._what)


class _Content:
    def __init__(self, stream: Forward, size: int, what: str) -> None:
        self._stream = stream
        self._left = size
        self._what = what

    def read(self, size: int, /) -> bytes:
        wanted = min(size, self._left)
        data = self._stream.read(wanted) if wanted else b""
        if len(data) < wanted:
            raise ImageError(f"{self._what}: the tar archive ends too early")
        self._left -= len(data)
        return data


class _Sparse:
    def __init__(self, file: IO[bytes], what: str) -> None:
        self._file = file
        self._what = what

    def read(self, size: int, /) -> bytes:
        try:
            return self._file.read(size)
        except (tarfile.TarError, ValueError, OverflowError) as error:
            raise ImageError(f"{self._what}: a sparse file of the tar archive is damaged ({error})") from error
