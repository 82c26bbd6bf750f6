"""Many ended pods become one: for workloads that come and go (CronJobs) while their profile stays.

Pods that the same profiles select, for the same labels, are folded into one whose containers are told apart by name
and image alone. Of files, gaps and what was not recorded it holds the union, of counters the sum, and it knows how many
pods it stands for. Which pod used a file is forgotten; that one did is not.
"""

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from snoop_operator.profile import Profile, Selector
from snoop_operator.store import reading
from snoop_operator.store.accepting import add_gaps, note_limits, unite_observations, unite_used
from snoop_operator.store.reading import ContainerRow, PodRow
from snoop_operator.store.schema import boot, container, counter, identity, observation, pod, used
from snoop_operator.store.strings import insert_into
from snoop_report.model import Gap, GapCode, Report

PREFIX = "ended-"
"""Of the UIDs of pods that stand for several."""
NAME = "ended-pods"
_BATCH = 5000


def foldable(connection: Connection, profiles: Sequence[Profile], now: float, after: float) -> list[int]:
    """Pods that ended longer than `after` seconds ago and that a profile selects."""
    rows = connection.execute(
        select(pod.c.id, pod.c.namespace, pod.c.labels).where(
            pod.c.ended_at != 0,
            pod.c.ended_at < now - after,
            pod.c.unselected_since == 0,
            pod.c.uid.not_like(f"{PREFIX}%"),
        )
    )
    return [row.id for row in rows if _selecting(profiles, row.namespace, json.loads(row.labels or "{}"))]


def fold(connection: Connection, pod_id: int, profiles: Sequence[Profile], now: float) -> bool:
    """Fold a pod into its like. False if it has changed, or cannot be without changing what a profile selects."""
    row = connection.execute(select(pod).where(pod.c.id == pod_id, pod.c.ended_at != 0)).one_or_none()
    if row is None:
        return False
    labels: dict[str, str] = json.loads(row.labels or "{}")
    selecting = _selecting(profiles, row.namespace, labels)
    uid = PREFIX + _likeness(row.namespace, labels, selecting)
    known = connection.execute(select(pod).where(pod.c.uid == uid)).one_or_none()
    common = labels if known is None else dict(labels.items() & json.loads(known.labels).items())
    if not selecting or _selecting(profiles, row.namespace, common) != selecting:
        return False
    (found,) = reading.pods_of(connection, [row], now)
    into = _pod(connection, uid, row, common)
    note_limits(connection, into, Report(exclude=found.exclude, max_unique_files=found.max_unique_files))
    boot_id = connection.execute(select(boot.c.id).where(boot.c.pod_id == into.id)).scalar_one()
    names = _containers(connection, found, into.id, boot_id)
    add_gaps(connection, into.id, _gaps(found, names))
    connection.execute(delete(pod).where(pod.c.id == pod_id))
    return True


def _selecting(profiles: Sequence[Profile], namespace: str, labels: Mapping[str, str]) -> list[Profile]:
    return [one for one in profiles if one.namespace == namespace and one.selector.matches(labels)]


def _likeness(namespace: str, labels: Mapping[str, str], selecting: Sequence[Profile]) -> str:
    """Name the pods that are alike: selected by the same profiles, for the same values."""
    keys = {key for one in selecting for key in _keys(one.selector)}
    told = [namespace, sorted(one.name for one in selecting), sorted((key, labels.get(key)) for key in keys)]
    return blake2b(json.dumps(told).encode(), digest_size=12).hexdigest()


def _keys(selector: Selector) -> set[str]:
    """Labels whose value decides."""
    return {key for key, _ in selector.match_labels} | {
        one.key for one in selector.match_expressions if one.operator in ("In", "NotIn")
    }


def _pod(connection: Connection, uid: str, row: Any, labels: Mapping[str, str]) -> Any:
    """Make or widen the pod that stands for several."""
    text = json.dumps(dict(labels), sort_keys=True)
    kept = ("started_at", "first_report_at", "last_report_at", "ended_at")
    agent = ("agent_version", "kernel", "hooks", "attach")
    known = connection.execute(select(pod).where(pod.c.uid == uid)).one_or_none()
    if known is None:
        values = {name: getattr(row, name) for name in (*kept, *agent)}
        made = insert_into(connection, pod).values(
            uid=uid, namespace=row.namespace, name=NAME, labels=text, pods=row.pods, **values
        )
        result = connection.execute(made.returning(pod)).one()
        connection.execute(
            insert_into(connection, boot).values(pod_id=result.id, boot=uid, last_sequence=0, final=True)
        )
        return result
    values = {
        "started_at": _earliest(known.started_at, row.started_at),
        "first_report_at": _earliest(known.first_report_at, row.first_report_at),
        "last_report_at": max(known.last_report_at, row.last_report_at),
        "ended_at": max(known.ended_at, row.ended_at),
        "labels": text,
        "pods": known.pods + row.pods,
    }
    connection.execute(update(pod).where(pod.c.id == known.id).values(values))
    return known


