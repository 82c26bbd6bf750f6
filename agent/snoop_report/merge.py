"""Two pieces of evidence become one. Unions commute, so order and repetition change nothing."""

from collections.abc import Iterable
from dataclasses import astuple, replace

from snoop_report.model import ContainerReport, Gap, GapCode, Observation, Report


def observe(container: ContainerReport, seen: Observation) -> bool:
    """Add one observation to `container`, in place. True if it tells something new: a path, a kind of use, a place."""
    known = container.observations.get(seen.key)
    if known is None:
        container.observations[seen.key] = replace(seen)
        return True
    fresh = not seen.kinds <= known.kinds or known.volume > seen.volume or known.collapsed > seen.collapsed
    if _first(seen) < _first(known):
        known.executable = seen.executable
        known.first_seen = seen.first_seen
    known.last_seen = max(known.last_seen, seen.last_seen)
    known.kinds |= seen.kinds
    # Seen once on the container's own root, with a name, it is used there, whatever was mounted over it at other times.
    known.volume = known.volume and seen.volume
    known.collapsed = known.collapsed and seen.collapsed
    return fresh


def _first(seen: Observation) -> tuple[float, bool, str]:
    """Order by time; at the same time a known program comes first, then any order that does not depend on ours."""
    return (seen.first_seen, not seen.executable, seen.executable)


def merge_gaps(gaps: Iterable[Gap]) -> list[Gap]:
    """One gap per (code, container): the earliest time, the highest count and its words."""
    found: dict[tuple[GapCode, str], Gap] = {}
    for gap in gaps:
        key = (gap.code, gap.container)
        known = found.get(key)
        if known is None:
            found[key] = gap
        else:
            told = max(known, gap, key=lambda one: (one.count, one.message))
            found[key] = replace(told, since=min(known.since, gap.since))
    return sorted(found.values(), key=lambda gap: (gap.since, gap.code, gap.container))


def merge_exclude(*given: Iterable[str]) -> tuple[str, ...]:
    """All prefixes under which one of the pieces of evidence was blind, without those that another one covers."""
    kept: list[str] = []
    for prefix in sorted({prefix for one in given for prefix in one}):
        # Sorted, a prefix comes before whatever begins with it.
        if not kept or not prefix.startswith(kept[-1]):
            kept.append(prefix)
    return tuple(kept)


def merge_caps(*given: int) -> int:
    """Choose the strictest of several caps, where 0 means none."""
    return min((cap for cap in given if cap), default=0)


def merge_container(into: ContainerReport, other: ContainerReport) -> None:
    """Add what `other` knows of the same container, in place."""
    for seen in other.observations.values():
        observe(into, seen)
    into.total_events = max(into.total_events, other.total_events)
    into.dropped_events = max(into.dropped_events, other.dropped_events)
    into.cgroup_id = into.cgroup_id or other.cgroup_id
    into.cgroup_path = into.cgroup_path or other.cgroup_path
    into.name = into.name or other.name
    into.image = into.image or other.image
    into.digest = into.digest or other.digest
    started = [time for time in (into.started_at, other.started_at) if time]
    into.started_at = min(started, default=0.0)


def apply(into: Report, delta: Report) -> None:
    """Add a pod's delta to what is known of the pod, in place."""
    known = {container.id: container for container in into.containers}
    for container in delta.containers:
        if container.id in known:
            merge_container(known[container.id], container)
        else:
            fresh = replace(container, observations={})
            for seen in container.observations.values():
                observe(fresh, seen)
            into.containers.append(fresh)
            known[fresh.id] = fresh
    into.gaps = merge_gaps([*into.gaps, *delta.gaps])
    into.exclude = merge_exclude(into.exclude, delta.exclude)
    into.max_unique_files = merge_caps(into.max_unique_files, delta.max_unique_files)
    into.last_updated_at = max(into.last_updated_at, delta.last_updated_at)
    started = [time for time in (into.started_at, delta.started_at) if time]
    into.started_at = min(started, default=0.0)
    # Of several agents one is named: which, does not depend on the order.
    into.agent = max(into.agent, delta.agent, key=astuple)
