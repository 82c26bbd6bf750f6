"""Adds a delta to the tables. Every statement is a union, a maximum or a minimum, so order and repetition are harmless.

The pod's row is written first: that lock makes what follows safe against another writer of the same pod.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, func, literal_column, or_, select, update

from snoop_operator.store import revision
from snoop_operator.store.boots import note_boot
from snoop_operator.store.identities import remember
from snoop_operator.store.interface import Accepted, PodKey
from snoop_operator.store.reading import excluded_prefixes
from snoop_operator.store.schema import (
    EMPTY_PATH,
    KINDS,
    OUTCOMES,
    container,
    counter,
    gap,
    observation,
    path,
    pod,
    used,
)
from snoop_operator.store.strings import insert_into, intern
from snoop_report.merge import merge_caps, merge_exclude, merge_gaps
from snoop_report.model import ContainerReport, Delta, Gap, GapCode, Identity, Kind, Observation, Outcome, Report
from snoop_report.paths import escape


def accept(
    connection: Connection, store: str, key: PodKey, delta: Delta, identities: Mapping[str, Identity], now: float
) -> Accepted:
    """Add `delta`, which `key` posted at `now`; `identities` is what the cluster says of its containers."""
    report = delta.report
    number = revision.count(connection, store, delta, now)
    pod_id = _note_pod(connection, key, report, now)
    boot_id, resend = note_boot(connection, pod_id, delta, now)
    told = {one.id: Identity(one.name, one.image, one.digest) for one in report.containers}
    known = remember(connection, pod_id, cluster=identities, agent=told)
    add_gaps(connection, pod_id, report.gaps)
    numbers = intern(connection, _paths(report.containers))
    files = {one.id: _add_container(connection, pod_id, boot_id, one, numbers, now) for one in report.containers}
    return Accepted(resend, known, files, number)


def _least(table: Any, excluded: Any, name: str) -> ColumnElement[Any]:
    """Choose the smaller of two times, where 0 means unknown."""
    kept, given = table.c[name], excluded[name]
    return case((or_(kept == 0, and_(given != 0, given < kept)), given), else_=kept)


def _greatest(table: Any, excluded: Any, name: str) -> ColumnElement[Any]:
    kept, given = table.c[name], excluded[name]
    return case((given > kept, given), else_=kept)


def _note_pod(connection: Connection, key: PodKey, report: Report, now: float) -> int:
    values: dict[str, Any] = {"namespace": key.namespace, "name": key.name}
    if key.node:
        values["node"] = key.node
    agent = report.agent
    if agent.version:
        values |= {
            "agent_version": agent.version,
            "kernel": agent.kernel,
            "hooks": agent.hooks,
            "attach": agent.attach,
        }
    times = {"started_at": report.started_at, "first_report_at": now, "last_report_at": now}
    statement = insert_into(connection, pod).values(uid=key.uid, **values, **times)
    kept = {
        "started_at": _least(pod, statement.excluded, "started_at"),
        "first_report_at": _least(pod, statement.excluded, "first_report_at"),
        "last_report_at": _greatest(pod, statement.excluded, "last_report_at"),
    }
    upsert = statement.on_conflict_do_update(index_elements=["uid"], set_={**values, **kept})
    row = connection.execute(upsert.returning(pod.c.id, pod.c.exclude, pod.c.max_unique_files)).one()
    note_limits(connection, row, report)
    return int(row.id)


def note_limits(connection: Connection, row: Any, report: Report) -> None:
    """Add what the agent was told not to record to the pod's `row`."""
    exclude = merge_exclude(excluded_prefixes(row.exclude), report.exclude)
    limits = {
        "exclude": json.dumps([escape(prefix) for prefix in exclude]) if exclude else "",
        "max_unique_files": merge_caps(row.max_unique_files, report.max_unique_files),
    }
    if limits != {"exclude": row.exclude, "max_unique_files": row.max_unique_files}:
        connection.execute(update(pod).where(pod.c.id == row.id).values(limits))


def add_gaps(connection: Connection, pod_id: int, gaps: Iterable[Gap]) -> None:
    """Add to what is known to be missing of a pod."""
    given = list(gaps)
    if not given:
        return
    rows = connection.execute(select(gap).where(gap.c.pod_id == pod_id))
    known = [Gap(GapCode(row.code), row.message, row.since, row.occurrences, row.container) for row in rows]
    for one in merge_gaps([*known, *given]):
        if one in known:
            continue
        told = {"message": one.message, "since": one.since, "occurrences": one.count}
        place = {"pod_id": pod_id, "code": one.code.value, "container": one.container}
        statement = insert_into(connection, gap).values(**place, **told)
        connection.execute(statement.on_conflict_do_update(index_elements=list(place), set_=told))


def _paths(containers: Iterable[ContainerReport]) -> set[str]:
    return {
        text
        for one in containers
        for seen in one.observations.values()
        for text in (seen.path, seen.target, seen.executable)
    }


