"""`snoop files`: the list of paths."""

from collections.abc import Iterator, Sequence
from typing import Any

import click

from snoop_cli import options, output, sources
from snoop_cli.evidence import Evidence, gather
from snoop_cli.formats import structured
from snoop_cli.formats.table import Column, table
from snoop_cli.options import examples
from snoop_cli.spelling import moment, shown
from snoop_cli.uses import Use, uses
from snoop_report.codec import to_rfc3339
from snoop_report.model import Kind
from snoop_report.paths import escape


@click.command(
    epilog=examples(
        "kubectl snoop files web -n shop --kind execute",
        "snoop files web.json                              every path that was used",
        "snoop files web.json --kind execute --kind map    programs and libraries",
        "snoop files web.json --under /usr/lib --match '*.so*'",
        "snoop files trace.json -0 | xargs -0 dpkg -S",
    )
)
@options.selecting(outcome="exists")
@options.output_format("table", "wide", "json", "yaml", "name")
@click.option("-0", "--null", is_flag=True, help="Print bare paths, each ended by a NUL byte, as xargs -0 takes them.")
@options.in_cluster()
@options.require_complete
@click.argument("evidence", nargs=-1, metavar="PROFILE|FILE...", type=options.EVIDENCE)
def files(evidence: tuple[str, ...], form: str, null: bool, require_complete: bool, **chosen: Any) -> None:
    r"""List the paths that were used.

    The FILEs are taken together. A path is listed by the name that was asked for, and by the one that it resolved to.
    What was asked for and was not there is listed with `--outcome missing`, everything with `--outcome any`. A PROFILE
    is a SnoopProfile of the cluster, a FILE a report; `-` is standard input.

    Bytes of a name that do not print are shown in hexadecimal, a newline as \x0a; `-0` prints names as they are.
    """
    if null and form not in ("table", "name"):
        raise click.UsageError(f"-0 prints bare paths, and does not go with -o {form}")
    listed_of = options.chosen(evidence, chosen)
    wanted = options.selection(chosen)
    found = gather(sources.read(listed_of))
    options.check_containers(wanted, found)
    listed = uses(found, wanted)
    if null:
        output.write(f"{path}\0" for path in _names(listed))
    elif form == "name":
        output.write_lines(map(shown, _names(listed)))
    elif form in ("json", "yaml"):
        structured.write(form, _document(found, listed))
    elif listed:
        outcomes = len(wanted.outcomes) != 1
        output.write_lines(_wide(listed) if form == "wide" else _table(listed, outcomes))
    else:
        output.say("nothing that was recorded matches")
    options.settle(found, require_complete)


def _names(listed: Sequence[Use]) -> list[str]:
    """Each path once, whatever its outcomes."""
    return list(dict.fromkeys(use.path for use in listed))


def kinds(found: frozenset[Kind]) -> str:
    """Write kinds in the order in which they are defined."""
    return ",".join(kind for kind in Kind if kind in found)


def _led(use: Use) -> str:
    """Write a path as `ls -l` does, with what it led to."""
    if not use.targets:
        return shown(use.path)
    further = f" and {len(use.targets) - 1} more" if len(use.targets) > 1 else ""
    return f"{shown(use.path)} -> {shown(min(use.targets))}{further}"


def _table(listed: Sequence[Use], outcomes: bool) -> Iterator[str]:
    columns = [Column("KINDS"), *([Column("OUTCOME")] if outcomes else []), Column("PATH")]
    rows = ((kinds(use.kinds), *([use.outcome.value] if outcomes else []), _led(use)) for use in listed)
    return table(columns, rows)


def _wide(listed: Sequence[Use]) -> Iterator[str]:
    headings = ("FIRST SEEN", "LAST SEEN", "KINDS", "OUTCOME", "ON", "CONTAINERS", "PROGRAM", "PATH")
    return table(
        [Column(heading) for heading in headings],
        (
            (
                moment(use.first_seen),
                moment(use.last_seen),
                kinds(use.kinds),
                use.outcome.value,
                "volume" if use.volume else "image",
                ",".join(map(shown, sorted(use.containers))),
                shown(min(use.executables)) if use.executables else "-",
                _led(use),
            )
            for use in listed
        ),
    )


def shape(use: Use) -> dict[str, Any]:
    """Shape one use for JSON."""
    shaped: dict[str, Any] = {
        "path": escape(use.path),
        "outcome": use.outcome.value,
        "kinds": sorted(map(str, use.kinds)),
        "first_seen": to_rfc3339(use.first_seen),
        "last_seen": to_rfc3339(use.last_seen),
        "containers": sorted(use.containers),
        "executables": [escape(one) for one in sorted(use.executables)],
        "targets": [escape(one) for one in sorted(use.targets)],
        "volume": use.volume,
    }
    return shaped


def _document(found: Evidence, listed: Sequence[Use]) -> dict[str, Any]:
    return {
        "complete": found.complete,
        "gaps": list(dict.fromkeys(one.code for one in found.shortcomings)),
        "files": [shape(use) for use in listed],
    }
