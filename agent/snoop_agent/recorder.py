"""From what the kernel saw to observations: which path, of which container, with what outcome. No I/O; one thread.

`sightings` reads single events. `Recorder` keeps what the pod's containers did, counts what was lost on the way, and
hands out reports: all of it, or what is news.

A record comes only with the first touch of a (container, object, kind), so `first_seen` is exact while `last_seen` is
the time of the last such record: repeats of what is known stay in the kernel, and are counted there.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from snoop_agent import cgroups, wire
from snoop_agent.ledger import Executables, Ledger
from snoop_agent.sightings import interpret
from snoop_agent.tracing import Counters, Event, NewContainer
from snoop_report.merge import merge_exclude, merge_gaps
from snoop_report.model import ContainerReport, Gap, GapCode, Identity, Report
from snoop_report.paths import decode, escape

ANNOUNCEMENT_WAIT = 5.0
"""Seconds that a container's evidence waits for the record that tells its cgroup's path, before it goes out unnamed."""

_GAP_WORDS = {
    GapCode.PATH_TRUNCATED: "paths longer or deeper than the kernel side can carry",
    GapCode.PATH_UNREADABLE: "names that could not be read back from the process's memory",
    GapCode.BLIND_SPOT: "paths that start outside of the container's tree, and cannot be told",
}
_ELSEWHERE = "files of another process's tree, perhaps another container's, were used through /proc, which is excluded"


@dataclass(slots=True)
class _Container:
    cgroup: int
    ledger: Ledger
    since: float
    """Of its first record."""
    path: str = ""
    id: str = ""
    monitor: bool = False
    sent_unnamed: bool = False
    events: int = 0
    lost: int = 0


class Recorder:
    """What the containers of one pod did."""

    def __init__(
        self,
        *,
        exclude: tuple[str, ...] = (),
        max_unique_files: int = 0,
        about: Report | None = None,
        boot_time: Callable[[], float] | None = None,
    ) -> None:
        """`about` is a report without containers: pod, node, agent. `boot_time`: when CLOCK_BOOTTIME was zero."""
        self.about = replace(about or Report(), exclude=merge_exclude(exclude), max_unique_files=max_unique_files)
        self._exclude = tuple(prefix.encode("utf-8", "surrogateescape") for prefix in exclude)
        self._cap = max_unique_files
        self._boot_time = boot_time or _boot_time
        self._executables = Executables()
        self._containers: dict[int, _Container] = {}
        self._identities: dict[str, Identity] = {}
        self._gaps: dict[tuple[GapCode, str, int], Gap] = {}
        self._own = 0
        self._told = 0
        self.records = 0
        """Records read."""
        self.kinds: dict[int, int] = {}
        """Records by their bits of kinds."""
        self.changes = 0
        """Grows with every new path and every new gap."""

    # What comes in.

    def attached(self, hooks: str, attach: str, own: int = 0) -> None:
        """Tracing has begun. `own` is the cgroup ID of the agent's container: a container older than it ran before."""
        self.about.agent = replace(self.about.agent, hooks=hooks, attach=attach)
        self._own = own
        self.changes += 1

    def record(self, events: Iterable[Event | NewContainer]) -> None:
        """Take in records, in the order in which the kernel wrote them."""
        boot = self._boot_time()
        for event in events:
            if isinstance(event, NewContainer):
                self._announce(event, boot)
            else:
                self._observe(event, boot + event.time_ns / 1e9)

    def count(self, counters: Mapping[int, Counters]) -> None:
        """Take in the kernel's counters. They only grow here, even if the kernel forgot one."""
        for cgroup, now in counters.items():
            container = self._containers.get(cgroup)
            if container is None:
                if not now.lost:
                    continue  # nothing but the runtime's own preparations, or nothing yet
                container = self._container(cgroup, time.time())
            container.events = max(container.events, now.events)
            if now.lost > container.lost:
                container.lost = now.lost
                words = "records found no room in the ring buffer; what was not touched again is not in this report"
                self._set_gap(Gap(GapCode.RECORDS_LOST, words, time.time(), now.lost), cgroup)

    def gap(self, gap: Gap) -> None:
        """Take in a gap of the whole pod, or (`container`: cgroup ID in decimal) of one container."""
        if gap.container.isdecimal():
            self._set_gap(replace(gap, container=""), int(gap.container))
        else:
            self._set_gap(gap, 0)

    def identify(self, identities: Mapping[str, Identity]) -> None:
        """Learn names and images by container ID."""
        self._identities.update(identities)

    # What goes out.

    def knows(self, cgroup: int) -> bool:
        """Whether the cgroup is a container's that has shown itself: no sandbox, no monitor of the runtime."""
        found = self._containers.get(cgroup)
        return found is not None and not found.monitor

    @property
    def unique_files(self) -> int:
        """Observations of something that exists, in all containers."""
        return sum(container.ledger.files for container in self._known())

    @property
    def observations(self) -> int:
        """All of them, missing paths included, ever recorded here."""
        return sum(len(container.ledger) for container in self._known())

    @property
    def events(self) -> dict[str, int]:
        """Operations seen, repeats included, by the container's name or ID."""
        shaped = [self._shape(container, named=True) for container in self._known()]
        return {container.name: container.total_events for container in shaped}

    @property
    def dropped(self) -> int:
        """Records for which the kernel found no room."""
        return sum(container.lost for container in self._known())

    @property
    def gaps(self) -> int:
        """How many reasons there are why something may be missing."""
        return len(self._gaps)

    @property
    def news(self) -> bool:
        """Whether there is anything to tell that no delta holds yet: observations, a container, a gap."""
        return self._told != self.changes or self.due()

    def due(self, *, final: bool = False) -> bool:
        """Whether there are observations to tell. Those of a container without a name wait for it, unless `final`."""
        return any(self._is_due(container, final) for container in self._known())

    def begin_anew(self) -> None:
        """Call everything news again."""
        for container in self._known():
            container.ledger.forget_taken()

    def cut(self, limit: int, limit_bytes: int, *, final: bool = False) -> Report:
        """Make a report of what is news: at most `limit` observations, of about `limit_bytes` of names.

        Counters and gaps are all there. What is cut counts as told: whoever cuts must deliver.
        """
        self._told = self.changes
        report = self._report()
        for container in self._known():
            shaped = self._shape(container)
            if self._is_due(container, final):
                container.sent_unnamed = not container.path
                for seen in container.ledger.take(limit, limit_bytes):
                    shaped.observations[seen.key] = seen
                    limit -= 1
                    limit_bytes -= len(seen.path) + len(seen.target)
            if shaped.observations or container.path:
                report.containers.append(shaped)
        return report

    def whole(self) -> tuple[Report, list[tuple[ContainerReport, Ledger]]]:
        """Everything: the report without its containers, and each container without, and beside, its observations."""
        return self._report(), [
            (self._shape(container, named=True), container.ledger)
            for container in sorted(self._known(), key=lambda one: (one.since, one.cgroup))
        ]

    # Within.

    def _known(self) -> list[_Container]:
        # list() first: the metrics' thread looks in as well.
        return [container for container in list(self._containers.values()) if not container.monitor]

    def _is_due(self, container: _Container, final: bool) -> bool:
        if not container.ledger.fresh:
            return False
        return bool(container.path) or final or time.time() - container.since > ANNOUNCEMENT_WAIT

    def _report(self) -> Report:
        report = replace(self.about, last_updated_at=time.time(), containers=[], gaps=[])
        for (_, _, cgroup), gap in self._gaps.items():
            container = self._containers.get(cgroup)
            if container is None:
                report.gaps.append(gap)
            elif not container.monitor:
                report.gaps.append(replace(gap, container=_id(container)))
        for container in self._known():
            if container.ledger.refused:
                words = f"{self._cap} paths are kept, the most that was asked for; further ones were only counted"
                report.gaps.append(
                    Gap(GapCode.CAP_REACHED, words, container.since, container.ledger.refused, _id(container))
                )
        report.gaps = merge_gaps(report.gaps)
        return report

    def _shape(self, container: _Container, *, named: bool = False) -> ContainerReport:
        identity = self._identities.get(container.id)
        shaped = ContainerReport(
            id=_id(container),
            cgroup_id=container.cgroup,
            cgroup_path=container.path,
            total_events=max(container.events, len(container.ledger)),
            dropped_events=container.lost,
            started_at=container.since,
        )
        if identity:
            shaped.name, shaped.image, shaped.digest = identity.name, identity.image, identity.digest
        elif named:
            shaped.name = shaped.id
        return shaped

    def _container(self, cgroup: int, since: float) -> _Container:
        found = self._containers.get(cgroup)
        if found is None:
            found = self._containers[cgroup] = _Container(cgroup, Ledger(self._executables, self._cap), since)
        return found

    def _announce(self, event: NewContainer, boot: float) -> None:
        container = self._container(event.container, boot + event.time_ns / 1e9)
        if container.path:
            return
        container.path = decode(event.cgroup_path)
        found = cgroups.identify(container.path)
        container.id, container.monitor = escape(found.container), found.monitor
        if container.sent_unnamed:
            container.ledger.forget_taken()
        self.changes += 1

    def _observe(self, event: Event, when: float) -> None:
        self.records += 1
        self.kinds[event.kinds] = self.kinds.get(event.kinds, 0) + 1
        if event.container not in self._containers:
            self._first_record(event, when)
        container = self._container(event.container, when)
        sighting = interpret(event, self._exclude)
        for code in sighting.gaps:
            whose = 0 if sighting.elsewhere else event.container
            words = _ELSEWHERE if sighting.elsewhere else _GAP_WORDS[code]
            known = self._gaps.get((code, "" if whose else words, whose))
            gap = Gap(code, words, known.since if known else when, known.count + 1 if known else 1)
            self._set_gap(gap, whose)
        if sighting.path:
            container.ledger.note(
                sighting.path,
                sighting.target,
                sighting.outcome,
                event.kinds,
                when,
                sighting.executable,
                volume=bool(event.flags & wire.VOLUME),
                collapsed=sighting.collapsed,
            )

    def _first_record(self, event: Event, when: float) -> None:
        """Tell from a container's first record whether it ran before.

        The kernel side counts from a container's first exec on. So one that begins with anything else was running, and
        so was one whose cgroup is older than the agent's own.
        """
        begins = event.kinds & wire.EXECUTE and not event.kinds & wire.HELD and not event.error
        older = self._own and cgroups.created_before(event.container, self._own)
        if not begins or older:
            words = "the container ran before the agent's hooks were attached; what it used until then is not known"
            self._set_gap(Gap(GapCode.LATE_START, words, when), event.container)

    def _set_gap(self, gap: Gap, cgroup: int) -> None:
        # Several gaps of one code may stand for a pod: what a tracer says and what the agent does.
        key = (gap.code, "" if cgroup else gap.message, cgroup)
        known = self._gaps.get(key)
        if known is None:
            self._gaps[key] = gap
            self.changes += 1
        elif gap.count > known.count:
            self._gaps[key] = replace(gap, since=known.since)


def _id(container: _Container) -> str:
    return container.id or f"cgroup-{container.cgroup}"


def _boot_time() -> float:
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
