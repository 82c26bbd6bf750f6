"""Values of a Berkeley DB hash database, in which rpm before 4.16 kept its headers (`Packages`).

Format: Berkeley DB's src/dbinc/db_page.h (versions 8 to 10 of hash): a page has a header of 26 bytes (page number at
8, next page at 16, entries at 20, bytes used at 22, type at 25), then offsets of its items, keys and values in turn.
An item begins with its type: data, or where in overflow pages it lies. Numbers are in the writer's byte order.
"""

import struct
from collections.abc import Iterator

from snoop_image.packages.intake import DatabaseError

_MAGIC = 0x061561
_PAGE_HEADER = 26
# Types of pages and items: P_HASH_UNSORTED, P_HASH, P_HASHMETA, P_OVERFLOW; H_KEYDATA, H_OFFPAGE.
_HASH_PAGES = (2, 13)
_META, _OVERFLOW = 8, 7
_KEYDATA, _OFFPAGE = 1, 3
_PAGE_SIZES = tuple(1 << power for power in range(9, 17))
_BLOB = 64 << 20


def headers(content: bytes) -> Iterator[bytes | DatabaseError]:
    """Give the headers, in the order of their numbers; an error where one, or a page of them, is damaged.

    DatabaseError if the whole database is.
    """
    if len(content) < 72:
        raise DatabaseError(f"a Berkeley DB database of {len(content)} bytes")
    order = next((one for one in "<>" if struct.unpack_from(one + "I", content, 12)[0] == _MAGIC), "")
    if not order or content[25] != _META:
        raise DatabaseError("is no Berkeley DB hash database")
    size = struct.unpack_from(order + "I", content, 20)[0]
    if size not in _PAGE_SIZES or content[24]:
        raise DatabaseError("is a Berkeley DB database of a kind that snoop does not read")
    if len(content) % size:
        yield DatabaseError("ends within a page")
    values: list[tuple[int, bytes]] = []
    for page in range(1, len(content) // size):
        if content[page * size + 25] not in _HASH_PAGES:
            continue
        try:
            for key, value in _pairs(content, page * size, size, order):
                if len(key) == 5 and key[0] == _KEYDATA:
                    values.append((struct.unpack(order + "I", key[1:])[0], value))
        except DatabaseError as error:
            yield error
    seen = bytearray(len(content) // size)
    for number, value in sorted(values):
        # Number 0 holds the next free one.
        if number:
            try:
                yield _value(content, size, order, value, seen)
            except DatabaseError as error:
                yield error


def _value(content: bytes, size: int, order: str, value: bytes, seen: bytearray) -> bytes:
    if value[0] == _KEYDATA:
        return value[1:]
    if value[0] == _OFFPAGE and len(value) >= 12:
        first, length = struct.unpack_from(order + "II", value, 4)
        return _overflow(content, size, order, first, length, seen)
    raise DatabaseError(f"an item of type {value[0]}")


def _pairs(content: bytes, start: int, size: int, order: str) -> Iterator[tuple[bytes, bytes]]:
    count = struct.unpack_from(order + "H", content, start + 20)[0]
    if _PAGE_HEADER + 2 * count > size or count % 2:
        raise DatabaseError(f"a page of {count} items at {start}")
    offsets = struct.unpack_from(f"{order}{count}H", content, start + _PAGE_HEADER)
    # Items fill the page from its end: each goes up to the one before it.
    end = size
    items = []
    for offset in offsets:
        if not _PAGE_HEADER + 2 * count <= offset < end:
            raise DatabaseError(f"an item at {offset} of the page at {start}")
        items.append(content[start + offset : start + end])
        end = offset
    yield from zip(items[::2], items[1::2], strict=True)


def _overflow(content: bytes, size: int, order: str, page: int, length: int, seen: bytearray) -> bytes:
    if length > min(_BLOB, len(content)):
        raise DatabaseError(f"a package of {length} bytes")
    data = bytearray()
    while len(data) < length:
        start = page * size
        # Each page belongs to one package, once: no chain is a loop, and all together are no longer than the file.
        if not 0 < page < len(seen) or seen[page] or content[start + 25] != _OVERFLOW:
            raise DatabaseError(f"page {page} is not where a package goes on")
        seen[page] = 1
        used = struct.unpack_from(order + "H", content, start + 22)[0]
        if not 0 < used <= size - _PAGE_HEADER:
            raise DatabaseError(f"page {page} uses {used} bytes of {size}")
        data += content[start + _PAGE_HEADER : start + _PAGE_HEADER + used]
        page = struct.unpack_from(order + "I", content, start + 16)[0]
    return bytes(data[:length])
