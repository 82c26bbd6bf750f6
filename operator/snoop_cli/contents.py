"""What two images hold, and what was used of them: the packages and bytes of `snoop diff`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from snoop_cli import output
from snoop_cli.spelling import printable, several, size
from snoop_image.model import Entry, FileType
from snoop_image.packageuse import PackageUse, PackageVerdict
from snoop_image.totals import Count
from snoop_image.verdict import Judgement
from snoop_report.paths import escape

Key = tuple[str, str, str]
"""Kind, name, architecture: what a package keeps from version to version."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What differs between two images."""

    a: Judgement
    b: Judgement
    packages_a: tuple[PackageVerdict, ...]
    """Only in A, or in another version in B."""
    packages_b: tuple[PackageVerdict, ...]
    used_otherwise: tuple[tuple[PackageVerdict, PackageVerdict], ...]
    """The same versions, with another verdict."""
    files_a: tuple[Entry, ...]
    """Names that are no directories, only in A."""
    files_b: tuple[Entry, ...]
    changed: tuple[tuple[Entry, Entry], ...]
    """The same names, of another type, size, mode or link target."""

    @property
    def versions(self) -> list[tuple[PackageVerdict | None, PackageVerdict | None]]:
        """Packages before and after, sorted by name; None: there is none."""
        before, after = _grouped(self.packages_a), _grouped(self.packages_b)
        found: list[tuple[PackageVerdict | None, PackageVerdict | None]] = []
        for key in sorted({*before, *after}, key=lambda key: (key[1], key)):
            olds, news = before.get(key, []), after.get(key, [])
            if len(olds) == len(news) == 1:
                found.append((olds[0], news[0]))
            else:
                found += [*((one, None) for one in olds), *((None, one) for one in news)]
        return found


def compare(a: Judgement, b: Judgement) -> Contents:
    """Compare two images, with the verdicts on them."""
    before = {one.package.identity: one for one in a.packages}
    after = {one.package.identity: one for one in b.packages}
    files_a, files_b = _files(a), _files(b)
    both = [(one, files_b[path]) for path, one in files_a.items() if path in files_b]
    return Contents(
        a,
        b,
        tuple(one for key, one in before.items() if key not in after),
        tuple(one for key, one in after.items() if key not in before),
        tuple((one, after[key]) for key, one in before.items() if key in after and one.use is not after[key].use),
        tuple(one for path, one in files_a.items() if path not in files_b),
        tuple(one for path, one in files_b.items() if path not in files_a),
        tuple((one, other) for one, other in both if _looks(one) != _looks(other)),
    )


def _files(judgement: Judgement) -> dict[str, Entry]:
    entries = judgement.inventory.entries
    return {path: one for path, one in sorted(entries.items()) if one.type is not FileType.DIRECTORY}


def _looks(entry: Entry) -> tuple[FileType, int, int, str]:
    return entry.type, entry.size, entry.mode, entry.target


def _grouped(packages: tuple[PackageVerdict, ...]) -> dict[Key, list[PackageVerdict]]:
    found: dict[Key, list[PackageVerdict]] = {}
    for one in packages:
        found.setdefault((one.package.kind, one.package.name, one.package.architecture), []).append(one)
    return found


def text(found: Contents) -> Iterator[str]:
    """Write it for people."""
    yield ""
    for sign, one in (("-", found.a), ("+", found.b)):
        counts = one.totals.counts
        every, kept, unused = counts.of(), counts.kept, counts.of("unused")
        words = f"{several(every.files, 'file')}, {size(every.bytes)}; kept {size(kept.bytes)}, "
        words += f"not seen in use {size(unused.bytes)} {one.grade.scope}" if one.grade.complete else one.grade.words
        yield output.style(f"{sign} image {printable(f'{one.inventory.source}: {words}')}", bold=True)
    for before, after in found.versions:
        if before is None or after is None:
            sign, here = ("-", before) if before is not None else ("+", after)
            assert here is not None
            yield _line(sign, f"{_name(here)} {printable(here.package.version)}  ({_use(here)})")
        else:
            versions = f"{printable(before.package.version)} -> {printable(after.package.version)}"
            yield _line("~", f"{_name(after)} {versions}  ({_change(before, after)})")
    for before, after in found.used_otherwise:
        yield _line("~", f"{_name(after)} {printable(after.package.version)}  ({_change(before, after)})")
    yield (
        f"{_sum(found.files_a)} only in the image of A, {_sum(found.files_b)} only in that of B, "
        f"{len(found.changed)} of another type, size, mode or target ({_growth(found)})"
    )


def _line(sign: str, words: str) -> str:
    return output.style(f"{sign} package {words}", {"-": "red", "+": "green", "~": "yellow"}[sign])


def _name(one: PackageVerdict) -> str:
    return f"{printable(one.package.name)} [{one.package.kind.value}]"


def _use(one: PackageVerdict) -> str:
    return f"{one.use.value.replace('_', ' ')}; {size(one.bytes)}"


def _change(before: PackageVerdict, after: PackageVerdict) -> str:
    uses = _word(after.use) if before.use is after.use else f"{_word(before.use)} -> {_word(after.use)}"
    grown = size(after.bytes) if before.bytes == after.bytes else f"{size(before.bytes)} -> {size(after.bytes)}"
    return f"{uses}; {grown}"


def _word(use: PackageUse) -> str:
    return use.value.replace("_", " ")


def _sum(entries: tuple[Entry, ...]) -> str:
    return f"{several(len(entries), 'file')} ({size(_bytes(entries))})"


def _bytes(entries: tuple[Entry, ...]) -> int:
    links: set[int] = set()
    total = 0
    for one in entries:
        if one.link not in links:
            total += one.size
        if one.link:
            links.add(one.link)
    return total


def _growth(found: Contents) -> str:
    grown = sum(after.size - before.size for before, after in found.changed)
    return f"{size(abs(grown))} {'less' if grown < 0 else 'more'}"


def document(found: Contents) -> dict[str, Any]:
    """Shape it for JSON."""
    return {
        "a": _image(found.a),
        "b": _image(found.b),
        "packages": [
            {"name": (after or before).package.name, **_versions(before, after)}  # type: ignore[union-attr]
            for before, after in [*found.versions, *found.used_otherwise]
        ],
        "files_only_a": [escape(one.path) for one in found.files_a],
        "files_only_b": [escape(one.path) for one in found.files_b],
        "files_changed": [
            {"path": escape(after.path), "bytes_a": before.size, "bytes_b": after.size}
            for before, after in found.changed
        ],
    }


def _image(judgement: Judgement) -> dict[str, Any]:
    counts = judgement.totals.counts
    complete = judgement.grade.complete
    return {
        "image": judgement.inventory.source,
        "digest": judgement.inventory.digest,
        "complete": complete,
        "all": _count(counts.of()),
        "kept": _count(counts.kept),
        "unused": _count(counts.of("unused")) if complete else None,
    }


def _count(count: Count) -> Mapping[str, int]:
    return {"files": count.files, "bytes": count.bytes}


def _versions(before: PackageVerdict | None, after: PackageVerdict | None) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for side, one in (("a", before), ("b", after)):
        told[side] = one and {"version": one.package.version, "use": one.use.value, "bytes": one.bytes}
    some = after or before
    assert some is not None
    return {"kind": some.package.kind.value, "architecture": some.package.architecture, **told}
