"""What reports prove together: one report a pod, and every reason why something may be missing. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from snoop_report.merge import apply
from snoop_report.model import ContainerReport, Report

UNDECLARED = "undeclared_exclusions"
"""The report does not say which paths it left out (upstream snoop's do not)."""
NOTHING = "nothing_recorded"
"""The report holds no observation at all."""


@dataclass(frozen=True, slots=True)
class Shortcoming:
    """One reason why what is not listed may have been used all the same."""

    code: str
    """A `GapCode`, or one of the two above."""
    message: str
    since: float
    count: int
    pod: str
    """Printable name of the pod or command."""
    container: str
    """Display name of the container; empty: the whole pod is meant."""
    container_id: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Reports, one for each pod or traced command."""

    reports: tuple[Report, ...]

    @property
    def shortcomings(self) -> list[Shortcoming]:
        """Everything that keeps the evidence from being complete, in order of time."""
        found = [one for report in self.reports for one in shortcomings(report)]
        return sorted(found, key=lambda one: (one.since, one.code, one.pod, one.container))

    @property
    def complete(self) -> bool:
        """Whether nothing is known to be missing from any report."""
        return not any(shortcomings(report) for report in self.reports)


def gather(reports: Iterable[Report]) -> Evidence:
    """Unite reports of the same pod, as the operator does. Reports without a UID (`snoop trace`) stay their own."""
    found: list[Report] = []
    by_uid: dict[str, Report] = {}
    for report in reports:
        known = by_uid.get(report.pod_uid) if report.pod_uid else None
        if known is not None:
            apply(known, report)
            continue
        found.append(report)
        if report.pod_uid:
            by_uid[report.pod_uid] = report
    return Evidence(tuple(found))


def pod_name(report: Report) -> str:
    """Name a report's pod as NAMESPACE/NAME, a traced command as it is."""
    name = report.pod_name or report.pod_uid or "?"
    return f"{report.namespace}/{name}" if report.namespace else name


def container_name(container: ContainerReport) -> str:
    """Name a container; by its short ID while its name is not known."""
    return container.name or container.id[:12] or "?"


def shortcomings(report: Report) -> list[Shortcoming]:
    """Tell why `report` may not hold everything."""
    pod = pod_name(report)
    names = {container.id: container_name(container) for container in report.containers}
    found = [
        Shortcoming(
            gap.code.value,
            gap.message,
            gap.since,
            gap.count,
            pod,
            names.get(gap.container, gap.container[:12]),
            gap.container,
        )
        for gap in report.gaps
    ]
    if "/" in report.exclude:
        words = "the report does not say which paths were not recorded"
        found.append(Shortcoming(UNDECLARED, words, report.started_at, 1, pod, ""))
    if not any(container.observations for container in report.containers):
        found.append(Shortcoming(NOTHING, "the report holds no use of any file", report.started_at, 1, pod, ""))
    return found
