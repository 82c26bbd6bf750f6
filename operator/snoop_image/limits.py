"""How much of an image is taken in before it is refused: a small file can hold a petabyte of zeros."""

from dataclasses import dataclass

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one reading. Real images stay far below; each can be raised by who knows better."""

    entries: int = 2_000_000
    """Names in all layers, directories that are only implied included."""
    names: int = 256 * MIB
    """Characters of all paths and link targets of a layer."""
    unpacked: int = 256 * GIB
    """Bytes of all layers, uncompressed."""
    ratio: int = 400
    """Bytes that one compressed byte may become, on average, once a layer is above `ratio_from`."""
    ratio_from: int = GIB
    content: int = 128 * MIB
    """Bytes of one file that is kept (a package database); a bigger one is told in a note and not read."""
    contents: int = 192 * MIB
    """Bytes of all files that are kept."""
    memory: int = 16 * MIB
    """Bytes of an ELF file that is read in memory; a bigger one goes to a temporary file."""
    temporary: int = 8 * GIB
    """Bytes of one temporary file."""
    header: int = 4 * MIB
    """Bytes of the headers of one tar member. Go's archive/tar takes 1 MiB of each (maxSpecialFileSize)."""
    document: int = 8 * MIB
    """Bytes of a manifest, an index or a configuration."""
