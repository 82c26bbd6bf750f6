"""Tables as kubectl prints them: a heading in capitals, columns as wide as what is in them."""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from snoop_cli.output import style

_BETWEEN = "   "
_NARROWEST = 12


@dataclass(frozen=True, slots=True)
class Column:
    """One column."""

    heading: str
    number: bool = False
    """Numbers are aligned at their right."""
    elastic: bool = False
    """May be cut in its middle where the terminal is too narrow. Never a path: somebody will copy it."""


def cells(text: str) -> int:
    """Columns that `text` takes on a terminal: two for each wide character (Unicode UAX #11), none for a combining."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text
    )


def table(columns: Sequence[Column], rows: Iterable[Sequence[str]], width: int = 0) -> Iterator[str]:
    """Lay out rows, a line each, heading first. `width`: columns of the terminal, 0 for as many as it takes."""
    kept = list(rows)
    widths = [
        max([cells(column.heading), *(cells(row[place]) for row in kept)]) for place, column in enumerate(columns)
    ]
    if width:
        for place, column in enumerate(columns):
            over = sum(widths) + len(_BETWEEN) * (len(columns) - 1) - width
            if column.elastic and over > 0:
                widths[place] = max(_NARROWEST, widths[place] - over)
    yield style(_line(columns, [column.heading for column in columns], widths), bold=True)
    for row in kept:
        yield _line(columns, row, widths)


def _line(columns: Sequence[Column], row: Sequence[str], widths: Sequence[int]) -> str:
    parts = []
    for column, text, room in zip(columns, row, widths, strict=True):
        told = _cut(text, room) if column.elastic else text
        filling = " " * (room - cells(told))
        parts.append(filling + told if column.number else told + filling)
    return _BETWEEN.join(parts).rstrip()


def _cut(text: str, room: int) -> str:
    """Shorten to `room` columns, visibly, keeping both ends: an image's name and its tag."""
    if cells(text) <= room:
        return text
    head = (room - 1) // 2
    return text[:head] + "…" + text[len(text) - (room - 1 - head) :]


def fields(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Lay out names and values, a line each."""
    kept = list(pairs)
    widest = max((len(name) for name, _ in kept), default=0)
    for name, value in kept:
        yield f"{style(name.ljust(widest), bold=True)}{_BETWEEN}{value}"
