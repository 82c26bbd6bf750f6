"""What was used, path by path: the list behind `files` and `diff`. Pure.

A path is listed under the name that was asked for, and under the one that it resolved to, as in a report's `files`.
"""

import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from snoop_cli.evidence import Evidence, container_name
from snoop_report.model import ContainerReport, Kind, Outcome

_SHORTEST_ID = 8
"""Characters of a container's ID that are enough to name it."""


@dataclass(slots=True)
class Use:
    """One path, with one outcome, in all the evidence that was looked at."""

    path: str
    outcome: Outcome
    kinds: frozenset[Kind]
    first_seen: float = 0.0
    last_seen: float = 0.0
    targets: frozenset[str] = frozenset()
    """What it resolved to, where that is another path."""
    executables: frozenset[str] = frozenset()
    """Programs that touched it first, one a container at most."""
    containers: frozenset[str] = frozenset()
    """Display names."""
    volume: bool = True
    """Never seen but on a mount other than the container's root file system."""

    @property
    def key(self) -> tuple[str, Outcome]:
        """What makes two uses one."""
        return (self.path, self.outcome)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which uses are wanted. An empty tuple: no matter which."""

    containers: tuple[str, ...] = ()
    """Names, or first characters of IDs."""
    kinds: tuple[Kind, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    under: tuple[str, ...] = ()
    """Directories, absolute and normal."""
    globs: tuple[str, ...] = ()
    """A pattern with a slash is for the whole path, another one for its last part; `*` goes across slashes."""


def takes_container(selection: Selection, container: ContainerReport) -> bool:
    """Whether its uses are wanted."""
    return not selection.containers or any(_names(one, container) for one in selection.containers)


def _names(text: str, container: ContainerReport) -> bool:
    return text == container.name or (len(text) >= _SHORTEST_ID and container.id.startswith(text))


def unknown_containers(selection: Selection, evidence: Evidence) -> list[str]:
    """Those of the wanted containers that no report knows."""
    known = [container for report in evidence.reports for container in report.containers]
    return [text for text in selection.containers if not any(_names(text, one) for one in known)]


def uses(evidence: Evidence, selection: Selection) -> list[Use]:
    """Unite the wanted uses of all containers, sorted by path."""
    wanted = _paths_wanted(selection)
    found: dict[tuple[str, Outcome], Use] = {}
    for report in evidence.reports:
        for container in report.containers:
            if takes_container(selection, container):
                _collect(found, container, selection.outcomes, wanted)
    kinds = set(selection.kinds)
    listed = [one for one in found.values() if not kinds or not kinds.isdisjoint(one.kinds)]
    # Code points in the order of UTF-8, as a report's own lists are.
    return sorted(listed, key=lambda one: one.key)


def _collect(
    found: dict[tuple[str, Outcome], Use],
    container: ContainerReport,
    outcomes: tuple[Outcome, ...],
    wanted: Callable[[str], bool],
) -> None:
    name = frozenset({container_name(container)})
    for seen in container.observations.values():
        if outcomes and seen.outcome not in outcomes:
            continue
        target = "" if seen.collapsed or seen.target == seen.path else seen.target
        for path in (seen.path, target):
            # A target is a use of its own only if it was reached: else the path asked for says it all.
            if not path or (path is target and seen.outcome is not Outcome.EXISTS) or not wanted(path):
                continue
            key = (path, seen.outcome)
            use = found.get(key)
            if use is None:
                use = found[key] = Use(path, seen.outcome, seen.kinds, seen.first_seen)
            elif use.kinds != seen.kinds:
                use.kinds |= seen.kinds
            use.first_seen = min(use.first_seen, seen.first_seen)
            use.last_seen = max(use.last_seen, seen.last_seen)
            use.containers |= name
            use.volume = use.volume and seen.volume
            if seen.executable and seen.executable not in use.executables:
                use.executables |= {seen.executable}
            if target and path is not target:
                use.targets |= {target}


def _paths_wanted(selection: Selection) -> Callable[[str], bool]:
    folders = tuple(f"{one.rstrip('/')}/" for one in selection.under)
    whole = _any(glob for glob in selection.globs if "/" in glob)
    last = _any(glob for glob in selection.globs if "/" not in glob)

    def wanted(path: str) -> bool:
        if folders and not f"{path.rstrip('/')}/".startswith(folders):
            return False
        if not selection.globs:
            return True
        return bool((whole and whole(path)) or (last and last(path.rpartition("/")[2])))

    return wanted


def _any(globs: Iterable[str]) -> Callable[[str], re.Match[str] | None] | None:
    joined = "|".join(f"(?:{fnmatch.translate(glob)})" for glob in globs)
    return re.compile(joined).match if joined else None


def unnamed(evidence: Evidence) -> Iterator[ContainerReport]:
    """Containers whose name is not known: one of them may be the one that is asked for."""
    for report in evidence.reports:
        yield from (container for container in report.containers if not container.name)
