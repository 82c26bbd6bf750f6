"""The store's revision: it grows with each delta, and agents repeat the highest that they were told.

A store that an agent knows to have been further was put back, from a backup. It lacks the evidence of pods that have
ended since, and nobody can send that again: so it is said of every profile that had pods by then.
"""

from sqlalchemy import Connection, insert, select, update

from snoop_operator.store.schema import meta
from snoop_report.model import Delta


def count(connection: Connection, store: str, delta: Delta, now: float) -> int:
    """Count a delta; note if it shows that the store was put back. Returns the new revision."""
    known = int(connection.execute(select(meta.c.value).where(meta.c.key == "revision")).scalar_one())
    behind = delta.store == store and delta.revision > known
    # Never again a number that was given before: else it would be noticed once more, or not at all the next time.
    after = max(known, delta.revision if behind else 0) + 1
    connection.execute(update(meta).where(meta.c.key == "revision").values(value=str(after)))
    if behind and not put_back_at(connection):
        connection.execute(insert(meta).values(key="put_back_at", value=repr(now)))
    return after


def put_back_at(connection: Connection) -> float:
    """When it was found that the store had been put back; 0: it was not."""
    return float(connection.execute(select(meta.c.value).where(meta.c.key == "put_back_at")).scalar_one_or_none() or 0)
