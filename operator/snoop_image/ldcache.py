"""Reads /etc/ld.so.cache and ld.so.conf: where ld.so and ldconfig find libraries. The files are hostile input.

Formats: sysdeps/generic/dl-cache.h and elf/ldconfig.c of glibc, ldconfig(8).
"""

import struct
from collections.abc import Callable, Iterator

from snoop_image.model import ImageError

_OLD = b"ld.so-1.7.0"
_NEW = b"glibc-ld.so.cache1.1"
# struct cache_file_new up to `libs`; struct file_entry_new.
_HEADER = 48
_ENTRY_SIZE = 24
_OLD_ENTRY_SIZE = 12
# Real ones have some hundreds of libraries.
_ENTRIES = 1 << 17
_NAME = 4096
# Characters of all names: entries may share theirs, so they can add up to more than the file has.
_TOTAL = 16 << 20
_FILES = 1000
_DEPTH = 10


def read_cache(data: bytes) -> dict[str, tuple[str, ...]]:
    """Give the paths of each library's name, of all machines and processors. ImageError: it is no cache.

    A cache is in its machine's byte order. Entries with names beyond its end, as in a truncated one, are left out.
    """
    if data.startswith(_NEW):
        return _new(data, 0)
    if not data.startswith(_OLD):
        raise ImageError("/etc/ld.so.cache is in no known format: where libraries are found is guessed")
    return _old(data)


def _old(data: bytes) -> dict[str, tuple[str, ...]]:
    """Read the format before glibc 2.32, with the new one embedded behind it, or the still older one alone."""
    for order in "<", ">":
        # The magic is 11 bytes; the number of libraries is aligned to 4.
        (count,) = struct.unpack_from(order + "I", data.ljust(16, b"\0"), 12)
        strings = 16 + count * _OLD_ENTRY_SIZE
        if count > _ENTRIES or strings > len(data):
            continue
        embedded = (strings + 7) & ~7
        if data.startswith(_NEW, embedded):
            return _new(data, embedded)
        return _collected(data, struct.Struct(order + "III"), 16, count, strings)
    raise ImageError("/etc/ld.so.cache is broken: where libraries are found is guessed")


def _new(data: bytes, start: int) -> dict[str, tuple[str, ...]]:
    if len(data) < start + _HEADER:
        raise ImageError("/etc/ld.so.cache is cut short: where libraries are found is guessed")
    # flags, at 28: 2 is little endian, 3 big, 0 not told.
    told = {2: "<", 3: ">"}.get(data[start + 28] & 3)
    for order in (told,) if told else ("<", ">"):
        (count,) = struct.unpack_from(order + "I", data, start + 20)
        if count <= _ENTRIES and start + _HEADER + count * _ENTRY_SIZE <= len(data):
            return _collected(data, struct.Struct(order + "III12x"), start + _HEADER, count, start)
    raise ImageError("/etc/ld.so.cache is broken: where libraries are found is guessed")


def _collected(data: bytes, entry: struct.Struct, begin: int, count: int, strings: int) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    total = 0
    for _, key, value in entry.iter_unpack(data[begin : begin + count * entry.size]):
        name, path = _text(data, strings + key), _text(data, strings + value)
        total += len(name) + len(path)
        if total > _TOTAL:
            raise ImageError("/etc/ld.so.cache names more than it can hold: where libraries are found is guessed")
        if name and path.startswith("/"):
            found.setdefault(name, {})[path] = None
    return {name: tuple(paths) for name, paths in found.items()}


def _text(data: bytes, at: int) -> str:
    end = data.find(b"\0", at, at + _NAME)
    return data[at:end].decode("utf-8", "surrogateescape") if end > 0 else ""


def read_configuration(
    path: str, read: Callable[[str], bytes | None], matching: Callable[[str], Iterator[str]]
) -> list[str]:
    """Give the directories that ld.so.conf and the files it includes name, in order.

    `read` gives a file's content, None if there is none; `matching` the paths that a pattern matches.
    """
    found: dict[str, None] = {}
    pending: list[tuple[str, int]] = [(path, 0)]
    done: set[str] = set()
    while pending and len(done) < _FILES:
        here, depth = pending.pop()
        if here in done:
            continue
        done.add(here)
        for line in (read(here) or b"").decode("utf-8", "surrogateescape").splitlines():
            words = line.split("#", 1)[0].split()
            if not words:
                continue
            if words[0] == "include" and depth < _DEPTH:
                for pattern in words[1:]:
                    whole = pattern if pattern.startswith("/") else f"{here[: here.rfind('/')]}/{pattern}"
                    pending += [(one, depth + 1) for one in sorted(matching(whole), reverse=True)]
            elif words[0] not in ("include", "hwcap"):
                # A directory may have an old `=libc6` behind it.
                found.update((one.split("=", 1)[0].rstrip("/"), None) for one in _directories(line) if one[0] == "/")
    return list(found)


def _directories(line: str) -> list[str]:
    return [one for one in line.split("#", 1)[0].replace(":", " ").replace(",", " ").split() if one]
