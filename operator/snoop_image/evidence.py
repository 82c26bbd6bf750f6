"""From reports to what an image must have had: names asked for, what they led to, and every link on the way.

What was seen on a volume is not the image's; the links that lead there are. Whatever leaves open whether a file of the
image was used counts as use, or as blindness; never as disuse.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntFlag

from snoop_image.links import Resolved, resolve
from snoop_image.model import Entry, FileType, ImageError, Inventory
from snoop_image.names import Names
from snoop_image.tree import ancestors
from snoop_report.merge import merge_container, merge_exclude, merge_gaps
from snoop_report.model import ContainerReport, Gap, Kind, Observation, Outcome, Report

_EXAMPLES = 3


class Use(IntFlag):
    """How the evidence touches a path of the image."""

    OBSERVED = 1
    """Asked for, or what a name led to."""
    PROGRAM = 2
    ASKED = 4
    """Asked for and not had, though the image has it."""
    ON_THE_WAY = 8
    DIRECTORY_CHANGED = 16
    """A directory above it was changed."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which containers of the reports ran the image."""

    container: str = ""
    """Name, as in the pod; empty: any."""
    digest: str = ""
    """Of the image; empty: any, but only one."""


ANY = Selection()


@dataclass(frozen=True, slots=True)
class Blindness:
    """Entries' own paths of which nothing is known."""

    prefixes: tuple[str, ...] = ()
    places: frozenset[str] = frozenset()
    """Files, and directories with all below them."""

    def covers(self, path: str) -> bool:
        """Say whether nothing could be known of a path."""
        if path.startswith(self.prefixes) or path in self.places:
            return True
        return bool(self.places) and any(above in self.places for above in ancestors(path))


