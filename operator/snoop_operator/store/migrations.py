"""Brings a store to the schema of this program, step by step, or refuses one that is newer.

A new store is made in the current shape at once. A step turns version n - 1 into version n; it is never changed once
released, and so names its tables and columns in SQL of its own, not through `schema`.
"""

import secrets
from collections.abc import Callable, Mapping

from sqlalchemy import Connection, insert, inspect, select, text, update

from snoop_operator.store import schema
from snoop_operator.store.interface import StoreError, StoreTooNewError

Step = Callable[[Connection], None]


def _limits_and_runs(connection: Connection) -> None:
    """Add what an agent did not record, how far a resend has come, what ran unseen, and a revision."""
    for statement in (
        "ALTER TABLE pod ADD COLUMN exclude TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE pod ADD COLUMN max_unique_files BIGINT NOT NULL DEFAULT 0",
        "ALTER TABLE pod ADD COLUMN agent_restarts INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE pod ADD COLUMN pods INTEGER NOT NULL DEFAULT 1",
        "ALTER TABLE container ADD COLUMN pods INTEGER NOT NULL DEFAULT 1",
        # Reports of before did not say what they left out.
        """UPDATE pod SET exclude = '["/"]' WHERE first_report_at != 0""",
        "ALTER TABLE boot ADD COLUMN full_since BIGINT NOT NULL DEFAULT 0",
        "ALTER TABLE boot ADD COLUMN full_to BIGINT NOT NULL DEFAULT 0",
        "ALTER TABLE identity ADD COLUMN ran_at FLOAT NOT NULL DEFAULT 0",
        """CREATE TABLE unprofiled (
            namespace VARCHAR(256) NOT NULL, profile VARCHAR(256) NOT NULL, name VARCHAR(256) NOT NULL,
            image VARCHAR(1024) NOT NULL, digest VARCHAR(256) NOT NULL, created_at FLOAT NOT NULL,
            seen_at FLOAT NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (namespace, profile, name, image, digest))""",
        "INSERT INTO meta (key, value) VALUES ('revision', '0')",
    ):
        connection.execute(text(statement))


def _inventories(connection: Connection) -> None:
    """Add what images hold."""
    # SQLAlchemy's LargeBinary: BYTEA in PostgreSQL.
    binary = "BYTEA" if connection.dialect.name == "postgresql" else "BLOB"
    connection.execute(
        text(
            f"""CREATE TABLE inventory (digest VARCHAR(256) NOT NULL, content {binary} NOT NULL,
            size BIGINT NOT NULL, fetched_at FLOAT NOT NULL, PRIMARY KEY (digest))"""
        )
    )


VERSION = 3
STEPS: Mapping[int, Step] = {2: _limits_and_runs, 3: _inventories}


def prepare(connection: Connection, version: int = VERSION, steps: Mapping[int, Step] = STEPS) -> tuple[str, bool]:
    """Make or migrate the tables within the caller's transaction. Returns the store's ID and whether it is new."""
    if not inspect(connection).has_table("meta"):
        return _create(connection, version), True
    found = {row.key: row.value for row in connection.execute(select(schema.meta))}
    try:
        stored, identifier = int(found["schema_version"]), found["store_id"]
    except (KeyError, ValueError) as error:
        raise StoreError(
            "the store has a table 'meta' that is not Snoop's: give Snoop a database of its own"
        ) from error
    if stored > version:
        raise StoreTooNewError(
            f"the store has schema version {stored}, this program knows {version}: run the version of snoop-operator "
            "that wrote it, or a newer one"
        )
    for number in range(stored + 1, version + 1):
        steps[number](connection)
        _set(connection, "schema_version", str(number))
    return identifier, False


def _create(connection: Connection, version: int) -> str:
    schema.metadata.create_all(connection)
    identifier = secrets.token_hex(16)
    for key, value in (("schema_version", str(version)), ("store_id", identifier), ("revision", "0")):
        connection.execute(insert(schema.meta).values(key=key, value=value))
    connection.execute(insert(schema.path).values(id=schema.EMPTY_PATH, hash=b"", name=""))
    return identifier


def _set(connection: Connection, key: str, value: str) -> None:
    connection.execute(update(schema.meta).where(schema.meta.c.key == key).values(value=value))
