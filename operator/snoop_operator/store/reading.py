"""Reads evidence: pods with their containers counted, and whole reports. Unions are counted in `unions`."""

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, and_, bindparam, func, select, union

from snoop_operator.store.gaps import derived
from snoop_operator.store.interface import ContainerEvidence, PodEvidence
from snoop_operator.store.schema import KINDS, OUTCOMES, boot, container, counter, gap, identity, observation, path, pod
from snoop_report.merge import merge_gaps
from snoop_report.model import AgentInfo, ContainerReport, Gap, GapCode, Observation, Report
from snoop_report.paths import unescape

_OUTCOMES = {number: outcome for outcome, number in OUTCOMES.items()}


@dataclass(frozen=True, slots=True)
class ContainerRow:
    """A container as counted, with what only the tables know of it."""

    evidence: ContainerEvidence
    row: int
    version: int
    first_seen_at: float
    cgroup_id: int
    cgroup_path: str


@dataclass(frozen=True, slots=True)
class PodRow:
    """A pod with its containers."""

    evidence: PodEvidence
    started_at: float
    containers: tuple[ContainerRow, ...]
    exclude: tuple[str, ...]
    max_unique_files: int


def excluded_prefixes(stored: str) -> list[str]:
    """Read the column `exclude` of a pod."""
    return [unescape(prefix) for prefix in json.loads(stored or "[]")]


def one_of(column: ColumnElement[Any], numbers: Collection[int]) -> ColumnElement[bool]:
    """`column` IN our own row numbers, written into the statement: bound ones have a limit of some 32,000."""
    return column.in_(bindparam(None, list(numbers), Integer, expanding=True, literal_execute=True))


def select_pods(
    connection: Connection, namespace: str, wanted: Callable[[str, Mapping[str, str]], bool], now: float
) -> list[PodRow]:
    """Pods of `namespace` for which `wanted(uid, labels)` holds, oldest first."""
    rows = connection.execute(select(pod).where(pod.c.namespace == namespace).order_by(pod.c.id)).all()
    return pods_of(connection, [row for row in rows if wanted(row.uid, json.loads(row.labels or "{}"))], now)


def pods_of(connection: Connection, rows: Sequence[Any], now: float) -> list[PodRow]:
    """Read what belongs to rows of `pod`."""
    ids = [row.id for row in rows]
    if not ids:
        return []
    containers = _containers(connection, ids)
    boots = defaultdict(list)
    for row in connection.execute(select(boot).where(one_of(boot.c.pod_id, ids)).order_by(boot.c.id)):
        boots[row.pod_id].append(row)
    gaps = defaultdict(list)
    for row in connection.execute(select(gap).where(one_of(gap.c.pod_id, ids))):
        gaps[row.pod_id].append(Gap(GapCode(row.code), row.message, row.since, row.occurrences, row.container))
    ran = defaultdict(list)
    for row in connection.execute(select(identity).where(one_of(identity.c.pod_id, ids), identity.c.ran_at != 0)):
        ran[row.pod_id].append(row)
    return [_pod(row, boots[row.id], containers[row.id], ran[row.id], gaps[row.id], now) for row in rows]


def _pod(
    row: Any,
    boots: Sequence[Any],
    containers: Sequence[ContainerRow],
    ran: Sequence[Any],
    gaps: Sequence[Gap],
    now: float,
) -> PodRow:
    seen = {one.evidence.id for one in containers}
    unseen = [one for one in ran if one.container_id not in seen]
    told = any(one.code is GapCode.AGENT_RESTARTED for one in gaps)
    final = bool(boots) and boots[-1].final
    lacking = [one.lacking_since for one in boots if one.lacking]
    unresolved = [(one.evidence.id, one.first_seen_at) for one in containers if not _resolved(one.evidence)]
    further = derived(
        now=now,
        ended_at=row.ended_at,
        final=final,
        placed=row.node != "",
        reported_at=row.first_report_at,
        runs=0 if told else max(len(boots), row.agent_restarts + 1),
        lacking_since=min(lacking, default=0.0),
        unresolved=unresolved,
        unseen=[(one.container_id, one.name, one.ran_at) for one in unseen],
    )
    evidence = PodEvidence(
        uid=row.uid,
        namespace=row.namespace,
        name=row.name,
        node=row.node,
        labels=json.loads(row.labels or "{}"),
        owner=row.owner,
        first_report_at=row.first_report_at,
        last_report_at=row.last_report_at,
        final=final,
        ended_at=row.ended_at,
        agent=AgentInfo(row.agent_version, row.kernel, row.hooks, row.attach),
        pods=row.pods,
        containers=(*(one.evidence for one in containers), *map(_unseen, unseen)),
        gaps=tuple(merge_gaps([*gaps, *further])),
    )
    exclude = tuple(excluded_prefixes(row.exclude))
    return PodRow(evidence, row.started_at, tuple(containers), exclude, row.max_unique_files)


