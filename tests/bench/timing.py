"""What one operation takes, of loads that had their core for themselves.

A core's two hardware threads share what it can do at once, and of a virtual machine's core another machine may have
one: everything takes up to twice as long then, for a batch or for minutes. So load.c times, between its batches, a loop
that fills the core. It makes no system call, so what is measured does not touch it; it takes longer only beside a
neighbour.
"""

import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tests.bench.containers import Load
from tests.bench.table import percentile

_LONGER = 1.12
"""What the loop may take of its fastest. The core's clock alone moves it by 4 % or more, a neighbour by 30 to 120."""
_FASTEST = 0.02
"""The share of the loop's times below its fastest: a clock that is read a moment late is not it."""
_MOST = 0.6
"""The share of a load's batches that must be alone: a neighbour who comes and goes is missed between two loops."""
_TRIES = 30


class Timed(NamedTuple):
    """Nanoseconds of one operation."""

    median: float
    """Of the batches that were alone."""
    p99: float
    """Their 99th percentile: what is slow now and then."""
    alone: bool = True
    """Whether a load was found that had the core for itself. If not, the figures are all batches' of the last one."""


class Core:
    """The core that timed loads run on."""

    def __init__(self) -> None:
        self._fastest = float("inf")
        """Nanoseconds of the loop that fills it, when nothing is beside."""
        self.misjudged = False
        """Whether it turned out to be faster than it was known to be: what was taken to be alone until then was not."""

    def timed(self, start: Callable[[], Load], tries: int = _TRIES) -> Timed:
        """Run a timed load until it has the core for itself. `start`: makes one ready to go."""
        for _ in range(tries):
            figures = start().go().result()
            took, beside = figures[::2], figures[1::2]
            fastest = percentile(beside, _FASTEST)
            self.misjudged |= _LONGER * fastest < self._fastest < float("inf")
            self._fastest = min(self._fastest, fastest)
            counting = alone(took, beside, self._fastest)
            if len(counting) >= _MOST * len(took):
                return Timed(statistics.median(counting), percentile(counting, 0.99))
        return Timed(statistics.median(took), percentile(took, 0.99), False)


def alone(took: Sequence[float], beside: Sequence[float], fastest: float) -> list[float]:
    """Choose the batches beside which the loop took hardly longer than its fastest. Pure."""
    return [one for one, loop in zip(took, beside, strict=True) if loop <= _LONGER * fastest]