@dataclass(slots=True)
class Evidence:
    """What is known of one image's use, merged over pods."""

    container: ContainerReport
    """All observations, merged."""
    pods: int
    runs: int
    """Of `snoop trace`: reports without a pod."""
    since: float
    until: float
    """Seconds since the epoch; 0: not told."""
    gaps: tuple[Gap, ...]
    exclude: tuple[str, ...]
    used: dict[str, Use] = field(default_factory=dict)
    """By an entry's own path."""
    listed: set[str] = field(default_factory=set)
    """Directories whose entries were listed."""
    blind: Blindness = Blindness()
    notes: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether nothing is known to be missing, and anything was recorded at all."""
        return not self.gaps and bool(self.pods or self.runs)


def gather(reports: Iterable[Report], inventory: Inventory, names: Names, selection: Selection = ANY) -> Evidence:
    """Merge what reports say of an image. ImageError: no container of theirs ran it, or it cannot be told which."""
    chosen = _chosen(list(reports), selection, inventory.digest)
    every = [container for _, containers in chosen for container in containers]
    merged = every[0] if len(every) == 1 else ContainerReport(id="", cgroup_id=0, cgroup_path="")
    gaps: list[Gap] = []
    pods: set[object] = set()
    runs = 0
    for report, containers in chosen:
        # `snoop trace` gives the command's name for the pod's, and no namespace.
        if report.pod_uid or report.namespace:
            pods.add(report.pod_uid or (report.namespace, report.pod_name))
        else:
            runs += 1
        identities = {"", *(container.id for container in containers)}
        gaps += [gap for gap in report.gaps if gap.container in identities]
        for container in containers:
            if container is not merged:
                merge_container(merged, container)
    started = [report.started_at for report, _ in chosen if report.started_at]
    evidence = Evidence(
        merged,
        len(pods),
        runs,
        min(started, default=0.0),
        max((report.last_updated_at for report, _ in chosen), default=0.0),
        tuple(merge_gaps(gaps)),
        merge_exclude(*(report.exclude for report, _ in chosen)),
    )
    _Reader(evidence, inventory, names).read()
    return evidence


def _chosen(reports: list[Report], selection: Selection, digest: str) -> list[tuple[Report, list[ContainerReport]]]:
    """Give each report that has such a container, with these."""
    every = [container for report in reports for container in report.containers]
    if not every:
        raise ImageError("the reports tell of no container: nothing was recorded")
    fitting = [one for one in every if not selection.container or selection.container in (one.name, one.id)]
    if not fitting:
        known = sorted({one.name or one.id for one in every})
        raise ImageError(f"no container {selection.container}: the reports tell of {', '.join(known)}")
    wanted = selection.digest or digest
    if wanted and any(one.digest for one in fitting):
        fitting = [one for one in fitting if one.digest == wanted]
        if not fitting:
            known = sorted({one.digest for one in every if one.digest})
            raise ImageError(f"no container ran {wanted}: the reports tell of {', '.join(known)}")
    images = {one.digest or one.image for one in fitting}
    if len(images) > 1 or (images == {""} and len({one.name for one in fitting}) > 1):
        known = sorted({f"{one.name or one.id} ({one.digest or one.image or 'image not told'})" for one in fitting})
        raise ImageError(f"the reports tell of several images: name a container or a digest of {', '.join(known)}")
    marks = {id(one) for one in fitting}
    found = [(report, [one for one in report.containers if id(one) in marks]) for report in reports]
    return [(report, containers) for report, containers in found if containers]


class _Reader:
    """Marks what observations touch."""

    def __init__(self, evidence: Evidence, inventory: Inventory, names: Names) -> None:
        self._evidence = evidence
        self._entries = inventory.entries
        self._names = names
        self._there: list[str] = []
        self._changed: set[str] = set()

    def read(self) -> None:
        programs: set[str] = set()
        for seen in self._evidence.container.observations.values():
            for name, use in touched(seen):
                if use is Use.PROGRAM:
                    if name in programs:
                        continue
                    programs.add(name)
                self._mark(name, use, seen)
            if seen.outcome is Outcome.MISSING and not seen.volume and self._names_entry(seen.path):
                self._there.append(seen.path)
        for directory in self._changed:
            for path in self._names.below(directory):
                self._add(path, Use.DIRECTORY_CHANGED)
        self._evidence.blind = _blind(self._evidence.exclude, self._entries, self._names)
        if self._there:
            shown = ", ".join(sorted(self._there)[:_EXAMPLES])
            self._evidence.notes.append(
                f"{len(self._there)} names that the image has were not there when asked for ({shown}): the evidence is "
                "another image's, a mount hides them, or they were removed; they count as used"
            )

    def _names_entry(self, name: str) -> bool:
        return resolve(self._entries, name, follow=False).found

    def _mark(self, name: str, use: Use, seen: Observation) -> None:
        led = resolve(self._entries, name)
        for path in way(led):
            self._add(path, Use.ON_THE_WAY)
        if not use:
            return
        if led.links:
            # The link itself may be what was asked for, whether it leads anywhere or not.
            own = resolve(self._entries, name, follow=False)
            if own.found:
                self._add(own.path, use)
        if led.entry is None:
            return
        self._add(led.path, use)
        if led.entry.type is FileType.DIRECTORY and use is Use.OBSERVED:
            if Kind.LIST in seen.kinds:
                self._evidence.listed.add(led.path)
            # A directory that is renamed takes along what is below it. `/` cannot be; a link does not.
            if Kind.MODIFY in seen.kinds and led.path != "/" and led.path not in self._changed:
                own = resolve(self._entries, name, follow=False)
                if own.path == led.path:
                    self._changed.add(led.path)

    def _add(self, path: str, use: Use) -> None:
        used = self._evidence.used
        used[path] = used.get(path, Use(0)) | use


def touched(seen: Observation) -> Iterator[tuple[str, Use]]:
    """Give the names of one observation, and how each touches the image; no use: by the way that leads there alone."""
    use = Use.OBSERVED if seen.outcome is Outcome.EXISTS else Use.ASKED
    if seen.path:
        yield seen.path, Use(0) if seen.volume else use
    if seen.target and not seen.collapsed and not seen.volume:
        yield seen.target, use
    if seen.executable:
        yield seen.executable, Use.PROGRAM


def way(led: Resolved) -> Iterator[str]:
    """Give the links that a name led through, and the directories that neither they nor its end lie in."""
    yield from led.links
    kept = (led.path, *led.links)
    for directory in led.directories:
        if not any(path.startswith(f"{directory.rstrip('/')}/") for path in kept):
            yield directory


def _blind(prefixes: Iterable[str], entries: Mapping[str, Entry], names: Names) -> Blindness:
    """Find what lies under excluded names, by whatever name the image holds it.

    A resolved name that is not excluded is recorded all the same, but not every hook sees what a name resolves to: so
    what a link below an excluded prefix leads to is not known either.
    """
    written: dict[str, None] = {}
    places: set[str] = set()
    for prefix in prefixes:
        written[prefix] = None
        directory, _, rest = prefix.rpartition("/")
        led = resolve(entries, directory or "/")
        if led.found:
            written[f"{led.path.rstrip('/')}/{rest}"] = None
    for prefix in written:
        for path in names.beginning(prefix):
            if entries[path].type is FileType.SYMLINK and (led := resolve(entries, path)).found:
                places.add(led.path)
    return Blindness(tuple(written), frozenset(places))
