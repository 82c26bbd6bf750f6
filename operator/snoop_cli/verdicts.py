"""The verdict on an image as text and as JSON."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from snoop_cli import output
from snoop_cli.formats.table import Column, fields, table
from snoop_cli.spelling import printable, several, shown, size
from snoop_image.model import FileType
from snoop_image.packageuse import PackageUse, PackageVerdict
from snoop_image.totals import ORDER, Counts
from snoop_image.verdict import Judgement
from snoop_report.paths import escape

_TOP = 10
"""Packages, directories and notes that a table names; `-o wide` names all."""
_COLOURS = {"used": "green", "needed": "cyan", "protected": "blue", "unknown": "yellow", "unused": "red"}
_WIDTH = 100


def text(judgement: Judgement, wide: bool) -> Iterator[str]:
    """Write it for people."""
    yield from fields(_head(judgement))
    yield ""
    yield from _totals(judgement.totals.counts)
    yield from _packages(judgement, wide)
    yield from _directories(judgement.totals.directories, wide)
    if len(judgement.totals.layers) > 1:
        yield from _layers(judgement)
    yield from _notes(judgement.notes, wide)


def _head(judgement: Judgement) -> Iterator[tuple[str, str]]:
    inventory, grade = judgement.inventory, judgement.grade
    yield "image", printable(inventory.source)
    if inventory.digest:
        yield "digest", inventory.digest
    colours = {"colour": "green"} if grade.complete else {"colour": "red"}
    yield "evidence", output.style(printable(grade.words), **colours, bold=not grade.complete)
    every, unused = judgement.totals.counts.of(), judgement.totals.counts.of("unused")
    if not grade.complete:
        return
    share = f" ({100 * unused.bytes // every.bytes} %)" if every.bytes else ""
    what = f"{size(unused.bytes)} of {size(every.bytes)}{share} in {several(unused.files, 'file')}"
    yield "verdict", output.style(f"{what}: not seen in use {grade.scope}", bold=True)
    if any(one.shared for one in judgement.totals.layers):
        yield "a node", _net(judgement)


def _net(judgement: Judgement) -> str:
    totals = judgement.totals
    flat = totals.net_flattened
    words = f"frees {size(flat)}" if flat >= 0 else f"needs {size(-flat)} more"
    return f"frees {size(totals.net)} if the shared layers stay the image's, {words} if it becomes one layer"


def _totals(counts: Counts) -> Iterator[str]:
    columns = [Column("VERDICT"), Column("FILES", number=True), Column("SIZE", number=True)]
    rows = [
        (verdict, str(one.files), size(one.bytes)) for verdict in ORDER if (one := counts.by_verdict[verdict]).files
    ]
    every = counts.of()
    yield from table(columns, [*rows, ("all", str(every.files), size(every.bytes))])


def _packages(judgement: Judgement, wide: bool) -> Iterator[str]:
    judged = judgement.packages
    if not judged:
        return
    yield ""
    uses = [(use, [one for one in judged if one.use is use]) for use in PackageUse]
    columns = [Column("PACKAGES"), Column("NUMBER", number=True), Column("SIZE", number=True)]
    columns += [Column("UNUSED", number=True)]
    rows = [
        (use.value.replace("_", " "), str(len(some)), size(sum(one.bytes for one in some)), size(_unused(some)))
        for use, some in uses
        if some
    ]
    yield from table(columns, rows)
    listed = sorted(judged, key=lambda one: (-one.unused_bytes, -one.bytes, one.package.name))
    if not wide:
        listed = [one for one in listed if one.unused_files][:_TOP]
    if listed:
        yield ""
        yield from _package_table(listed, wide)


def _unused(some: Sequence[PackageVerdict]) -> int:
    return sum(one.unused_bytes for one in some)


def _package_table(listed: Sequence[PackageVerdict], wide: bool) -> Iterator[str]:
    columns = [Column("PACKAGE"), Column("KIND"), Column("USE"), Column("FILES", number=True)]
    columns += [Column("UNUSED FILES", number=True), Column("SIZE", number=True), Column("UNUSED", number=True)]
    columns += [Column("VERSION"), Column("WHY")] if wide else []
    yield from table(columns, (_package_row(one, wide) for one in listed))


def _package_row(one: PackageVerdict, wide: bool) -> list[str]:
    package = one.package
    use = one.use.value.replace("_", " ")
    row = [printable(package.name), package.kind.value, use, str(one.files), str(one.unused_files)]
    row += [size(one.bytes), size(one.unused_bytes)]
    return [*row, printable(package.version), printable(one.words)] if wide else row


def _directories(directories: Mapping[str, Counts], wide: bool) -> Iterator[str]:
    listed = sorted(directories.items(), key=lambda item: (-item[1].of().bytes, item[0]))
    yield ""
    columns = [Column("DIRECTORY"), *(Column(name, number=True) for name in ("FILES", "UNUSED FILES", "SIZE"))]
    columns += [Column("UNUSED", number=True)]
    rows = []
    for path, counts in listed if wide else listed[:_TOP]:
        every, unused = counts.of(), counts.of("unused")
        rows.append((shown(path), str(every.files), str(unused.files), size(every.bytes), size(unused.bytes)))
    yield from table(columns, rows)


def _layers(judgement: Judgement) -> Iterator[str]:
    yield ""
    columns = [Column("LAYER", number=True), Column("FILES", number=True), Column("SIZE", number=True)]
    columns += [Column("UNUSED", number=True), Column("SHARED"), Column("MADE BY", elastic=True)]
    rows = []
    for number, one in enumerate(judgement.totals.layers, 1):
        every, unused = one.counts.of(), one.counts.of("unused")
        made = printable(one.layer.command) or "-"
        shared = "yes" if one.shared else "-"
        rows.append((str(number), str(every.files), size(every.bytes), size(unused.bytes), shared, made))
    yield from table(columns, rows, output.width())


def _notes(notes: Sequence[str], wide: bool) -> Iterator[str]:
    kept = notes if wide else notes[:_TOP]
    for number, words in enumerate(kept):
        if not number:
            yield ""
        start = "note   " if not number else "       "
        yield from textwrap.wrap(
            printable(words),
            max(40, output.width() or _WIDTH),
            initial_indent=start,
            subsequent_indent="       ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    if len(kept) < len(notes):
        yield f"       and {len(notes) - len(kept)} more: -o wide"


def _shape(counts: Counts) -> dict[str, dict[str, int]]:
    return {verdict: {"files": one.files, "bytes": one.bytes} for verdict, one in counts.by_verdict.items()}


def document(judgement: Judgement) -> dict[str, Any]:
    """Shape it for JSON: sizes are bytes, a hard-linked file's counted once; paths as in reports."""
    inventory, grade, totals = judgement.inventory, judgement.grade, judgement.totals
    return {
        "image": {"source": printable(inventory.source), "digest": inventory.digest},
        "evidence": {
            "complete": grade.complete,
            "gaps": [{"code": one.code.value, "message": one.message} for one in grade.gaps],
            "pods": grade.pods,
            "runs": grade.runs,
            "seconds": round(grade.seconds),
            "scope": grade.scope,
            "exclude": [escape(one) for one in grade.exclude],
        },
        "totals": _shape(totals.counts),
        "unused_bytes": totals.unused,
        "unused_bytes_net": totals.net,
        "unused_bytes_net_flattened": totals.net_flattened,
        "notes": list(map(printable, judgement.notes)),
        "layers": [
            {
                "digest": one.layer.digest,
                "command": printable(one.layer.command),
                "shared": one.shared,
                "totals": _shape(one.counts),
            }
            for one in totals.layers
        ],
        "directories": [{"path": escape(path), "totals": _shape(one)} for path, one in totals.directories.items()],
        "packages": [
            {
                "kind": one.package.kind.value,
                "name": printable(one.package.name),
                "version": printable(one.package.version),
                "use": one.use.value,
                "why": printable(one.words),
                "files": one.files,
                "unused_files": one.unused_files,
                "bytes": one.bytes,
                "unused_bytes": one.unused_bytes,
            }
            for one in judgement.packages
        ],
        "files": [
            {
                "path": escape(path),
                "type": entry.type.value,
                "size": entry.size,
                "verdict": judgement.verdicts[path].value,
            }
            for path, entry in inventory.entries.items()
            if entry.type is not FileType.DIRECTORY
        ],
    }
