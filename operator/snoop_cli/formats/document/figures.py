"""The figures that the HTML report embeds: every file with its class, growth over time, packages. Pure.

Paths are written as `spelling.shown` does, so that no name can turn or hide the text around it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from snoop_cli.evidence import Evidence
from snoop_cli.spelling import duration, printable, several, shown
from snoop_cli.uses import Selection, Use, uses
from snoop_report.model import Kind, Outcome

if TYPE_CHECKING:  # who has no image needs none of it
    from snoop_image.verdict import Judgement

_POINTS = 240
"""Of the growth's curve: more than a screen shows."""
_SETTLED = 0.01
"""Of the files, as the most that the second half of the time may bring if the curve is to be called flat."""


class Kin(NamedTuple):
    """One class of files, with its mark: colour alone says nothing."""

    key: str
    words: str
    mark: str
    drawn: bool = True
    """Whether it is a part of the treemap."""


VERDICTS = (
    Kin("used", "used", "●"),
    Kin("needed", "needed by what is used", "▲"),
    Kin("protected", "protected by rule", "◆"),
    Kin("unknown", "not seen, not known", "?"),
    Kin("unused", "not seen in use", "○"),
)
"""With an image. In the order of `snoop_image.totals.ORDER`."""
WAYS = (
    Kin("code", "run or mapped", "●"),
    Kin("read", "read or listed", "▲"),
    Kin("changed", "written or changed", "◆"),
    Kin("looked", "only looked at", "○"),
    Kin("absent", "asked for, not there", "\u2715", False),
    Kin("refused", "asked for, not had", "!", False),
)
"""Without one."""
_CODE = frozenset({Kind.EXECUTE, Kind.MAP})
_CHANGED = frozenset({Kind.WRITE, Kind.CREATE, Kind.MODIFY})
_LOOKED = frozenset({Kind.STAT})


@dataclass(slots=True)
class Sum:
    """Of one class."""

    files: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Growth:
    """How the number of known files grew."""

    start: float
    end: float
    """Seconds since the epoch."""
    points: tuple[tuple[float, int], ...]
    """Seconds since `start`, and how many files were known then."""
    settled: bool
    words: str


def way(use: Use) -> int:
    """Give the class of a use, an index into `WAYS`."""
    if use.outcome is not Outcome.EXISTS:
        return 4 if use.outcome is Outcome.MISSING else 5
    if use.kinds & _CODE:
        return 0
    if use.kinds & _CHANGED:
        return 2
    return 3 if use.kinds <= _LOOKED else 1


def seen(evidence: Evidence) -> list[Use]:
    """Give every use of all reports, by path."""
    return uses(evidence, Selection())


def first_seen(found: Iterable[Use]) -> list[float]:
    """Give when each path that exists was first seen. What lies on volumes is data, and no file of an image."""
    return [one.first_seen for one in found if one.outcome is Outcome.EXISTS and not one.volume]


def first_seen_of(judgement: "Judgement") -> list[float]:
    """Give when each of the image's own names was first seen."""
    entries = judgement.inventory.entries
    times: dict[str, float] = {}
    for one in judgement.evidence.container.observations.values():
        if one.outcome is Outcome.EXISTS and not one.volume and not one.collapsed:
            for path in {one.path, one.target} & entries.keys():
                times[path] = min(times.get(path, one.first_seen), one.first_seen)
    return list(times.values())


def growth(moments: Iterable[float], start: float, end: float) -> Growth | None:
    """Tell how many paths were known when; None if no time is told. Seconds since the epoch, 0: not told."""
    times = sorted(one for one in moments if one)
    if not times or not start:
        return None
    start, end = min(start, times[0]), max(end, times[-1])
    step = max(1, len(times) // _POINTS)
    numbers = [*range(step, len(times), step), len(times)]
    points = tuple((round(times[number - 1] - start, 3), number) for number in numbers)
    half = start + (end - start) / 2
    late = sum(1 for one in times if one > half)
    settled = end > start and late <= _SETTLED * len(times)
    last = f"the last one {duration(times[-1] - start)} after the start"
    words = f"{several(len(times), 'path')} known after {duration(end - start)}, {last}; {late} in the second half."
    words += " Mounted volumes are left out."
    words += (
        " Nearly flat: more of the same load is not likely to bring many more; a different load may."
        if settled
        else " Still growing: record for longer before you rely on what was not seen."
    )
    return Growth(start, end, points, settled, words)


def folded(rows: Iterable[tuple[str, int, int]]) -> Iterator[list[Any]]:
    """Group rows (path, class, size) by directory, as [directory, [name…], "class…", [size…]]; given in order.

    A size below zero is that of another name of a file that was counted already (hard links).
    """
    held: list[Any] = []
    for path, kin, size in rows:
        directory, _, name = path.rpartition("/")
        if not held or held[0] != directory:
            if held:
                yield held
            held = [directory, [], "", []]
        held[1].append(name)
        held[2] += str(kin)
        held[3].append(size)
    if held:
        yield held


def used_files(found: Iterable[Use]) -> Iterator[tuple[str, int, int]]:
    """Give rows of what was used, each of weight 1."""
    return ((shown(one.path), way(one), 1) for one in found)


def judged_files(judgement: "Judgement") -> Iterator[tuple[str, int, int]]:
    """Give rows of an image's files, directories left out."""
    from snoop_image.totals import weights

    entries, verdicts = judgement.inventory.entries, judgement.verdicts
    owners = weights(entries, verdicts)
    number = {kin.key: index for index, kin in enumerate(VERDICTS)}
    for path, entry in sorted(entries.items()):
        if entry.type.value != "directory":
            own = not entry.link or owners[entry.link] == path
            yield shown(path), number[verdicts[path].value], entry.size if own else -entry.size


def packages(judgement: "Judgement") -> list[list[Any]]:
    """Give a row each: name, version, kind, use, files, files unused, bytes, bytes unused, why."""
    return [
        [
            printable(one.package.name),
            printable(one.package.version),
            one.package.kind.value,
            one.use.value.replace("_", " "),
            one.files,
            one.unused_files,
            one.bytes,
            one.unused_bytes,
            printable(one.words),
        ]
        for one in judgement.packages
    ]


def sums(rows: Iterable[tuple[str, int, int]], classes: tuple[Kin, ...]) -> list[Sum]:
    """Count files and bytes by class."""
    counted = [Sum() for _ in classes]
    for _, kin, size in rows:
        counted[kin].files += 1
        counted[kin].bytes += max(0, size)
    return counted
