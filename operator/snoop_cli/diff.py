"""`snoop diff`: what two pieces of evidence used differently."""

import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import click

from snoop_cli import contents, images, options, output, sources, versions
from snoop_cli.comparison import Comparison, compare
from snoop_cli.evidence import Evidence, gather, pod_name
from snoop_cli.exits import Exit, Failure
from snoop_cli.files import kinds, shape
from snoop_cli.formats import structured
from snoop_cli.judged import admitted
from snoop_cli.options import examples
from snoop_cli.spelling import printable, several, shown
from snoop_cli.uses import Use, unknown_containers
from snoop_image.evidence import Selection as ImageSelection
from snoop_image.protected import NO_CHANGE
from snoop_image.verdict import analyze
from snoop_report.paths import escape

Side = tuple[str, Evidence, str]
"""Name, evidence, and the image's digest; empty: all that there is."""
_C = TypeVar("_C", bound=Callable[..., Any])
_SUFFIXES = ("_a", "_b")


def _images(command: _C) -> _C:
    return images.named(images.named(images.reading(command), "-b"), "-a")


@click.command(
    epilog=examples(
        "snoop diff v1.json v2.json",
        "snoop diff v1.json v2.json --kind execute --kind map --exit-code",
        "snoop diff monday.json tuesday.json -o name | grep '^+'",
        "snoop diff v1.json v2.json --archive-a v1.tar --archive-b v2.tar",
        "kubectl snoop diff web -n shop --images",
        "kubectl snoop diff web@sha256:0c91 web@sha256:f3a1 -n shop",
    )
)
@options.selecting(outcome="exists")
@options.output_format("table", "json", "yaml", "name")
@click.option("--exit-code", is_flag=True, help=f"Exit with {Exit.DIFFERENT:d} if there are differences, as git does.")
@click.option(
    "--images",
    "by_name",
    is_flag=True,
    help="Compare the images as well: packages and bytes. They are read from their registries by the names that the "
    "reports have; the next six options name them otherwise.",
)
@_images
@options.in_cluster(several=False)
@options.require_complete
@click.argument("a", metavar="A", type=options.EVIDENCE)
@click.argument("b", metavar="[B]", type=options.EVIDENCE, required=False)
def diff(a: str, b: str | None, form: str, exit_code: bool, require_complete: bool, **chosen: Any) -> None:
    """Compare what A used with what B used.

    Lines begin with `-` for a path that only A used, `+` for one that only B used, `~` for one that both used in
    different ways. A and B are profiles of the cluster or reports; one of them may be `-` for standard input. Of either
    one image can be meant: A@sha256:… (the digest's beginning is enough). A alone compares the two images that it has
    seen, the older one first. Gaps that only one of them has are told as well: where one is incomplete, that a path is
    missing from it proves nothing.
    """
    wanted = options.selection(chosen)
    sides = _sides(a, b, chosen)
    (name_a, before, _), (name_b, after, _) = sides
    options.check_containers(wanted, before, after)
    for name, evidence, _ in sides:
        for text in unknown_containers(wanted, evidence):
            output.say(f"{name} has no container {text}")
    found = compare(before, after, wanted)
    held = _contents(sides, wanted.containers, chosen)
    if form == "name":
        output.write_lines(f"{sign}{shown(use.path)}" for sign, use in _signed(found))
    elif form == "table":
        output.write_lines(_text(found, (name_a, before), (name_b, after)))
        output.write_lines(contents.text(held) if held else ())
    else:
        told = document(found, before, after)
        structured.write(form, {**told, "images": contents.document(held)} if held else told)
    for label, evidence in ((name_a, before), (name_b, after)):
        options.settle(evidence, required=False, label=label)
    if require_complete and not (before.complete and after.complete):
        sys.exit(Exit.INCOMPLETE)
    if exit_code and found.differs:
        sys.exit(Exit.DIFFERENT)


def _sides(a: str, b: str | None, chosen: dict[str, Any]) -> list[Side]:
    """Read both, each narrowed down to one image if one is named."""
    asked = [versions.split(one) for one in ((a,) if b is None else (a, b))]
    found: list[tuple[str, Evidence]] = []
    read: dict[str, Evidence] = {}
    for source in options.chosen([name for name, _ in asked], chosen):
        # The same profile twice is read once.
        if source.name not in read:
            read[source.name] = gather(sources.read([source]))
        found.append((source.name, read[source.name]))
    if b is None:
        ((name, evidence),) = found
        if asked[0][1]:
            raise click.UsageError(f"name what to compare {a} with")
        return [_narrowed(name, evidence, digest) for digest in versions.pair(evidence, name)]
    return [_narrowed(*one, digest) for one, (_, digest) in zip(found, asked, strict=True)]