def _add_container(
    connection: Connection, pod_id: int, boot_id: int, report: ContainerReport, numbers: Mapping[str, int], now: float
) -> int:
    """Add one container; return how many distinct files it has used so far."""
    news = bool(report.observations)
    statement = insert_into(connection, container).values(
        pod_id=pod_id,
        container_id=report.id,
        cgroup_id=report.cgroup_id,
        cgroup_path=escape(report.cgroup_path),
        started_at=report.started_at,
        first_seen_at=now,
        last_seen_at=now,
        version=1,
    )
    upsert = statement.on_conflict_do_update(
        index_elements=["pod_id", "container_id"],
        set_={
            "started_at": _least(container, statement.excluded, "started_at"),
            "last_seen_at": _greatest(container, statement.excluded, "last_seen_at"),
            "version": container.c.version + int(news),
        },
    )
    row = connection.execute(upsert.returning(container.c.id, container.c.files)).one()
    _count(connection, row.id, boot_id, report)
    if not news:
        return int(row.files)
    _add_observations(connection, row.id, report.observations.values(), numbers)
    files = connection.execute(select(func.count()).select_from(used).where(used.c.container_id == row.id)).scalar_one()
    connection.execute(update(container).where(container.c.id == row.id).values(files=files))
    return files


def _count(connection: Connection, container_id: int, boot_id: int, report: ContainerReport) -> None:
    """Counters are absolute within a run of the agent; a later post of the same run replaces, another run adds."""
    statement = insert_into(connection, counter).values(
        container_id=container_id, boot_id=boot_id, events=report.total_events, dropped=report.dropped_events
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["container_id", "boot_id"],
            set_={
                "events": _greatest(counter, statement.excluded, "events"),
                "dropped": _greatest(counter, statement.excluded, "dropped"),
            },
        )
    )


def _bits(kinds: Iterable[Kind]) -> int:
    return sum(KINDS[kind] for kind in kinds)


def _add_observations(
    connection: Connection, container_id: int, observations: Iterable[Observation], numbers: Mapping[str, int]
) -> None:
    rows: list[dict[str, Any]] = []
    firsts: dict[int, float] = {}
    for seen in observations:
        path_id, target_id = numbers[seen.path], numbers[seen.target]
        rows.append(
            {
                "container_id": container_id,
                "path_id": path_id,
                "target_id": target_id,
                "outcome": OUTCOMES[seen.outcome],
                "kinds": _bits(seen.kinds),
                "first_seen": seen.first_seen,
                "last_seen": seen.last_seen,
                "executable_id": numbers[seen.executable],
                "volume": seen.volume,
                "collapsed": seen.collapsed,
            }
        )
        if seen.outcome is Outcome.EXISTS:
            for text, number in ((seen.path, path_id), ("" if seen.collapsed else seen.target, target_id)):
                if text:
                    firsts[number] = min(seen.first_seen, firsts.get(number, seen.first_seen))
    unite_observations(connection, rows)
    unite_used(
        connection,
        [{"container_id": container_id, "path_id": number, "first_seen": first} for number, first in firsts.items()],
    )


def unite_observations(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Add rows of `observation`."""
    statement = insert_into(connection, observation)
    kept, given = observation.c, statement.excluded
    # Who was first: as snoop_report.merge orders them, so that it does not depend on who came first to us.
    # Literal columns: outside of a SELECT nothing correlates, and the tables would be joined in anew.
    rival, holder = (
        select(path.c.name).where(path.c.id == literal_column(f"{row}.executable_id")).scalar_subquery()
        for row in ("excluded", observation.name)
    )
    known = given["executable_id"] != EMPTY_PATH
    named = and_(known, or_(kept.executable_id == EMPTY_PATH, rival < holder))
    earlier = given["first_seen"] < kept.first_seen
    better = or_(earlier, and_(given["first_seen"] == kept.first_seen, named))
    upsert = statement.on_conflict_do_update(
        index_elements=["container_id", "path_id", "target_id", "outcome"],
        set_={
            "kinds": kept.kinds.bitwise_or(given["kinds"]),
            "first_seen": _least(observation, given, "first_seen"),
            "last_seen": _greatest(observation, given, "last_seen"),
            "executable_id": case((better, given["executable_id"]), else_=kept.executable_id),
            # Doubt counts as use: seen once on the container's own root, or under a name, it is a file of the image.
            "volume": and_(kept.volume, given["volume"]),
            "collapsed": and_(kept.collapsed, given["collapsed"]),
        },
    )
    connection.execute(upsert, rows)


def unite_used(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Add rows of `used`."""
    if not rows:
        return
    statement = insert_into(connection, used)
    first = statement.excluded["first_seen"]
    upsert = statement.on_conflict_do_update(
        index_elements=["container_id", "path_id"], set_={"first_seen": first}, where=first < used.c.first_seen
    )
    connection.execute(upsert, rows)
