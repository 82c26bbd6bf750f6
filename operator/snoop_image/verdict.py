"""Whether each file of an image is used, needed, protected, or was not seen in use; and why."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from snoop_image.closure import Closure
from snoop_image.evidence import ANY, Evidence, Selection, Use, gather, touched, way
from snoop_image.grade import Grade, grade
from snoop_image.links import resolve
from snoop_image.model import Entry, Inventory
from snoop_image.names import Names
from snoop_image.packageuse import Packages, PackageVerdict, companions
from snoop_image.protected import NO_CHANGE, Lifted, Protection, empty_directories, protected
from snoop_image.reasons import Reason, ReasonCode
from snoop_image.totals import Totals, count
from snoop_image.tree import ancestors, parent
from snoop_report.model import Kind, Observation, Report


class Verdict(StrEnum):
    """Of one file. What is not `unused` stays."""

    USED = "used"
    NEEDED = "needed"
    PROTECTED = "protected"
    UNUSED = "unused"
    """Not seen in use, on complete evidence."""
    UNKNOWN = "unknown"
    """Not seen in use, and the evidence does not allow more."""


_USES = {
    Use.OBSERVED: (ReasonCode.OBSERVED, "asked for by a process, or what a name that was asked for leads to"),
    Use.PROGRAM: (ReasonCode.PROGRAM, "a program that ran"),
    Use.ASKED: (ReasonCode.ASKED, "asked for and not had: no permission, another error, or a mount or removal hid it"),
    Use.ON_THE_WAY: (ReasonCode.ON_THE_WAY, "on the way of a name that was asked for"),
    Use.DIRECTORY_CHANGED: (
        ReasonCode.DIRECTORY_CHANGED,
        "below a directory that was renamed or changed: it may have been used under another name",
    ),
}

_STARTED = (ReasonCode.ENTRYPOINT, ReasonCode.CHOSEN)


@dataclass(frozen=True, slots=True)
class Why:
    """All that is known of one path."""

    path: str
    entry: Entry
    verdict: Verdict
    reasons: tuple[Reason, ...]
    observations: tuple[Observation, ...]
    packages: tuple[str, ...]
    """Names of the packages that it belongs to."""


class Judgement:
    """The verdict on an image. Made by `judge`."""

    def __init__(self, inventory: Inventory, evidence: Evidence, graded: Grade, walk: Closure) -> None:
        self.inventory = inventory
        self.evidence = evidence
        self.grade = graded
        self.verdicts: dict[str, Verdict] = {}
        """By an entry's own path, all of them, directories included."""
        self.packages: list[PackageVerdict] = []
        self.totals = Totals()
        self.protected: dict[str, list[Reason]] = {}
        self.notes: list[str] = []
        """What could not be seen, read or found, a sentence each."""
        self._walk = walk
        self._empty = frozenset(empty_directories(inventory))

    def kept(self) -> Iterator[Entry]:
        """Give the entries that stay, in the inventory's order."""
        return (entry for path, entry in self.inventory.entries.items() if self.verdicts[path] is not Verdict.UNUSED)

    def reasons(self, path: str) -> tuple[Reason, ...]:
        """Say why a path has its verdict. KeyError: the image has no such entry; `path` is an entry's own."""
        found: list[Reason] = []
        use = self.evidence.used.get(path, Use(0))
        found += [Reason(code, words) for one, (code, words) in _USES.items() if one in use]
        found += self._walk.needed.get(path, ())
        found += self.protected.get(path, ())
        return tuple(found) or self._otherwise(path)

    def why(self, path: str) -> Why | None:
        """Give all that is known of a path, by whatever name; None if the image has no such entry."""
        led = resolve(self.inventory.entries, path, follow=False)
        if led.entry is None:
            return None
        own = led.path
        owners = tuple(one.name for one in self.inventory.packages if own in one.files)
        seen = tuple(self._observations(own))
        return Why(own, led.entry, self.verdicts[own], self.reasons(own), seen, owners)

    def _otherwise(self, path: str) -> tuple[Reason, ...]:
        verdict = self.verdicts[path]
        if verdict is Verdict.NEEDED:
            if path in self._empty:
                return (Reason(ReasonCode.EMPTY_DIRECTORY, "empty in the image: an application may write there"),)
            return (Reason(ReasonCode.DIRECTORY, "holds something that stays"),)
        if self.evidence.blind.covers(path):
            return (Reason(ReasonCode.EXCLUDED, "what lies there was not recorded"),)
        words = f"not seen in use {self.grade.scope}"
        if verdict is Verdict.UNKNOWN:
            return (Reason(ReasonCode.INCOMPLETE, f"{words}, but the evidence has gaps"),)
        found = [Reason(ReasonCode.NOT_SEEN, words)]
        if (directory := parent(path)) in self.evidence.listed:
            found.append(
                Reason(ReasonCode.LISTED, f"{directory} was listed: a program may notice that it is gone", directory)
            )
        return tuple(found)

    def _observations(self, path: str) -> Iterator[Observation]:
        above = set(ancestors(path))
        for seen in self.evidence.container.observations.values():
            for name, use in touched(seen):
                led = resolve(self.inventory.entries, name)
                own = resolve(self.inventory.entries, name, follow=False)
                changed = Kind.MODIFY in seen.kinds and led.path in above and led.path != "/"
                if path in way(led) or (use and (path in (led.path, own.path) or changed)):
                    yield seen
                    break

    def assign(self) -> None:
        """Give every entry its verdict."""
        kept: tuple[Collection[str], ...] = (self.evidence.used, self._walk.needed, self.protected)
        files: dict[str, Verdict] = {}
        rest = Verdict.UNUSED if self.grade.complete else Verdict.UNKNOWN
        for path in self.inventory.entries:
            for some, verdict in zip(kept, (Verdict.USED, Verdict.NEEDED, Verdict.PROTECTED), strict=True):
                if path in some:
                    files[path] = verdict
                    break
            else:
                if path in self._empty:
                    files[path] = Verdict.NEEDED
                else:
                    blind = rest is Verdict.UNUSED and self.evidence.blind.covers(path)
                    files[path] = Verdict.UNKNOWN if blind else rest
        self.verdicts = files
        self._hold()

    def _hold(self) -> None:
        """Keep the directories above what stays. What only may have been used holds its directories as well."""
        held: dict[str, Verdict] = {}
        for path, verdict in self.verdicts.items():
            if verdict is Verdict.UNUSED:
                continue
            holds = Verdict.UNKNOWN if verdict is Verdict.UNKNOWN else Verdict.NEEDED
            at = path
            while at != "/":
                at = parent(at)
                if held.get(at) in (holds, Verdict.NEEDED):
                    break
                held[at] = holds
        for path, holds in held.items():
            if self.verdicts.get(path) in (Verdict.UNUSED, Verdict.UNKNOWN):
                self.verdicts[path] = holds


