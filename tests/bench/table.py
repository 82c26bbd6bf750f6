"""Rows beside their targets: on a terminal, as JSON, in docs/performance.md. Pure, but for writing the files."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.machine import Machine

_HEAD = ("what", "how", "measured", "target", "", "detail")
BEGIN, END = "<!-- table: make bench T=--write-docs writes it -->", "<!-- end of table -->"


@dataclass(slots=True)
class Row:
    """One figure."""

    group: str
    """The name by which --only picks it."""
    what: str
    how: str = ""
    """The way of attaching, the number of sidecars."""
    value: float | None = None
    """None: not measured; the detail says why."""
    unit: str = ""
    target: float | None = None
    """At most; None: there is none."""
    detail: str = ""
    samples: list[float] = field(default_factory=list)
    """What `value` is the median of: one a round."""

    @property
    def verdict(self) -> str:
        """`ok`, `over` or nothing."""
        if self.value is None or self.target is None:
            return ""
        return "ok" if self.value <= self.target else "over"


def median_row(samples: Sequence[float], row: Row) -> Row:
    """Fill a row with the median of its rounds, and say how far they lie apart."""
    row.samples = list(samples)
    row.value = statistics.median(samples)
    if len(samples) > 1:
        spread = f"{number(min(samples))} to {number(max(samples))} in {len(samples)} rounds"
        row.detail = f"{row.detail}; {spread}" if row.detail else spread
    return row


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def number(value: float) -> str:
    """Write a figure with three digits that mean something."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _figure(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{number(value)} {unit}".rstrip()


def _cells(row: Row) -> tuple[str, ...]:
    target = "" if row.target is None else f"≤ {_figure(row.target, row.unit)}"
    return row.what, row.how, _figure(row.value, row.unit), target, row.verdict, row.detail


def line(row: Row) -> str:
    """One row as it comes."""
    what, how, value, target, verdict, detail = _cells(row)
    return f"{what[:58]:58} {how[:22]:22} {value:>12}  {target:12} {verdict:4}  {detail}".rstrip()


def shape(rows: Sequence[Row]) -> str:
    """All rows, and the sum in a sentence."""
    judged = [row.verdict for row in rows if row.verdict]
    skipped = sum(row.value is None for row in rows)
    words = f"{len(rows)} figures: {judged.count('ok')} within their targets, {judged.count('over')} over"
    return "\n".join([*(line(row) for row in rows), words + (f", {skipped} not measured" if skipped else "")])


def as_document(rows: Sequence[Row], machine: Machine, command: str, notes: Sequence[str]) -> dict[str, Any]:
    """The JSON file."""
    return {
        "machine": asdict(machine),
        "command": command,
        "notes": list(notes),
        "rows": [{**asdict(row), "verdict": row.verdict} for row in rows],
    }


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write it for programs."""
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def write_docs(path: Path, rows: Sequence[Row], machine: Machine, command: str, notes: Sequence[str]) -> None:
    """Put the table between the marks of docs/performance.md; what stands around it is written by hand."""
    before, _, rest = path.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    where = f"{machine.processor}, {machine.cores} cores, {machine.memory_gib} GiB, kernel {machine.kernel}"
    lines = [
        BEGIN,
        "",
        f"Measured {machine.date} by `{command}` at {machine.commit}, on {where}.",
        *(f"{note[:1].upper()}{note[1:]}." for note in notes),
        "",
        "| " + " | ".join(_HEAD) + " |",
        "| --- | --- | ---: | ---: | --- | --- |",
        *("| " + " | ".join(cell.replace("|", "\\|") for cell in _cells(row)) + " |" for row in rows),
        "",
        END,
    ]
    path.write_text(before + "\n".join(lines) + after)
