"""Connections to the database: how SQLite is set up so that what is acknowledged is safe.

WAL lets readers go on beside the writer. synchronous=FULL: NORMAL would survive kill -9, but a node that loses power
could take acknowledged deltas with it, and an agent never sends those again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

from snoop_operator.store.interface import StoreError

_BUSY_MS = 10_000
"""How long to wait for another program's lock (a backup's)."""


def sqlite_engine(file: Path, begin: Literal["BEGIN", "BEGIN IMMEDIATE"]) -> Engine:
    """Connect to `file`, made if absent. `begin` opens each transaction: a writer takes its lock at once."""
    engine = create_engine(
        URL.create("sqlite", database=str(file)),
        pool_size=1,
        max_overflow=0,
        # One thread at a time has the connection; not always the same one.
        connect_args={"check_same_thread": False, "timeout": _BUSY_MS / 1000},
    )

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: object) -> None:
        # The driver would begin transactions late and never around DDL: it is told not to, see _begun.
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-16384"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """All or nothing. Whatever the database complains of becomes a StoreError."""
    try:
        with engine.begin() as connection:
            yield connection
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        raise StoreError(f"the store failed: {cause}") from error
