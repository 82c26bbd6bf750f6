"""What ran without an agent although a profile selects it. Bounded: pods alike are one row, and rows are few."""

from collections.abc import Sequence

from sqlalchemy import Connection, and_, case, delete, func, select

from snoop_operator.profile import Profile
from snoop_operator.store.interface import Unprofiled
from snoop_operator.store.schema import unprofiled
from snoop_operator.store.strings import insert_into

LIMIT = 500
"""Rows of one profile; what finds no room becomes one row that stands for anything."""
_KEY = ("namespace", "profile", "name", "image", "digest")


def note(connection: Connection, namespace: str, profile: str, uses: Sequence[Unprofiled]) -> None:
    """Add `uses`; of what is known already the latest times and reason stay."""
    for use in uses:
        named = (use.name, use.image, use.digest)
        if not _has_room(connection, namespace, profile, named):
            named = ("", "", "")
        given = dict(zip(_KEY, (namespace, profile, *named), strict=True))
        statement = insert_into(connection, unprofiled).values(
            **given, created_at=use.created_at, seen_at=use.seen_at, reason=use.reason
        )
        kept, fresh = unprofiled.c, statement.excluded
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=list(_KEY),
                set_={
                    "created_at": case(
                        (fresh["created_at"] > kept.created_at, fresh["created_at"]), else_=kept.created_at
                    ),
                    "seen_at": case((fresh["seen_at"] > kept.seen_at, fresh["seen_at"]), else_=kept.seen_at),
                    "reason": fresh["reason"],
                },
            )
        )


def _has_room(connection: Connection, namespace: str, profile: str, named: tuple[str, str, str]) -> bool:
    here = and_(unprofiled.c.namespace == namespace, unprofiled.c.profile == profile)
    same = and_(here, *(unprofiled.c[key] == value for key, value in zip(_KEY[2:], named, strict=True)))
    if connection.execute(select(func.count()).select_from(unprofiled).where(same)).scalar_one():
        return True
    return connection.execute(select(func.count()).select_from(unprofiled).where(here)).scalar_one() < LIMIT


def of(connection: Connection, profile: Profile) -> list[Unprofiled]:
    """Give what is remembered of a profile."""
    here = and_(unprofiled.c.namespace == profile.namespace, unprofiled.c.profile == profile.name)
    rows = connection.execute(select(unprofiled).where(here).order_by(unprofiled.c.name, unprofiled.c.digest))
    return [Unprofiled(row.name, row.image, row.digest, row.created_at, row.seen_at, row.reason) for row in rows]


def prune(connection: Connection, now: float, retention: float) -> None:
    """Forget what was last seen longer than `retention` seconds ago."""
    connection.execute(delete(unprofiled).where(unprofiled.c.seen_at < now - retention))
