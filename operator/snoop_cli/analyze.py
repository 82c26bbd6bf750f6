"""`snoop analyze`: what of an image was seen in use, and what was not."""

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import click

from snoop_cli import judged, options, output, verdicts
from snoop_cli.exits import Exit, Failure
from snoop_cli.formats import bom, slimming, structured
from snoop_cli.judged import Judged
from snoop_cli.options import examples
from snoop_cli.spelling import shown, size
from snoop_image.model import FileType
from snoop_image.verdict import Judgement, Verdict

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kKMGT])(i)?)?B?")
_POWERS = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4}
_FOR_SLIMMING = ("include-list", "dockerfile", "purge-list", "creport")
"""What something is left out by: never on incomplete evidence."""
_LISTS = ("name", "include-list")


def _size(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    """Read bytes: 200MB and 200M are 200,000,000, 200MiB and 200Mi are 209,715,200."""
    if value is None:
        return None
    match = _SIZE.fullmatch(value.strip())
    if match is None:
        raise click.BadParameter(f"{value!r} is not a size such as 200MB or 1.5GiB")
    base = 1024 if match[3] else 1000
    return int(float(match[1]) * base ** _POWERS[match[2] or ""])


@click.command(
    epilog=examples(
        "kubectl snoop analyze web -n shop --image registry.example.com/web:1.4",
        "snoop analyze web.json --image registry.example.com/web:1.4",
        "snoop analyze pods/*.json --archive web.tar --shared-layers 3",
        "snoop analyze trace.json --rootfs /srv/root -o wide",
        "snoop analyze web.json --archive web.tar --require-complete --fail-on-unused 200MB",
        "snoop analyze web.json --archive web.tar -o purge-list",
        "snoop analyze web.json --archive web.tar -o html > web.html",
        "snoop analyze web.json --archive web.tar -o cyclonedx > bom.json",
    )
)
@options.output_format(
    "table",
    "wide",
    "json",
    "yaml",
    "name",
    "html",
    "include-list",
    "dockerfile",
    "purge-list",
    "creport",
    "cyclonedx",
)
@click.option("-0", "--null", is_flag=True, help="End each path of -o name or include-list by a NUL byte, not a line.")
@click.option(
    "--fail-on-unused",
    "limit",
    metavar="SIZE",
    callback=_size,
    help=f"Exit with {Exit.UNUSED:d} if more than SIZE (200MB, 1.5GiB) was not seen in use; with {Exit.INCOMPLETE:d} "
    "if the evidence cannot tell.",
)
@options.require_complete
@judged.options
@options.in_cluster()
@click.argument("evidence", nargs=-1, metavar="PROFILE|FILE...", type=options.EVIDENCE)
def analyze(
    evidence: tuple[str, ...], form: str, null: bool, limit: int | None, require_complete: bool, **given: Any
) -> None:
    """Tell what of an image was seen in use.

    Each file is used, needed by what is used, protected (certificates, accounts, package databases: kept by rule),
    unused, or unknown. Unused means: not seen in use in the pods and the time that the evidence is of, and no more
    than that. On evidence with gaps nothing is called unused.

    -o html is a page for a browser; name lists the unused files; include-list the paths that stay, for a build;
    dockerfile a build that copies them; purge-list the packages that can be purged together; creport what stays as
    SlimToolkit has it; cyclonedx a bill of materials with what was seen in use.
    """
    if null and form not in _LISTS:
        raise click.UsageError(f"-0 ends paths, and does not go with -o {form}")
    if form == "dockerfile" and not given["image"]:
        raise click.UsageError("-o dockerfile copies from an image that the builder can pull: name it by --image REF")
    found = judged.judge(evidence, given)
    if form in _FOR_SLIMMING:
        judged.refuse_incomplete(found, form)
    judgement = found.judgement
    if form in ("json", "yaml"):
        structured.write(form, verdicts.document(judgement))
    else:
        output.write(_written(found, form, null))
    _settle(judgement, limit, require_complete)


def _written(found: Judged, form: str, null: bool) -> Iterator[str]:
    judgement = found.judgement
    if form == "dockerfile":
        reference = found.source.reference()
        if reference is None:
            raise Failure("-o dockerfile copies from an image that the builder can pull: --image without --archive")
        # All of it first: what a Dockerfile cannot say is found on the way.
        return iter([f"{line}\n" for line in slimming.dockerfile(judgement, reference)])
    if form == "html":
        from snoop_cli.formats.document import document

        return document(found.evidence, judgement)
    if form == "include-list":
        return slimming.kept(judgement, null)
    if form == "name":
        return (f"{path}\0" if null else f"{shown(path)}\n" for path in _unused(judgement))
    if form == "purge-list":
        return (f"{line}\n" for line in slimming.purge_list(judgement))
    if form in ("creport", "cyclonedx"):
        shaped = slimming.creport(judgement) if form == "creport" else bom.cyclonedx(judgement)
        return iter((json.dumps(shaped, indent=2, ensure_ascii=False), "\n"))
    return (f"{line}\n" for line in verdicts.text(judgement, form == "wide"))


def _unused(judgement: Judgement) -> Iterator[str]:
    for path, entry in judgement.inventory.entries.items():
        if judgement.verdicts[path] is Verdict.UNUSED and entry.type is not FileType.DIRECTORY:
            yield path


def _settle(judgement: Judgement, limit: int | None, required: bool) -> None:
    """Say what the exit status is for."""
    if not judgement.grade.complete:
        output.say(judgement.grade.words)
        if required or limit is not None:
            sys.exit(Exit.INCOMPLETE)
    elif limit is not None and (unused := judgement.totals.unused) > limit:
        output.say(f"{size(unused)} were not seen in use {judgement.grade.scope}, more than {size(limit)}")
        sys.exit(Exit.UNUSED)