def _earliest(*times: float) -> float:
    return min((time for time in times if time), default=0.0)


def _containers(connection: Connection, found: PodRow, into: int, boot_id: int) -> dict[str, str]:
    """Fold a pod's containers into those of the pod `into`. Returns their new IDs, by their old ones."""
    names: dict[str, str] = {}
    for one in found.containers:
        told = one.evidence
        if not (told.name and told.digest):
            _move(connection, one, into, boot_id)
            continue
        fresh = f"{told.name}@{told.digest}"
        pods = 0 if fresh in names.values() else told.pods
        names[told.id] = fresh
        number = _container(connection, one, fresh, into, pods)
        _count(connection, number, boot_id, told.events, told.dropped)
        _take_observations(connection, one.row, number)
    return names


def _move(connection: Connection, one: ContainerRow, into: int, boot_id: int) -> None:
    """Keep a container as it is, under its ID: what it ran is not known."""
    told = one.evidence
    connection.execute(delete(counter).where(counter.c.container_id == one.row))
    _count(connection, one.row, boot_id, told.events, told.dropped)
    connection.execute(update(container).where(container.c.id == one.row).values(pod_id=into))
    _identify(connection, into, told.id, told.name, told.image, told.digest)


def _container(connection: Connection, one: ContainerRow, key: str, into: int, pods: int) -> int:
    told = one.evidence
    here = (container.c.pod_id == into) & (container.c.container_id == key)
    known = connection.execute(select(container).where(here)).one_or_none()
    _identify(connection, into, key, told.name, told.image, told.digest)
    if known is None:
        made = insert_into(connection, container).values(
            pod_id=into,
            container_id=key,
            cgroup_id=0,
            cgroup_path="",
            started_at=told.started_at,
            first_seen_at=one.first_seen_at,
            last_seen_at=told.last_seen_at,
            pods=pods,
            version=1,
        )
        return int(connection.execute(made.returning(container.c.id)).scalar_one())
    values = {
        "started_at": _earliest(known.started_at, told.started_at),
        "first_seen_at": min(known.first_seen_at, one.first_seen_at),
        "last_seen_at": max(known.last_seen_at, told.last_seen_at),
        "pods": known.pods + pods,
        "version": known.version + 1,
    }
    connection.execute(update(container).where(here).values(values))
    return int(known.id)


def _identify(connection: Connection, pod_id: int, key: str, name: str, image: str, digest: str) -> None:
    values = {"name": name, "image": image, "digest": digest}
    statement = insert_into(connection, identity).values(pod_id=pod_id, container_id=key, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["pod_id", "container_id"], set_=values))


def _count(connection: Connection, container_id: int, boot_id: int, events: int, dropped: int) -> None:
    statement = insert_into(connection, counter).values(
        container_id=container_id, boot_id=boot_id, events=events, dropped=dropped
    )
    sums = {name: counter.c[name] + statement.excluded[name] for name in ("events", "dropped")}
    connection.execute(statement.on_conflict_do_update(index_elements=["container_id", "boot_id"], set_=sums))


def _take_observations(connection: Connection, source: int, target: int) -> None:
    for table, unite in ((observation, unite_observations), (used, unite_used)):
        rows = connection.execute(select(table).where(table.c.container_id == source))
        for batch in rows.mappings().partitions(_BATCH):
            unite(connection, [{**one, "container_id": target} for one in batch])
    files = select(func.count()).select_from(used).where(used.c.container_id == target).scalar_subquery()
    connection.execute(update(container).where(container.c.id == target).values(files=files))


def _gaps(found: PodRow, names: Mapping[str, str]) -> list[Gap]:
    """Give a pod's gaps, also those that followed from its rows, for the containers as they are called now."""
    here = {one.evidence.id for one in found.containers}
    return [
        Gap(
            gap.code,
            gap.message,
            gap.since,
            gap.count,
            names.get(gap.container, gap.container if gap.container in here else ""),
        )
        for gap in found.evidence.gaps
        # It stays true of the container's row by itself.
        if gap.code is not GapCode.UNRESOLVED_CONTAINER
    ]
