"""`snoop merge`: many reports become one file."""

import stat
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from snoop_cli import options, output, sources
from snoop_cli.evidence import Evidence, gather
from snoop_cli.exits import Exit, Failure
from snoop_cli.options import examples
from snoop_cli.spelling import several, shown
from snoop_cli.union import text, unite

_UNFIT = {stat.S_IFDIR: "directory", stat.S_IFBLK: "block device"}


@click.command(
    epilog=examples(
        "kubectl snoop merge web -n shop -o web.json",
        "snoop merge pods/*.json -o web.json",
        "snoop merge monday.json tuesday.json -o - | snoop report -",
    )
)
@click.option(
    "-o",
    "--output",
    "out",
    required=True,
    metavar="OUT",
    type=options.EVIDENCE,
    help="Where the report goes; - is standard output.",
)
@options.in_cluster()
@options.require_complete
@click.argument("evidence", nargs=-1, metavar="PROFILE|FILE...", type=options.EVIDENCE)
def merge(evidence: tuple[str, ...], out: str, require_complete: bool, **cluster: Any) -> None:
    """Unite reports into one.

    Every path that one of them tells is in it, and every gap; what one of them left out is left out. Order and
    repetition change nothing. Containers are one if their IDs are. What the reports do not agree on, as the pod's
    name, is left empty. Upstream snoop's reports may be merged too.

    OUT is replaced as a whole or not at all, and may be one of the FILEs. With `--require-complete` it is not written
    if anything may be missing.
    """
    if not out:
        raise Failure("the name of a file is empty")
    found = gather(sources.read(options.chosen(evidence, cluster)))
    if require_complete:
        options.settle(found, required=True)
    united = unite(found.reports)
    if out == "-":
        output.write(text(united))
    else:
        _replace(Path(out), found, output.chunks(text(united)))


def _kind(path: Path) -> int:
    """Tell what `path` leads to, as S_IFMT has it; 0 if there is nothing. Through /dev/fd, what no name leads to."""
    try:
        return stat.S_IFMT(path.stat().st_mode)
    except FileNotFoundError:
        return 0


def _replace(out: Path, found: Evidence, chunks: Iterable[bytes]) -> None:
    # The agent's own way to write a report; it brings the recorder along, which other commands need not wait for.
    from snoop_agent import spool

    try:
        kind = _kind(out)
        if kind in (0, stat.S_IFREG):
            spool.write(out.resolve(), chunks)
        elif kind in (stat.S_IFDIR, stat.S_IFBLK):
            raise Failure(f"cannot write {shown(str(out))}: it is a {_UNFIT[kind]}")
        else:
            # A pipe or a terminal is written to. A rename would put a file in its place: of /dev/null, say.
            with out.open("wb") as stream:
                stream.writelines(chunks)
    except BrokenPipeError:
        sys.exit(Exit.NOBODY_READS)
    except spool.SpoolError as error:
        raise Failure(str(error)) from error
    except OSError as error:
        raise Failure(f"cannot write {shown(str(out))}: {error.strerror or error}") from error
    output.say(f"{several(len(found.reports), 'report')} merged into {shown(str(out))}")
