"""Results for people: a line as they come, a table at the end, and docs/conformance.md."""

import os
import time
from pathlib import Path

from tests.conformance.session import Result
from tests.conformance.workload import Workload

_HEAD = ("workload", "attached by", "events", "paths", "checked", "missed", "invented", "seconds")


def progress(result: Result, most: int) -> str:
    """One line, and below it what is wrong."""
    missed, invented = len(result.difference.missed), len(result.difference.invented)
    word = "ok  " if result.good else "FAIL"
    counts = f"{result.paths:6} paths  {missed:4} missed  {invented:4} invented  {result.seconds:5.1f} s"
    lines = [f"{word} {result.workload:18} {result.way:10} {counts}  {result.problem}".rstrip()]
    for title, found in (("missed", result.difference.missed), ("invented", result.difference.invented)):
        lines += [f"     {title}: {line}" for line in found[:most]]
        if len(found) > most:
            lines.append(f"     {title}: and {len(found) - most} more")
    lines += [f"     note: {note}" for note in result.notes]
    return "\n".join(lines)


def _rows(results: list[Result]) -> list[tuple[str, ...]]:
    return [
        (
            one.workload,
            one.way,
            *((str(one.events), str(one.paths), str(one.demands)) if not one.problem else ("-", "-", "-")),
            *(
                (str(len(one.difference.missed)), str(len(one.difference.invented)))
                if not one.problem
                else ("failed", "failed")
            ),
            f"{one.seconds:.1f}",
        )
        for one in results
    ]


def shape(results: list[Result], skipped: list[tuple[str, str]]) -> str:
    """The table on a terminal, with the sum."""
    rows = [_HEAD, *_rows(results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = [
        "  ".join(cell.ljust(width) if index < 2 else cell.rjust(width) for index, (cell, width) in enumerate(pairs))
        for row in rows
        for pairs in [list(zip(row, widths, strict=True))]
    ]
    lines += [f"skipped: {name} ({why})" for name, why in skipped]
    lines.append(verdict(results))
    return "\n" + "\n".join(lines)


def verdict(results: list[Result]) -> str:
    """The sum in a sentence."""
    missed = sum(len(one.difference.missed) for one in results)
    invented = sum(len(one.difference.invented) for one in results)
    failed = sum(bool(one.problem) for one in results)
    names = len({one.workload for one in results})
    words = f"{names} workloads, {len(results)} runs: {missed} missed, {invented} invented"
    return words + (f", {failed} could not be compared" if failed else "")


def write_docs(path: Path, chosen: list[Workload], results: list[Result], skipped: list[tuple[str, str]]) -> None:
    """Put the table between the marks of docs/conformance.md; what stands around it is written by hand."""
    begin, end = "<!-- table: make conformance writes it -->", "<!-- end of table -->"
    text = path.read_text()
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    day, host = time.strftime("%Y-%m-%d", time.gmtime()), os.uname()
    lines = [
        begin,
        "",
        f"Measured {day} on kernel {host.release.split('-')[0]}, {host.machine}: {verdict(results)}.",
        "",
        "| " + " | ".join(_HEAD) + " |",
        "| --- | --- |" + " ---: |" * (len(_HEAD) - 2),
        *("| " + " | ".join(row) + " |" for row in _rows(results)),
        *(f"| {name} | skipped: {why} |" + " |" * (len(_HEAD) - 2) for name, why in skipped),
        "",
        "What each is:",
        "",
        *(f"- **{one.name}**{' (core)' if one.core else ''}: {one.about}" for one in chosen),
        "",
        end,
    ]
    path.write_text(before + "\n".join(lines) + after)
