"""Where rpm keeps its headers: an SQLite database, or its own `ndb`.

Formats: rpm's lib/backend/sqlite.cc (table Packages: hnum, blob) and lib/backend/ndb/rpmpkg.cc.
"""

import contextlib
import sqlite3
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

from snoop_image.packages.intake import DatabaseError

# No query on a sane database comes near: 10^6 packages are some 10^7 steps.
_STEPS = 200_000_000
_STEP = 1_000_000
_BLOB = 64 << 20

_NDB_HEADER = struct.Struct("<4sIII")
_NDB_SLOT = struct.Struct("<4sIII")
_NDB_BLOB = struct.Struct("<4sIII")
_NDB_PAGE = 4096
# The file's first two slots are its header.
_NDB_FIRST = 32
_NDB_BLOCK = 16


def sqlite_headers(content: bytes, log: bytes = b"") -> Iterator[bytes]:
    """Give the headers in an SQLite database; `log` is its write-ahead log. DatabaseError if it is damaged."""
    if content[:16] != b"SQLite format 3\0":
        raise DatabaseError("is no SQLite database")
    # A file, as the log belongs to it, and as it is not to be twice in memory.
    try:
        with tempfile.TemporaryDirectory(prefix="snoop-") as folder:
            file = Path(folder, "rpmdb.sqlite")
            file.write_bytes(content)
            if log:
                Path(folder, "rpmdb.sqlite-wal").write_bytes(log)
            # rpm leaves the journal mode at WAL; a database that is immutable is read without one.
            address = file.as_uri() + ("" if log else "?immutable=1")
            with contextlib.closing(sqlite3.connect(address, uri=True)) as connection:
                yield from _rows(connection)
    # SQLite quotes the database's text in its errors, and is "out of memory" when a damaged page asks for too much.
    except (sqlite3.Error, UnicodeDecodeError, MemoryError) as error:
        raise DatabaseError(f"SQLite: {str(error)[:200] or 'out of memory'}") from error
    except OSError as error:
        raise DatabaseError(f"no temporary file: {error.strerror}") from error


def _rows(connection: sqlite3.Connection) -> Iterator[bytes]:
    steps = 0

    def count() -> bool:
        nonlocal steps
        steps += _STEP
        return steps > _STEPS

    # Text too: what is no UTF-8 is no error.
    connection.text_factory = bytes
    connection.set_progress_handler(count, _STEP)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _BLOB)
    # A database can hold expressions that run as it is read (https://sqlite.org/security.html).
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    connection.execute("PRAGMA mmap_size = 0")
    made = connection.execute("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = 'Packages'").fetchone()
    if made is None or not isinstance(made[0], bytes) or not made[0].upper().startswith(b"CREATE TABLE"):
        raise DatabaseError("has no table Packages")
    for (blob,) in connection.execute("SELECT blob FROM Packages ORDER BY hnum"):
        if not isinstance(blob, bytes):
            raise DatabaseError("holds something that is no header")
        yield blob


def ndb_headers(content: bytes) -> Iterator[bytes | DatabaseError]:
    """Give the headers in an ndb database, an error where one is damaged. DatabaseError if the database is."""
    if len(content) < _NDB_PAGE:
        raise DatabaseError(f"an ndb database of {len(content)} bytes")
    magic, version, _, pages = _NDB_HEADER.unpack_from(content)
    if magic != b"RpmP":
        raise DatabaseError("is no ndb database")
    if version != 0:
        raise DatabaseError(f"is an ndb database of version {version}; snoop knows 0")
    end = pages * _NDB_PAGE
    if end > len(content):
        raise DatabaseError(f"{pages} pages of slots in {len(content)} bytes")
    found: list[tuple[int, int, int]] = []
    for at in range(_NDB_FIRST, end, _NDB_SLOT.size):
        magic, number, block, _ = _NDB_SLOT.unpack_from(content, at)
        if magic != b"Slot":
            raise DatabaseError(f"no slot at {at}")
        # A free one has block 0, whatever its number.
        if block:
            found.append((number, block * _NDB_BLOCK, at))
    for number, at, slot in sorted(found):
        yield _ndb_header(content, number, at, slot)


def _ndb_header(content: bytes, number: int, at: int, slot: int) -> bytes | DatabaseError:
    if at + _NDB_BLOB.size > len(content):
        return DatabaseError(f"the slot at {slot} leads beyond the end")
    magic, owner, _, size = _NDB_BLOB.unpack_from(content, at)
    start = at + _NDB_BLOB.size
    if magic != b"BlbS" or owner != number or start + size > len(content) or size > _BLOB:
        return DatabaseError(f"no package {number} at {at}")
    return content[start : start + size]
