"""RPM headers as databases hold them: what is installed of one package.

Format: rpm's docs/manual/format_header.md: counts of index entries and data bytes, the entries (tag, type, offset,
count), the data; big-endian. Tags: docs/manual/tags.md and include/rpm/rpmtag.h.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from snoop_image.packages.deb822 import decode
from snoop_image.packages.intake import DatabaseError

NAME, VERSION, RELEASE, EPOCH, ARCH, SOURCERPM = 1000, 1001, 1002, 1003, 1022, 1044
FILEFLAGS, FILEMODES, PROVIDENAME, REQUIREFLAGS, REQUIRENAME = 1037, 1030, 1047, 1048, 1049
DIRINDEXES, BASENAMES, DIRNAMES, OLDFILENAMES = 1116, 1117, 1118, 1027
# include/rpm/rpmfiles.h: RPMFILE_CONFIG. include/rpm/rpmds.h: RPMSENSE_RPMLIB, what the rpm program itself provides.
_CONFIG = 1 << 0
_RPMLIB = 1 << 24
# lib/header.cc: HEADER_TAGS_MAX. Of the data, far above a kernel's 5 MiB.
_TAGS = 0xFFFF
_DATA = 64 << 20
# include/rpm/rpmtag.h: rpmTagType.
_INTEGERS = {2: "B", 3: "H", 4: "I", 5: "Q"}
_STRING, _STRING_ARRAY, _I18NSTRING = 6, 8, 9
_WANTED = frozenset(
    (
        *(NAME, VERSION, RELEASE, EPOCH, ARCH, SOURCERPM, FILEFLAGS, FILEMODES, PROVIDENAME, REQUIREFLAGS),
        *(REQUIRENAME, DIRINDEXES, BASENAMES, DIRNAMES, OLDFILENAMES),
    )
)
_DIRECTORY = 0o040000
_TYPE = 0o170000
# docs/manual/boolean_dependencies.md.
_OPERATORS = frozenset(("and", "or", "if", "else", "with", "without", "unless"))
_COMPARISONS = frozenset(("<", "<=", "=", ">=", ">"))
_RELEASE = re.compile(r"-[^-]*-[^-]*\.(?:no)?src\.rpm$")


@dataclass(frozen=True, slots=True)
class File:
    """A name that a package brought."""

    path: str
    configuration: bool
    directory: bool


class Header:
    """One package's tags. DatabaseError if it is damaged."""

    def __init__(self, blob: bytes) -> None:
        if len(blob) < 8:
            raise DatabaseError(f"a header of {len(blob)} bytes")
        entries, size = struct.unpack_from(">II", blob)
        if entries > _TAGS or size > _DATA or 8 + 16 * entries + size > len(blob):
            raise DatabaseError(f"a header of {entries} tags and {size} bytes in {len(blob)}")
        self._data = memoryview(blob)[8 + 16 * entries :][:size]
        self._index: dict[int, tuple[int, int, int]] = {}
        for tag, kind, offset, count in struct.iter_unpack(">IIII", blob[8 : 8 + 16 * entries]):
            if tag in _WANTED:
                if offset > size or count > size:
                    raise DatabaseError(f"tag {tag}: beyond its header")
                self._index[tag] = (kind, offset, count)

    def strings(self, tag: int) -> list[str]:
        """Give a tag's strings; none if it has none."""
        kind, offset, count = self._index.get(tag, (0, 0, 0))
        if kind not in (_STRING, _STRING_ARRAY, _I18NSTRING):
            return []
        parts = bytes(self._data[offset:]).split(b"\0", count)
        if len(parts) <= count:
            raise DatabaseError(f"tag {tag}: {count} strings do not fit into its header")
        return [decode(part) for part in parts[:count]]

    def string(self, tag: int) -> str:
        """Give a tag's first string; empty if it has none."""
        return next(iter(self.strings(tag)), "")

    def integers(self, tag: int) -> tuple[int, ...]:
        """Give a tag's numbers; none if it has none."""
        kind, offset, count = self._index.get(tag, (0, 0, 0))
        if kind not in _INTEGERS:
            return ()
        layout = f">{count}{_INTEGERS[kind]}"
        if offset + struct.calcsize(layout) > len(self._data):
            raise DatabaseError(f"tag {tag}: {count} numbers do not fit into its header")
        return struct.unpack_from(layout, self._data, offset)

    def version(self) -> str:
        """Give `epoch:version-release`, without an epoch that is not there."""
        version = f"{self.string(VERSION)}-{self.string(RELEASE)}"
        epoch = self.integers(EPOCH)
        return f"{epoch[0]}:{version}" if epoch else version

    def source(self) -> str:
        """Give the source package's name, from its file's: name-version-release.src.rpm."""
        file = self.string(SOURCERPM)[:1000]
        name = _RELEASE.sub("", file)
        return name if name != file else ""

    def files(self) -> Iterator[File]:
        """Give what the package brought, `%ghost` files included."""
        names, folders, indexes = self.strings(BASENAMES), self.strings(DIRNAMES), self.integers(DIRINDEXES)
        if len(indexes) != len(names):
            raise DatabaseError(f"{len(names)} files in {len(indexes)} directories")
        # Before 1999 (and so in nothing newer) paths stood whole.
        paths = self.strings(OLDFILENAMES)
        for name, index in zip(names, indexes, strict=True):
            if index >= len(folders):
                raise DatabaseError(f"a file in directory {index} of {len(folders)}")
            paths.append(folders[index] + name)
        flags, modes = self.integers(FILEFLAGS), self.integers(FILEMODES)
        for at, path in enumerate(paths):
            if path.startswith("/"):
                directory = at < len(modes) and modes[at] & _TYPE == _DIRECTORY
                yield File(path, at < len(flags) and bool(flags[at] & _CONFIG), directory)

    def requires(self) -> Iterator[list[str]]:
        """Give what it needs; of a boolean dependency all names as one group, whatever its conditions are."""
        flags = self.integers(REQUIREFLAGS)
        for at, text in enumerate(self.strings(REQUIRENAME)):
            if (at < len(flags) and flags[at] & _RPMLIB) or text.startswith("rpmlib("):
                continue
            yield list(rich(text)) if text.startswith("(") else [text]


def rich(text: str) -> Iterator[str]:
    """Give the names of a boolean dependency, such as `(a >= 1 if (b or c(x)))`."""
    version = False
    for word in text.lstrip("(").split():
        if version or word in _COMPARISONS:
            version = word in _COMPARISONS
            continue
        word = word.lstrip("(")
        # Names have parentheses of their own, in pairs: libz.so.1()(64bit).
        ends = len(word) - len(word.rstrip(")"))
        word = word[: len(word) - max(0, min(ends, word.count(")") - word.count("(")))]
        if word and word not in _OPERATORS:
            yield word
