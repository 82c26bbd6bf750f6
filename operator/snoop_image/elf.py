"""What an ELF file says that it needs: interpreter, libraries and where to look for them. The file is hostile input.

Formats: gABI 4.1 (https://gabi.xinuos.com), elf(5), glibc's elf.h; dlopen notes: https://systemd.io/ELF_DLOPEN_METADATA
"""

import json
import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

from snoop_image.model import Elf, ImageError

_MAGIC = b"\x7fELF"
_EXECUTABLE, _SHARED = 2, 3
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP, _PT_NOTE = 1, 2, 3, 4
_DT_NEEDED, _DT_STRTAB, _DT_STRSZ, _DT_SONAME, _DT_RPATH, _DT_RUNPATH = 1, 5, 10, 14, 15, 29
# ld.so loads these as it does what is needed; the first two are names, the others lists of names.
_DT_AUXILIARY, _DT_FILTER, _DT_AUDIT, _DT_DEPAUDIT = 0x7FFFFFFD, 0x7FFFFFFF, 0x6FFFFEFC, 0x6FFFFEFB
_NT_DLOPEN = 0x407C0C0A

# Bounds, far above what linkers write. The kernel takes 64 KiB of program headers (fs/binfmt_elf.c) and an interpreter
# of PATH_MAX; what names a library is a path at most, and lists are what one string table holds of them.
_HEADERS = 1 << 16
_DYNAMIC = 1 << 20
_STRINGS = 64 << 20
_LIST = 1 << 16
_NAME = 4096
_NAMES = 4096
_NOTES = 1 << 20
# What all names of one file may add up to.
_TOTAL = 1 << 18


class _Segment(NamedTuple):
    """One program header, as far as it matters."""

    type: int
    offset: int
    address: int
    size: int


class _Reader:
    """Reads numbers of one class and byte order."""

    def __init__(self, file: BinaryIO, bits: int, order: str) -> None:
        self._file = file
        self.word = 4 if bits == 32 else 8
        self.header = struct.Struct(order + ("HHIIIIIHHHHHH" if bits == 32 else "HHIQQQIHHHHHH"))
        self.segment = struct.Struct(order + ("IIIIIIII" if bits == 32 else "IIQQQQQQ"))
        self.dynamic = struct.Struct(order + ("II" if bits == 32 else "QQ"))
        self.note = struct.Struct(order + "III")

    def at(self, offset: int, size: int) -> bytes:
        """Read up to `size` bytes; fewer at the end, none beyond it."""
        # Offsets are 64 bits of anything; a file's are signed.
        if offset >= 1 << 62:
            return b""
        self._file.seek(offset)
        return self._file.read(size)

    def exactly(self, offset: int, size: int, what: str) -> bytes:
        data = self.at(offset, size)
        if len(data) != size:
            raise ImageError(f"the ELF file ends before its {what} does")
        return data


def read_elf(file: BinaryIO) -> Elf | None:
    """Read a seekable file. None if it is no ELF program or library, or needs nothing. ImageError if it is broken."""
    file.seek(0)
    identification = file.read(16)
    if len(identification) < 16 or identification[:4] != _MAGIC:
        return None
    bits = {1: 32, 2: 64}.get(identification[4])
    order = {1: "<", 2: ">"}.get(identification[5])
    if bits is None or order is None:
        raise ImageError("the ELF file is of no known class or byte order")
    reader = _Reader(file, bits, order)
    fields = reader.header.unpack(reader.exactly(16, reader.header.size, "header"))
    kind, machine, headers, entry_size, count = fields[0], fields[1], fields[4], fields[8], fields[9]
    if kind not in (_EXECUTABLE, _SHARED) or not count:
        return None
    if entry_size != reader.segment.size or count * entry_size > _HEADERS:
        raise ImageError(f"the ELF file has {count} program headers of {entry_size} bytes")
    segments = list(_segments(reader, bits, reader.exactly(headers, count * entry_size, "program headers")))
    interpreter = next((_interpreter(reader, one) for one in segments if one.type == _PT_INTERP), "")
    dynamic = next((one for one in segments if one.type == _PT_DYNAMIC), None)
    if dynamic is None:
        return Elf(bits, machine, interpreter) if interpreter else None
    tags = _tags(reader, dynamic)
    text = _strings(reader, segments, tags)

    def paths(wanted: int) -> tuple[str, ...]:
        return tuple(path for tag, value in tags if tag == wanted for path in text(value, _LIST).split(":"))

    needed = [text(value, _NAME) for tag, value in tags if tag == _DT_NEEDED]
    needed += [text(value, _NAME) for tag, value in tags if tag in (_DT_FILTER, _DT_AUXILIARY)]
    needed += [name for tag in (_DT_AUDIT, _DT_DEPAUDIT) for name in paths(tag)]
    return Elf(
        bits,
        machine,
        interpreter,
        soname=next((text(value, _NAME) for tag, value in tags if tag == _DT_SONAME), ""),
        needed=tuple(dict.fromkeys(name for name in needed if name)),
        dlopen=tuple(dict.fromkeys(_dlopen(reader, segments))),
        rpath=paths(_DT_RPATH),
        runpath=paths(_DT_RUNPATH),
    )


