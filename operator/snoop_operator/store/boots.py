"""The runs of a pod's agent: which of its deltas came here, and whether one that came before never did.

That is so in a new store, and in one that was restored from a backup. Then the agent is asked for everything, which
comes in parts: the hole is closed when the last of them is here and none between it and the first is missing.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from snoop_operator.store.schema import boot
from snoop_report.model import Delta


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one run of an agent has come here."""

    last: int = 0
    """Highest sequence."""
    lacking: bool = False
    """Something before `last` never came."""
    full_since: int = 0
    """Sequence of the first part of everything; 0: none has come."""
    full_to: int = 0
    """Highest part of it that came without a hole after the first."""


def advance(known: Progress, delta: Delta) -> Progress:
    """Count one more delta, in whatever order and however often they come. Pure."""
    sequence, since = delta.sequence, delta.full_since or delta.sequence
    last = max(known.last, sequence)
    hole = sequence > known.last + 1
    if not delta.full:
        return Progress(last, known.lacking or hole, known.full_since, known.full_to)
    if sequence == since > known.full_since:
        begun = True  # anew
    else:
        begun = since == known.full_since and sequence == known.full_to + 1
    if not begun:
        return Progress(last, known.lacking or hole, known.full_since, known.full_to)
    # What stood before the first part, also under numbers that never came, is in the parts.
    closed = not delta.more and sequence == last
    return Progress(last, (known.lacking or hole) and not closed, since, sequence)


def note_boot(connection: Connection, pod_id: int, delta: Delta, now: float) -> tuple[int, bool]:
    """Count the delta in its boot. Returns the boot's row and whether something that came before it is lacking."""
    row = connection.execute(select(boot).where(boot.c.pod_id == pod_id, boot.c.boot == delta.boot)).one_or_none()
    known = Progress(row.last_sequence, row.lacking, row.full_since, row.full_to) if row else Progress()
    after = advance(known, delta)
    values: dict[str, Any] = {
        "last_sequence": after.last,
        "lacking": after.lacking,
        "lacking_since": (row.lacking_since if row and row.lacking else now) if after.lacking else 0.0,
        "full_since": after.full_since,
        "full_to": after.full_to,
        "final": delta.final or (row is not None and row.final),
    }
    if row is None:
        made = insert(boot).values(pod_id=pod_id, boot=delta.boot, **values).returning(boot.c.id)
        return int(connection.execute(made).scalar_one()), after.lacking
    connection.execute(update(boot).where(boot.c.id == row.id).values(values))
    return int(row.id), after.lacking
