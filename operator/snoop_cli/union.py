"""Many reports become one, by `snoop_report.merge`. Pure but for writing the text out, piece by piece."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from snoop_cli.formats.structured import listed
from snoop_report.codec import JSON, report_to_dict
from snoop_report.merge import apply
from snoop_report.model import ContainerReport, Report


def unite(reports: Sequence[Report]) -> Report:
    """Unite reports, whatever pods they are of. What they do not agree on (pod, node, labels) is left empty.

    Containers are one if their IDs are. `ValueError` without a report.
    """
    if not reports:
        raise ValueError("no report")
    first = reports[0]
    into = Report(
        pod_name=_common(one.pod_name for one in reports),
        namespace=_common(one.namespace for one in reports),
        pod_uid=_common(one.pod_uid for one in reports),
        node=_common(one.node for one in reports),
        labels=dict(set(first.labels.items()).intersection(*(one.labels.items() for one in reports[1:]))),
        # `apply` unites what is excluded and takes the strictest cap, so to begin with neither must bind.
        exclude=(),
        max_unique_files=0,
        schema_version=max(one.schema_version for one in reports),
    )
    # Where a container's cgroup differs (it has no ID but its name), the first one stays: so let it not be chance.
    for one in sorted(told_apart(reports), key=_places):
        apply(into, one)
    # Any order of the files gives the same text.
    into.containers.sort(key=lambda container: container.id)
    into.labels = dict(sorted(into.labels.items()))
    return into


def _places(report: Report) -> list[tuple[str, str, int, str, str, str]]:
    return [(one.id, one.cgroup_path, one.cgroup_id, one.name, one.image, one.digest) for one in report.containers]


def _common(values: Iterable[str]) -> str:
    found = set(values)
    return found.pop() if len(found) == 1 else ""


def told_apart(reports: Sequence[Report]) -> list[Report]:
    """Rename containers that share an ID and are not one: commands traced under the same PID, upstream's `nginx`.

    A runtime's IDs are unique, so there nothing changes. Upstream's containers have nothing but a name.
    """
    claims: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for report in reports:
        for container in report.containers:
            claims[container.id].add(_claim(container))
    shared = {identifier for identifier, claimed in claims.items() if _differ(claimed)}
    return [_renamed(report, shared) if shared else report for report in reports]


def _claim(container: ContainerReport) -> tuple[str, str]:
    return (container.name, container.digest or container.image)


def _differ(claimed: set[tuple[str, str]]) -> bool:
    """Whether they contradict each other; what is not known (yet) contradicts nothing."""
    return any(len({claim[place] for claim in claimed if claim[place]}) > 1 for place in (0, 1))


def _renamed(report: Report, shared: set[str]) -> Report:
    names = {
        container.id: "@".join([container.id, *(part for part in _claim(container) if part)])
        for container in report.containers
        if container.id in shared
    }
    return replace(
        report,
        containers=[replace(container, id=names.get(container.id, container.id)) for container in report.containers],
        gaps=[replace(gap, container=names.get(gap.container, gap.container)) for gap in report.gaps],
    )


def text(report: Report) -> Iterator[str]:
    """Write a report as its agent does: JSON, one path and one observation a line."""
    shaped = report_to_dict(report)
    containers: list[JSON] = shaped.pop("containers")
    yield "{\n"
    for key, value in shaped.items():
        yield f" {json.dumps(key)}: {_line(value)},\n"
    yield ' "containers": ['
    for number, container in enumerate(containers):
        yield ",\n  {" if number else "\n  {"
        for place, (key, value) in enumerate(container.items()):
            yield f"{',' if place else ''}\n   {json.dumps(key)}: "
            if isinstance(value, list) and value:
                yield from listed("    ", value, _line)
                yield "\n   ]"
            else:
                yield _line(value)
        yield "\n  }"
    yield "\n ]\n}\n"


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