def _unseen(row: Any) -> ContainerEvidence:
    """Tell of a container that ran and that no report names."""
    return ContainerEvidence(row.container_id, row.name, row.image, row.digest, 0, 0, 0, row.ran_at, 0.0)


def _resolved(evidence: ContainerEvidence) -> bool:
    return bool(evidence.name and evidence.digest)


def _containers(connection: Connection, pod_ids: Collection[int]) -> dict[int, list[ContainerRow]]:
    sums = (
        select(
            counter.c.container_id,
            func.sum(counter.c.events).label("events"),
            func.sum(counter.c.dropped).label("dropped"),
        )
        .join(container, container.c.id == counter.c.container_id)
        .where(one_of(container.c.pod_id, pod_ids))
        .group_by(counter.c.container_id)
        .subquery()
    )
    known = and_(identity.c.pod_id == container.c.pod_id, identity.c.container_id == container.c.container_id)
    statement = (
        select(container, identity.c.name, identity.c.image, identity.c.digest, sums.c.events, sums.c.dropped)
        .outerjoin(identity, known)
        .outerjoin(sums, sums.c.container_id == container.c.id)
        .where(one_of(container.c.pod_id, pod_ids))
        .order_by(container.c.id)
    )
    found: dict[int, list[ContainerRow]] = defaultdict(list)
    for row in connection.execute(statement):
        evidence = ContainerEvidence(
            id=row.container_id,
            name=row.name or "",
            image=row.image or "",
            digest=row.digest or "",
            files=row.files,
            events=int(row.events or 0),
            dropped=int(row.dropped or 0),
            started_at=row.started_at,
            last_seen_at=row.last_seen_at,
            pods=row.pods,
            version=row.version,
        )
        found[row.pod_id].append(
            ContainerRow(evidence, row.id, row.version, row.first_seen_at, row.cgroup_id, row.cgroup_path)
        )
    return found


def report(connection: Connection, pod_uid: str, now: float) -> Report | None:
    """Read a pod's whole report."""
    rows = connection.execute(select(pod).where(pod.c.uid == pod_uid)).all()
    if not rows:
        return None
    (found,) = pods_of(connection, rows, now)
    evidence = found.evidence
    names = _names(connection, [one.row for one in found.containers])
    return Report(
        pod_name=evidence.name,
        namespace=evidence.namespace,
        pod_uid=evidence.uid,
        node=evidence.node,
        labels=dict(evidence.labels),
        started_at=found.started_at,
        last_updated_at=evidence.last_report_at,
        containers=[_container_report(connection, one, names) for one in found.containers],
        gaps=list(evidence.gaps),
        exclude=found.exclude,
        max_unique_files=found.max_unique_files,
        agent=evidence.agent,
    )


def _names(connection: Connection, containers: Collection[int]) -> dict[int, str]:
    here = one_of(observation.c.container_id, containers)
    columns = (observation.c.path_id, observation.c.target_id, observation.c.executable_id)
    wanted = union(*(select(column).where(here) for column in columns)).subquery()
    rows = connection.execute(select(path.c.id, path.c.name).where(path.c.id.in_(select(wanted.c[0]))))
    return {row.id: unescape(row.name) for row in rows}


def _container_report(connection: Connection, found: ContainerRow, names: Mapping[int, str]) -> ContainerReport:
    told = found.evidence
    made = ContainerReport(
        id=told.id,
        cgroup_id=found.cgroup_id,
        cgroup_path=unescape(found.cgroup_path),
        name=told.name,
        image=told.image,
        digest=told.digest,
        total_events=told.events,
        dropped_events=told.dropped,
        started_at=told.started_at,
    )
    kinds: dict[int, frozenset[Any]] = {}
    for row in connection.execute(select(observation).where(observation.c.container_id == found.row)):
        if row.kinds not in kinds:
            kinds[row.kinds] = frozenset(kind for kind, bit in KINDS.items() if row.kinds & bit)
        seen = Observation(
            path=names[row.path_id],
            target=names[row.target_id],
            outcome=_OUTCOMES[row.outcome],
            kinds=kinds[row.kinds],
            first_seen=row.first_seen,
            last_seen=row.last_seen,
            executable=names[row.executable_id],
            volume=row.volume,
            collapsed=row.collapsed,
        )
        made.observations[seen.key] = seen
    return made
