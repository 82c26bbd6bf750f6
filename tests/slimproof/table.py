"""Results for people: lines as they come, two tables at the end, and docs/slimming-proof.md."""

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.slimproof.session import OtherResult, Result

_FIRST = (
    "app",
    "files",
    "slimmed",
    "MB",
    "slimmed",
    "packages unused",
    "verdict",
    "memory",
    "same workload",
)
_SECOND = ("app", "a different workload", "foretold unused", "what happened", "agrees")
_SHOWN = 2
_WORDS = 80


def progress(result: Result, most: int) -> str:
    """One line, and below it what is wrong."""
    word = "ok  " if result.good else "FAIL"
    lines = [f"{word} {result.app.name:12} {result.took:6.1f} s  {result.problem or _saved(result)}"]
    lines += _some("differs", result.differences, most)
    for other in result.others:
        lines.append(
            f"     {'ok  ' if other.good else 'FAIL'} {other.name}: {_foretold(other.lost)}: {_happened(other)}"
        )
        if not other.good:
            lines += _some("differs", other.differences, most)
    return "\n".join(lines)


def _some(title: str, found: Sequence[str], most: int) -> Iterable[str]:
    yield from (f"     {title}: {line}" for line in found[:most])
    if len(found) > most:
        yield f"     {title}: and {len(found) - most} more"


def _saved(result: Result) -> str:
    if result.verdicts is None:
        return "nothing can be told"
    (_, before), (_, after) = result.verdicts.before, result.verdicts.after
    return f"{_megabytes(before)} MB become {_megabytes(after)}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f}"


def _foretold(lost: Sequence[str]) -> str:
    if not lost:
        return "nothing that it uses"
    names = ", ".join(lost[:_SHOWN])
    return names if len(lost) <= _SHOWN else f"{len(lost)} files: {names} …"


def _happened(other: OtherResult) -> str:
    if not other.differences:
        return "passes"
    words = other.words if len(other.words) <= _WORDS else f"{other.words[:_WORDS]}…"
    return f"{'fails' if other.failed else 'says something else'}: {words}"


def first_rows(results: Iterable[Result]) -> list[tuple[str, ...]]:
    """Give the first table, a tuple a row."""
    rows = []
    for one in results:
        if one.problem or one.verdicts is None:
            rows.append((one.app.name, *["-"] * (len(_FIRST) - 2), "cannot be told"))
            continue
        verdicts = one.verdicts
        rows.append(
            (
                one.app.name,
                str(verdicts.before[0]),
                str(verdicts.after[0]),
                _megabytes(verdicts.before[1]),
                _megabytes(verdicts.after[1]),
                f"{verdicts.packages[0]} of {verdicts.packages[1]}",
                f"{one.seconds:.1f} s",
                f"{one.memory / 2**20:.0f} MiB",
                "FAILS" if one.differences else "passes",
            )
        )
    return rows


def second_rows(results: Iterable[Result]) -> list[tuple[str, ...]]:
    """Give the second table, a tuple a row."""
    return [
        (
            result.app.name,
            f"{other.name}: {other.about}",
            _foretold(other.lost),
            _happened(other),
            "yes" if other.good else "NO",
        )
        for result in results
        for other in result.others
    ]


def shape(results: Sequence[Result]) -> str:
    """Both tables on a terminal, with the sum."""
    first, second = _plain(_FIRST, first_rows(results)), _plain(_SECOND, second_rows(results))
    return "\n".join(("", *first, "", *second, "", verdict(results)))


def _plain(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterable[str]:
    every = [head, *rows]
    widths = [max(len(row[column]) for row in every) for column in range(len(head))]
    for row in every:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def verdict(results: Sequence[Result]) -> str:
    """Give the sum in a sentence."""
    good = sum(not (one.problem or one.differences) for one in results)
    others = [other for one in results for other in one.others]
    words = f"{len(results)} applications: {good} do the same in what is left of their images"
    told = f"{sum(other.good for other in others)} of {len(others)} other workloads went as foretold"
    failed = sum(bool(one.problem) for one in results)
    return f"{words}; {told}" + (f"; {failed} could not be tried" if failed else "")


def write_docs(path: Path, results: Sequence[Result]) -> None:
    """Put the tables between the marks of docs/slimming-proof.md; what stands around them is written by hand."""
    begin, end = "<!-- tables: make slimproof writes them -->", "<!-- end of tables -->"
    before, _, rest = path.read_text().partition(begin)
    _, _, after = rest.partition(end)
    day, host = time.strftime("%Y-%m-%d", time.gmtime()), os.uname()
    lines = [
        begin,
        "",
        f"Measured {day} on kernel {host.release.split('-')[0]}, {host.machine}: {verdict(results)}.",
        "",
        *_markdown(_FIRST, first_rows(results), numbers=range(1, 8)),
        "",
        *_markdown(_SECOND, second_rows(results)),
        "",
        "What each is:",
        "",
        *(f"- **{one.app.name}**{' (core)' if one.app.core else ''}: {one.app.about}" for one in results),
        "",
        end,
    ]
    path.write_text(before + "\n".join(lines) + after)


def _markdown(head: tuple[str, ...], rows: Iterable[tuple[str, ...]], numbers: Sequence[int] = ()) -> Iterable[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'|'.join(' ---: ' if column in numbers else ' --- ' for column in range(len(head)))}|"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
