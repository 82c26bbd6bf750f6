"""Readers that are stacked on one another while a layer streams by: counted, hashed, decompressed, bounded."""

import hashlib
import io
import re
import zlib
from collections.abc import Callable
from typing import IO, Protocol, cast

import zstandard

from snoop_image.limits import Limits
from snoop_image.model import ImageError

CHUNK = 1 << 18
_DIGEST = re.compile(r"(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})\Z")
# The window that `zstd` itself decodes unasked (ZSTD_WINDOWLOG_LIMIT_DEFAULT, zstd.h); the decoder holds it in memory.
_ZSTD_WINDOW = 1 << 27


class Readable(Protocol):
    """What gives its bytes once, in order."""

    def read(self, size: int, /) -> bytes:
        """Give up to `size` bytes, at least one before the end; nothing at the end."""
        ...


def shown(text: str, limit: int = 200) -> str:
    """Make what came from elsewhere fit for a message: short, on one line, without control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:limit])


def checked_digest(digest: object, what: str) -> str:
    """Give the digest back if it is one that OCI registers (image-spec, descriptor.md). ImageError if it is not."""
    if not isinstance(digest, str) or not _DIGEST.match(digest):
        raise ImageError(f"{what}: {str(digest)[:100]!r} is no digest that snoop knows (sha256:… or sha512:…)")
    return digest


def verify(content: bytes, digest: str, what: str) -> None:
    """Compare a whole document with its digest. ImageError if it is another one."""
    algorithm, _, expected = checked_digest(digest, what).partition(":")
    found = hashlib.new(algorithm, content).hexdigest()
    if found != expected:
        raise ImageError(f"{what}: the content is not that of {digest}, but of {algorithm}:{found}: fetch it again")


class Hashed:
    """Counts and hashes what is read through it. `expected` and `size` may be empty and 0: not known."""

    def __init__(self, source: Readable, what: str, expected: str = "", size: int = 0) -> None:
        algorithm, _, self._expected = (expected or "sha256:").partition(":")
        self._hash = hashlib.new(algorithm)
        self._algorithm = algorithm
        self._source = source
        self._what = what
        self._size = size
        self.taken = 0

    def read(self, size: int, /) -> bytes:
        """Read on. ImageError if more comes than was announced."""
        data = self._source.read(size)
        self.taken += len(data)
        if self._size and self.taken > self._size:
            raise ImageError(f"{self._what}: more than the {self._size} bytes that were announced")
        self._hash.update(data)
        return data

    def finish(self) -> str:
        """Read what is left, and give the digest. ImageError if it or the size is not what was announced."""
        while self.read(CHUNK):
            pass
        if self._size and self.taken != self._size:
            raise ImageError(f"{self._what}: ends after {self.taken} of {self._size} bytes: fetch it again")
        found = self._hash.hexdigest()
        if self._expected and found != self._expected:
            raise ImageError(
                f"{self._what}: the content is that of {self._algorithm}:{found}, not the announced one: fetch it again"
            )
        return f"{self._algorithm}:{found}"


class Bounded:
    """Ends an archive that unpacks to more than the limits allow: `budget` bytes, and a ratio to what `packed` took."""

    def __init__(self, source: Readable, packed: Hashed, limits: Limits, budget: int, what: str) -> None:
        self._source = source
        self._packed = packed
        self._limits = limits
        self._budget = budget
        self._what = what
        self.taken = 0

    def read(self, size: int, /) -> bytes:
        """Read on. ImageError for a bomb."""
        data = self._source.read(size)
        self.taken += len(data)
        if self.taken > self._budget:
            raise ImageError(
                f"{self._what}: unpacks to more than {self._limits.unpacked} bytes with the layers below it"
            )
        if self.taken > self._limits.ratio_from and self.taken > self._limits.ratio * self._packed.taken:
            raise ImageError(f"{self._what}: unpacks to more than {self._limits.ratio} times its size: a bomb?")
        return data


class _Peeked(io.RawIOBase):
    """A reader whose first bytes were looked at, as the decompressors want it."""

    def __init__(self, head: bytes, source: Readable) -> None:
        super().__init__()
        self._head = head
        self._source = source

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        wanted = size if size >= 0 else CHUNK
        if self._head:
            data, self._head = self._head[:wanted], self._head[wanted:]
            return data
        return self._source.read(wanted)


class _Gunzip:
    """Reads gzip, members one after another as pigz and eStargz write them (RFC 1952), zeros after the last.

    `gzip.GzipFile` takes 8 KiB at a time (until Python 3.12): too often for two threads that share an interpreter.
    """

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._input = b""
        self._member: zlib._Decompress | None = None
        self._any = False

    def read(self, size: int, /) -> bytes:
        while True:
            more = False
            if not self._input:
                self._input = self._source.read(CHUNK)
                more = not self._input
            if self._member is None:
                if self._any:
                    self._input = self._input.lstrip(b"\0")
                if not self._input:
                    if more:
                        return b""
                    continue
                # Gzip only, its checksum and length checked (zlib.h, inflateInit2: 16 + 15).
                self._member = zlib.decompressobj(31)
                self._any = True
            data = self._member.decompress(self._input, size)
            self._input = self._member.unconsumed_tail
            if self._member.eof:
                self._input = self._member.unused_data
                self._member = None
            elif more and not data:
                raise EOFError("it ends too early")
            if data:
                return data


class _Decompressed:
    """A decompressor's output, its errors in one line."""

    def __init__(self, inner: Readable, what: str) -> None:
        self._inner = inner
        self._what = what

    def read(self, size: int, /) -> bytes:
        try:
            return self._inner.read(size)
        except (zlib.error, EOFError, zstandard.ZstdError, MemoryError) as error:
            raise ImageError(
                f"{self._what}: cannot be decompressed: {error or 'out of memory'}: fetch it again"
            ) from error


