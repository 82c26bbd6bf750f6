"""Interned path strings: each is kept once, found by its hash, known elsewhere by a number."""

from collections.abc import Collection, Iterable, Iterator
from hashlib import blake2b
from itertools import islice

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.schema import Table

from snoop_operator.store.interface import StoreError
from snoop_operator.store.schema import EMPTY_PATH, path
from snoop_report.paths import escape

_BATCH = 1000


def insert_into(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """INSERT with ON CONFLICT, which both databases have and SQLAlchemy spells for each."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def intern(connection: Connection, paths: Collection[str]) -> dict[str, int]:
    """Give each of `paths` (in memory form) its number, making those that are new."""
    try:
        wanted = {_hash(text): (name, text) for name in paths if name for text in [escape(name)]}
    except UnicodeEncodeError as error:
        raise StoreError("a path holds what is not a character") from error
    known = _look_up(connection, wanted)
    fresh = [{"hash": key, "name": wanted[key][1]} for key in sorted(wanted.keys() - known.keys())]
    if fresh:
        connection.execute(insert_into(connection, path).on_conflict_do_nothing(index_elements=["hash"]), fresh)
        known |= _look_up(connection, wanted.keys() - known.keys())
    numbers = {wanted[key][0]: number for key, number in known.items()}
    numbers[""] = EMPTY_PATH
    return numbers


def _hash(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=16).digest()


def _look_up(connection: Connection, hashes: Iterable[bytes]) -> dict[bytes, int]:
    found: dict[bytes, int] = {}
    for batch in _batches(hashes):
        rows = connection.execute(select(path.c.hash, path.c.id).where(path.c.hash.in_(batch)))
        found.update((row.hash, row.id) for row in rows)
    return found


def _batches(values: Iterable[bytes]) -> Iterator[list[bytes]]:
    rest = iter(values)
    while batch := list(islice(rest, _BATCH)):
        yield batch
