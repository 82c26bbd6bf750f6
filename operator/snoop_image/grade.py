"""How much the evidence is worth, and the words for what it does not show."""

from dataclasses import dataclass

from snoop_image.evidence import Evidence
from snoop_report.model import Gap

_UNITS = ((86400.0, "day"), (3600.0, "hour"), (60.0, "minute"), (1.0, "second"))


@dataclass(frozen=True, slots=True)
class Grade:
    """Of a verdict's evidence. Unless it is complete, nothing is called unused."""

    complete: bool
    pods: int
    """Pods that were recorded."""
    runs: int
    """Commands that `snoop trace` recorded."""
    since: float
    until: float
    """Seconds since the epoch; 0: not told."""
    gaps: tuple[Gap, ...] = ()
    exclude: tuple[str, ...] = ()
    """Path prefixes of which nothing is known."""
    unprofiled: int = 0
    """Pods, Jobs and CronJobs that use the image and were not recorded."""

    @property
    def seconds(self) -> float:
        """How long was recorded, from the first pod's start to the last news."""
        return max(self.until - self.since, 0.0) if self.since and self.until else 0.0

    @property
    def scope(self) -> str:
        """Say where and for how long was looked: `in 3 pods over 4 days`."""
        where = [_plural(self.pods, "pod")] if self.pods or not self.runs else []
        where += [_plural(self.runs, "run")] if self.runs else []
        # Never guess: upstream's reports may not tell.
        told = bool(self.since and self.until)
        return f"in {' and '.join(where)} over {duration(self.seconds) if told else 'a time that was not told'}"

    @property
    def words(self) -> str:
        """Say in a sentence what the evidence is worth."""
        if not self.complete:
            why = ", ".join(dict.fromkeys(gap.code.value for gap in self.gaps)) or "nothing was recorded"
            return f"recorded {self.scope}; incomplete ({why}), so nothing is called unused"
        told = f"recorded {self.scope}, without a known gap"
        if self.unprofiled:
            told += f"; {_plural(self.unprofiled, 'pod')} that use the image were not recorded"
        return told


def grade(evidence: Evidence, unprofiled: int = 0) -> Grade:
    """Grade evidence; `unprofiled` is what a caller knows of other users of the image."""
    return Grade(
        evidence.complete,
        evidence.pods,
        evidence.runs,
        evidence.since,
        evidence.until,
        evidence.gaps,
        evidence.exclude,
        unprofiled,
    )


def duration(seconds: float) -> str:
    """Say how long, in the biggest unit that gives two or more, or in the smallest."""
    if seconds < 1:
        return "less than a second"
    for size, unit in _UNITS:
        if seconds >= 2 * size or size == 1.0:
            return _plural(int(seconds // size), unit)
    raise AssertionError


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