def compression(head: bytes, what: str) -> str:
    """Say how content is compressed that begins so: `gzip`, `zstd`, or not (empty).

    Known by the first bytes as containerd does it (pkg/archive/compression), whatever a media type claims: RFC 1952;
    RFC 8878, where a skippable frame may come first. ImageError for xz and bzip2, which no runtime takes as a layer.
    """
    if head[:3] == b"\x1f\x8b\x08":
        return "gzip"
    if head[:4] == b"\x28\xb5\x2f\xfd" or (head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50):
        return "zstd"
    for magic, name in ((b"\xfd7zXZ\x00", "xz"), (b"BZh", "bzip2")):
        if head.startswith(magic):
            raise ImageError(f"{what}: is compressed with {name}: decompress it first ({name} --decompress)")
    return ""


def decompressed(source: Readable, what: str) -> Readable:
    """Decompress gzip or zstd; anything else is given as it is."""
    head = b""
    while len(head) < 6 and (more := source.read(6 - len(head))):
        head += more
    peeked = _Peeked(head, source)
    kind = compression(head, what)
    if kind == "gzip":
        return _Decompressed(_Gunzip(peeked), what)
    if kind == "zstd":
        decoder = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        stream = decoder.stream_reader(cast("IO[bytes]", peeked), read_size=CHUNK, read_across_frames=True)
        return _Decompressed(cast("Readable", stream), what)
    return peeked


class Forward:
    """A reader that knows where it is and goes forward only: what `tarfile` needs of a file.

    `allowance` is how many bytes may be read until it is set again: a header cannot claim the memory of the machine.
    """

    def __init__(self, source: Readable, what: str, skip: Callable[[int], None] | None = None) -> None:
        self._source = source
        self._what = what
        self._skip_by_seeking = skip
        self._position = 0
        self.allowance = 0

    def tell(self) -> int:
        """Give the position in bytes."""
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        """Read exactly `size` bytes, fewer only at the end. ImageError beyond the allowance."""
        if size < 0 or size > self.allowance:
            raise ImageError(f"{self._what}: a header of the tar archive is too big, or wrong")
        self.allowance -= size
        data = self._source.read(size)
        if len(data) < size:
            parts = [data]
            missing = size - len(data)
            while missing and (data := self._source.read(missing)):
                parts.append(data)
                missing -= len(data)
            data = b"".join(parts)
        self._position += len(data)
        return data

    def seek(self, position: int, whence: int = 0, /) -> int:
        """Go forward. ImageError backward: only a wrong archive asks for that."""
        if whence or position < self._position:
            raise ImageError(f"{self._what}: the sizes in the tar archive are wrong")
        self._skip(position - self._position)
        return self._position

    def _skip(self, size: int) -> None:
        if self._skip_by_seeking:
            self._skip_by_seeking(size)
            self._position += size
            return
        while size and (data := self._source.read(min(size, CHUNK))):
            size -= len(data)
            self._position += len(data)
