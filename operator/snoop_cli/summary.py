"""The figures behind `snoop report`: a line for each container of each image, gaps, period. Pure."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from snoop_cli.evidence import Evidence, Shortcoming, container_name, pod_name, shortcomings
from snoop_report.merge import merge_caps, merge_exclude
from snoop_report.model import ContainerReport, Kind, Outcome, Report


@dataclass(slots=True)
class ContainerSummary:
    """All containers of one name and image, of however many pods."""

    name: str
    image: str
    digest: str
    ids: list[str] = field(default_factory=list)
    pods: set[str] = field(default_factory=set)
    outcomes: dict[Outcome, set[str]] = field(default_factory=dict)
    """Distinct paths. Of those that exist, asked and resolved ones, as in a report's `files`."""
    kinds: dict[Kind, set[str]] = field(default_factory=dict)
    """Distinct paths that exist, by how they were used."""
    events: int = 0
    dropped: int = 0
    gaps: set[str] = field(default_factory=set)
    """Codes: its own, and those of its pods as a whole."""

    def paths(self, outcome: Outcome) -> int:
        """How many distinct paths were answered so."""
        return len(self.outcomes.get(outcome, ()))


@dataclass(frozen=True, slots=True)
class Summary:
    """What all reports say together."""

    pods: tuple[str, ...]
    """NAMESPACE/NAME, or the commands that were traced."""
    nodes: tuple[str, ...]
    recorders: tuple[str, ...]
    """Who recorded: version, kernel, how it was attached."""
    start: float
    end: float
    """0 for both: no report says."""
    exclude: tuple[str, ...]
    cap: int
    containers: tuple[ContainerSummary, ...]
    shortcomings: tuple[Shortcoming, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing is known to be missing."""
        return not self.shortcomings


def summarise(evidence: Evidence) -> Summary:
    """Count everything."""
    reports = evidence.reports
    found: dict[tuple[str, str], ContainerSummary] = {}
    for number, report in enumerate(reports):
        lacking = shortcomings(report)
        for container in report.containers:
            key = (container_name(container), container.digest or container.image)
            summary = found.setdefault(key, ContainerSummary(key[0], container.image, container.digest))
            summary.image = summary.image or container.image
            summary.ids.append(container.id)
            # Commands have no UID, and two runs may have one name.
            summary.pods.add(report.pod_uid or f"{number}")
            _count(summary, container)
            summary.gaps |= {one.code for one in lacking if one.container_id in ("", container.id)}
    return Summary(
        pods=tuple(sorted(pod_name(report) for report in reports)),
        nodes=tuple(sorted({report.node for report in reports if report.node})),
        recorders=tuple(sorted(set(_recorders(reports)))),
        start=min((report.started_at for report in reports if report.started_at), default=0.0),
        end=max((report.last_updated_at for report in reports), default=0.0),
        exclude=merge_exclude(*(report.exclude for report in reports)),
        cap=merge_caps(*(report.max_unique_files for report in reports)),
        containers=tuple(sorted(found.values(), key=lambda one: (one.name, one.image, one.digest))),
        shortcomings=tuple(evidence.shortcomings),
    )


def _count(summary: ContainerSummary, container: ContainerReport) -> None:
    summary.events += container.total_events
    summary.dropped += container.dropped_events
    for seen in container.observations.values():
        paths = summary.outcomes.setdefault(seen.outcome, set())
        target = ""
        if seen.outcome is Outcome.EXISTS:
            target = "" if seen.collapsed else seen.target
            for kind in seen.kinds:
                summary.kinds.setdefault(kind, set()).update(path for path in (seen.path, target) if path)
        paths.update(path for path in (seen.path, target) if path)


def _recorders(reports: tuple[Report, ...]) -> Iterator[str]:
    for report in reports:
        agent = report.agent
        attached = f"{agent.hooks} by {agent.attach}" if agent.hooks else "not attached"
        yield f"snoop {agent.version or '?'} on Linux {agent.kernel or '?'}, {attached}"


def kinds_used(containers: tuple[ContainerSummary, ...]) -> list[tuple[Kind, int]]:
    """Give the distinct paths of all containers by kind, the most frequent first."""
    counts: Counter[Kind] = Counter()
    for kind in Kind:
        counts[kind] = len(set().union(*(one.kinds.get(kind, ()) for one in containers)))
    return [(kind, number) for kind, number in counts.most_common() if number]