def _segments(reader: _Reader, bits: int, table: bytes) -> Iterator[_Segment]:
    for fields in reader.segment.iter_unpack(table):
        if bits == 32:
            yield _Segment(fields[0], fields[1], fields[2], fields[4])
        else:
            yield _Segment(fields[0], fields[2], fields[3], fields[5])


def _interpreter(reader: _Reader, segment: _Segment) -> str:
    if not 2 <= segment.size <= _NAME:
        raise ImageError(f"the ELF file has an interpreter's name of {segment.size} bytes")
    data = reader.exactly(segment.offset, segment.size, "interpreter's name")
    return data.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _tags(reader: _Reader, segment: _Segment) -> list[tuple[int, int]]:
    """Read the dynamic section up to DT_NULL."""
    data = reader.at(segment.offset, min(segment.size, _DYNAMIC))
    found: list[tuple[int, int]] = []
    for tag, value in reader.dynamic.iter_unpack(data[: len(data) - len(data) % reader.dynamic.size]):
        if tag == 0:
            return found
        found.append((tag, value))
    if segment.size > _DYNAMIC:
        raise ImageError("the ELF file has a dynamic section without an end")
    if len(data) < segment.size:
        raise ImageError("the ELF file ends before its dynamic section does")
    return found


def _strings(reader: _Reader, segments: list[_Segment], tags: list[tuple[int, int]]) -> Callable[[int, int], str]:
    """Give a function that reads the text at an offset of the string table, of so many bytes at most."""
    named = dict(reversed(tags))
    address, size = named.get(_DT_STRTAB), named.get(_DT_STRSZ, 0)
    begin = None
    if address is not None:
        begin = next(
            (
                one.offset + address - one.address
                for one in segments
                if one.type == _PT_LOAD and one.address <= address < one.address + one.size
            ),
            None,
        )
    left = [_TOTAL, _NAMES]

    def text(offset: int, limit: int) -> str:
        if begin is None:
            raise ImageError("the ELF file has names and no table of them")
        if offset >= min(size, _STRINGS):
            raise ImageError(f"the ELF file has a name at {offset} of {size} bytes of names")
        data = reader.at(begin + offset, min(limit, size - offset))
        end = data.find(b"\0")
        left[0] -= end
        left[1] -= 1
        if end < 0 or min(left) < 0:
            raise ImageError("the ELF file has more, or longer, names than any linker writes")
        return data[:end].decode("utf-8", "surrogateescape")

    return text


def _dlopen(reader: _Reader, segments: list[_Segment]) -> list[str]:
    """Read the sonames that the file says it may load: a JSON array of objects with a list `soname`, in a note.

    A note that is not understood says nothing: no loader reads it.
    """
    found: list[str] = []
    for segment in segments:
        if segment.type != _PT_NOTE or segment.size > _NOTES:
            continue
        data = reader.at(segment.offset, segment.size)
        at = 0
        while at + reader.note.size <= len(data):
            name_size, size, kind = reader.note.unpack_from(data, at)
            begin = at + reader.note.size + _aligned(name_size)
            if kind == _NT_DLOPEN:
                found += _sonames(data[begin : begin + size])
            at = begin + _aligned(size)
    return found[:_NAMES]


def _aligned(size: int) -> int:
    return (size + 3) & ~3


def _sonames(data: bytes) -> Iterator[str]:
    try:
        features = json.loads(data.rstrip(b"\0"))
    except (ValueError, RecursionError):
        return
    for feature in features if isinstance(features, list) else ():
        names = feature.get("soname") if isinstance(feature, dict) else None
        for name in names if isinstance(names, list) else ():
            # JSON can spell what no file is named.
            if isinstance(name, str) and 0 < len(name) < _NAME and name.isascii() and name.isprintable():
                yield name
