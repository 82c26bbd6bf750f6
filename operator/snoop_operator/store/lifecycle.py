"""Pods and profiles come and go: what the cluster says of pods, their end, losses, and what may be forgotten."""

import json
import secrets
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, case, delete, func, or_, select, union, update

from snoop_operator.profile import Profile
from snoop_operator.store.identities import note_run, remember
from snoop_operator.store.schema import EMPTY_PATH, loss, meta, observation, path, pod
from snoop_operator.store.strings import insert_into
from snoop_operator.workload import PodState


def is_live(state: PodState) -> bool:
    """Whether the pod can still send evidence of work."""
    return state.phase in ("Pending", "Running") and not state.terminating and not state.agent_finished


def note_pod(connection: Connection, state: PodState) -> None:
    """Remember what the cluster says of one pod."""
    labels = json.dumps(dict(state.labels), sort_keys=True)
    statement = insert_into(connection, pod).values(
        uid=state.uid,
        namespace=state.namespace,
        name=state.name,
        node=state.node,
        labels=labels,
        owner=state.owner,
        agent_restarts=state.agent_restarts,
    )
    values: dict[str, Any] = {
        "namespace": state.namespace,
        "name": state.name,
        "node": case((statement.excluded["node"] != "", statement.excluded["node"]), else_=pod.c.node),
        # A pod that is relabelled (to take it out of its Service, say) stays evidence of what it was made as.
        "labels": func.coalesce(pod.c.labels, statement.excluded["labels"]),
        "owner": case((pod.c.owner == "", statement.excluded["owner"]), else_=pod.c.owner),
    }
    if is_live(state):
        values["ended_at"] = 0.0
    if state.agent_restarts:
        more = statement.excluded["agent_restarts"] > pod.c.agent_restarts
        values["agent_restarts"] = case((more, statement.excluded["agent_restarts"]), else_=pod.c.agent_restarts)
    upsert = statement.on_conflict_do_update(index_elements=["uid"], set_=values).returning(pod.c.id)
    pod_id = connection.execute(upsert).scalar_one()
    remember(connection, pod_id, cluster=state.containers, agent={})
    note_run(connection, pod_id, state.ran)


def leave_mark(connection: Connection) -> None:
    """Write something, however little: a full disk lets a store be opened and read."""
    mark = {"key": "mark", "value": secrets.token_hex(8)}
    statement = insert_into(connection, meta).values(**mark)
    connection.execute(statement.on_conflict_do_update(index_elements=["key"], set_={"value": mark["value"]}))


def open_pods(connection: Connection) -> frozenset[str]:
    """UIDs of pods without an end."""
    return frozenset(connection.execute(select(pod.c.uid).where(pod.c.ended_at == 0)).scalars())


def mark_ended(connection: Connection, pod_uid: str, when: float) -> None:
    """Note when a pod was found gone."""
    connection.execute(update(pod).where(pod.c.uid == pod_uid, pod.c.ended_at == 0).values(ended_at=when))


def note_loss(connection: Connection, namespace: str, profile: str, previous_store: str, now: float) -> None:
    """Note that another store held evidence of a profile."""
    statement = insert_into(connection, loss).values(
        namespace=namespace, profile=profile, previous_store=previous_store, since=now
    )
    connection.execute(statement.on_conflict_do_nothing(index_elements=["namespace", "profile"]))


def expired(connection: Connection, profiles: Sequence[Profile], now: float, retention: float) -> list[int]:
    """Mark ended pods that no profile selects, unmark others; return those marked for `retention` seconds.

    The time runs from the first look that found the pod unselected, not from its end: an operator that was away cannot
    have missed that a profile came back.
    """
    rows = connection.execute(
        select(pod.c.id, pod.c.namespace, pod.c.labels, pod.c.unselected_since).where(
            or_(pod.c.ended_at != 0, pod.c.unselected_since != 0)
        )
    ).all()
    open_ids = set(connection.execute(select(pod.c.id).where(pod.c.ended_at == 0)).scalars())
    due: list[int] = []
    for row in rows:
        selected = row.id in open_ids or _selected(row, profiles)
        if selected != (row.unselected_since == 0):
            since = 0.0 if selected else now
            connection.execute(update(pod).where(pod.c.id == row.id).values(unselected_since=since))
        elif not selected and now - row.unselected_since > retention:
            due.append(row.id)
    return due


def _selected(row: Any, profiles: Iterable[Profile]) -> bool:
    labels = json.loads(row.labels or "{}")
    return any(one.namespace == row.namespace and one.selector.matches(labels) for one in profiles)


def prune_losses(connection: Connection, profiles: Sequence[Profile], now: float, retention: float) -> None:
    """Forget losses of profiles that have not existed for `retention` seconds."""
    exist = {(one.namespace, one.name) for one in profiles}
    for row in connection.execute(select(loss)).all():
        here = (loss.c.namespace == row.namespace) & (loss.c.profile == row.profile)
        if (row.namespace, row.profile) in exist:
            connection.execute(update(loss).where(here).values(unselected_since=0.0))
        elif row.unselected_since == 0:
            connection.execute(update(loss).where(here).values(unselected_since=now))
        elif now - row.unselected_since > retention:
            connection.execute(delete(loss).where(here))


def forget_pod(connection: Connection, pod_id: int) -> bool:
    """Remove a pod that is still marked, with everything of it; False if it has been claimed since."""
    removed = connection.execute(delete(pod).where(pod.c.id == pod_id, pod.c.unselected_since != 0))
    return removed.rowcount > 0


def forget_paths(connection: Connection) -> int:
    """Remove strings that nothing names any more."""
    named = union(
        select(observation.c.path_id), select(observation.c.target_id), select(observation.c.executable_id)
    ).subquery()
    removed = connection.execute(delete(path).where(path.c.id != EMPTY_PATH, path.c.id.not_in(select(named.c[0]))))
    return removed.rowcount
