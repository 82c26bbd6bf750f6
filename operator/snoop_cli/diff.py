"""`snoop diff`: what two pieces of evidence used differently."""

import sys
from collections.abc import Iterator
from typing import Any

import click

from snoop_cli import options, output, sources
from snoop_cli.comparison import Comparison, compare
from snoop_cli.evidence import Evidence, gather, pod_name
from snoop_cli.exits import Exit
from snoop_cli.files import kinds, shape
from snoop_cli.formats import structured
from snoop_cli.options import examples
from snoop_cli.spelling import printable, several, shown
from snoop_cli.uses import Use, unknown_containers
from snoop_report.paths import escape


@click.command(
    epilog=examples(
        "snoop diff v1.json v2.json",
        "snoop diff v1.json v2.json --kind execute --kind map --exit-code",
        "snoop diff monday.json tuesday.json -o name | grep '^+'",
    )
)
@options.selecting(outcome="exists")
@options.output_format("table", "json", "yaml", "name")
@click.option("--exit-code", is_flag=True, help=f"Exit with {Exit.DIFFERENT:d} if there are differences, as git does.")
@options.in_cluster(several=False)
@options.require_complete
@click.argument("a", metavar="A", type=options.EVIDENCE)
@click.argument("b", metavar="B", type=options.EVIDENCE)
def diff(a: str, b: str, form: str, exit_code: bool, require_complete: bool, **chosen: Any) -> None:
    """Compare what A used with what B used.

    Lines begin with `-` for a path that only A used, `+` for one that only B used, `~` for one that both used in
    different ways. A and B are profiles of the cluster or reports; one of them may be `-` for standard input. Gaps that
    only one of them has are told as well: where one is incomplete, that a path is missing from it proves nothing.
    """
    in_a, in_b = options.chosen([a, b], chosen)
    wanted = options.selection(chosen)
    before, after = gather(sources.read([in_a])), gather(sources.read([in_b]))
    options.check_containers(wanted, before, after)
    for name, evidence in ((in_a.name, before), (in_b.name, after)):
        for text in unknown_containers(wanted, evidence):
            output.say(f"{name} has no container {text}")
    found = compare(before, after, wanted)
    if form == "name":
        output.write_lines(f"{sign}{shown(use.path)}" for sign, use in _signed(found))
    elif form == "table":
        output.write_lines(_text(found, (in_a.name, before), (in_b.name, after)))
    else:
        structured.write(form, document(found, before, after))
    for label, evidence in ((in_a.name, before), (in_b.name, after)):
        options.settle(evidence, required=False, label=label)
    if require_complete and not (before.complete and after.complete):
        sys.exit(Exit.INCOMPLETE)
    if exit_code and found.differs:
        sys.exit(Exit.DIFFERENT)


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