def judge(
    inventory: Inventory,
    evidence: Evidence,
    protection: Protection = NO_CHANGE,
    *,
    shared: Collection[str] = (),
    unprofiled: int = 0,
    names: Names | None = None,
) -> Judgement:
    """Judge every file of an image.

    `shared` are digests of layers that other images on the node have too; `unprofiled` counts who else uses the image
    and was not recorded. ImageError: a pattern of the protection has too many choices.
    """
    names = names or Names(inventory.entries)
    walk = Closure(inventory, names, Lifted(protection))
    judgement = Judgement(inventory, evidence, grade(evidence, unprofiled), walk)
    walk.add(path for path in evidence.used if path in inventory.entries)
    for name, reason in protected(inventory, names, protection):
        led = resolve(inventory.entries, name)
        for path in (*way(led), led.path) if led.found else led.links:
            told = judgement.protected.setdefault(path, [])
            if reason not in told:
                told.append(reason)
    # Data does not run: what is protected for its own sake brings nothing in, but a program does.
    walk.add(path for path, told in judgement.protected.items() if any(one.code in _STARTED for one in told))
    packages = Packages(inventory)
    stays = packages.stay(evidence.used, walk.needed, judgement.protected, evidence.blind.covers)
    for name, reason in companions(inventory, names, stays):
        walk.keep(name, reason)
    judgement.assign()
    judgement.packages = packages.verdicts(judgement.verdicts, stays, judgement.grade.complete)
    judgement.totals = count(inventory, judgement.verdicts, shared)
    judgement.notes = [*evidence.notes, *walk.notes, *inventory.notes]
    return judgement


def analyze(
    reports: Iterable[Report],
    inventory: Inventory,
    selection: Selection = ANY,
    protection: Protection = NO_CHANGE,
    *,
    shared: Collection[str] = (),
    unprofiled: int = 0,
) -> Judgement:
    """Judge an image by reports. ImageError: they are not about it, or it cannot be told which of them are."""
    names = Names(inventory.entries)
    evidence = gather(reports, inventory, names, selection)
    return judge(inventory, evidence, protection, shared=shared, unprofiled=unprofiled, names=names)