def _narrowed(name: str, evidence: Evidence, digest: str) -> Side:
    if not digest:
        return name, evidence, ""
    one, whole = versions.only(evidence, digest, name)
    return f"{name}@{versions.short(whole)}", one, whole


def _contents(sides: list[Side], containers: tuple[str, ...], chosen: dict[str, Any]) -> contents.Contents | None:
    """Read and judge both images, if they are wanted."""
    if not chosen["by_name"] and not any(images.maybe(chosen, suffix) for suffix in _SUFFIXES):
        return None
    judgements = []
    for (name, evidence, digest), suffix in zip(sides, _SUFFIXES, strict=True):
        known = [digest] if digest else versions.digests(evidence, containers)
        with images.failing():
            source = images.maybe(chosen, suffix, _reference(evidence, known) if chosen["by_name"] else "")
            if source is None:
                given = suffix.replace("_", "-")
                raise click.UsageError(
                    f"name the image of {name} too: --image{given}, --archive{given} or --rootfs{given}"
                )
            if len(known) > 1:
                listed = ", ".join(map(versions.short, known))
                raise Failure(f"{name} tells of several images ({listed}): name one, {name}@sha256:…")
            ran = known[0] if known else ""
            source = source.exactly(ran)
            with images.progress("reading the image") as progress:
                inventory = source.read(progress)
            asked = source.reference()
            meant = ran if asked is not None and asked.digest == ran else ""
            judgements.append(analyze(admitted(evidence), inventory, ImageSelection("", meant), NO_CHANGE))
    return contents.compare(judgements[0], judgements[1])


def _reference(evidence: Evidence, known: list[str]) -> str:
    names = (one.image for report in evidence.reports for one in report.containers if one.digest in known)
    return next(names, "")


def _signed(found: Comparison) -> list[tuple[str, Use]]:
    """All that differs, in the order of paths."""
    signed = [
        *(("-", use) for use in found.only_a),
        *(("~", change.after) for change in found.changed),
        *(("+", use) for use in found.only_b),
    ]
    return sorted(signed, key=lambda one: (one[1].key, one[0]))


def _text(found: Comparison, a: tuple[str, Evidence], b: tuple[str, Evidence]) -> Iterator[str]:
    for sign, (name, evidence) in (("---", a), ("+++", b)):
        yield output.style(f"{sign} {name}{_title(evidence)}", bold=True)
    before = {change.after.key: change.before for change in found.changed}
    outcomes = len({use.outcome for _, use in _signed(found)}) > 1
    for sign, use in _signed(found):
        told = [use.outcome.value] if outcomes else []
        if sign == "~":
            told.append(f"{kinds(before[use.key].kinds)} -> {kinds(use.kinds)}")
        else:
            told.append(kinds(use.kinds))
            other = (found.known_b if sign == "-" else found.known_a).get(use.path, ())
            told += [f"{outcome} in {'B' if sign == '-' else 'A'}" for outcome in other if outcome != use.outcome]
        line = f"{sign} {shown(use.path)}  ({'; '.join(told)})"
        yield output.style(line, {"-": "red", "+": "green", "~": "yellow"}[sign])
    for sign, codes in (("-", found.gaps_a), ("+", found.gaps_b)):
        yield from (f"{sign} gap {code}" for code in codes)
    yield (
        f"{several(len(found.only_a), 'path')} only in A, {len(found.only_b)} only in B, "
        f"{len(found.changed)} used in another way, {found.same} in the same way"
    )


def _title(evidence: Evidence) -> str:
    """Name the pods, if they are few."""
    names = [pod_name(report) for report in evidence.reports]
    return f" ({printable(names[0])})" if len(names) == 1 else f" ({several(len(names), 'pod')})"


def document(found: Comparison, a: Evidence, b: Evidence) -> dict[str, Any]:
    """Shape the comparison for JSON."""
    return {
        "differs": found.differs,
        "complete": {"a": a.complete, "b": b.complete},
        "same": found.same,
        "gaps_only_a": list(found.gaps_a),
        "gaps_only_b": list(found.gaps_b),
        "only_a": [shape(use) for use in found.only_a],
        "only_b": [shape(use) for use in found.only_b],
        "changed": [
            {
                "path": escape(change.after.path),
                "outcome": change.after.outcome.value,
                "kinds_a": sorted(map(str, change.before.kinds)),
                "kinds_b": sorted(map(str, change.after.kinds)),
            }
            for change in found.changed
        ],
    }
