"""From a command's arguments to the verdict on an image: reports, the image, and what a person says of both."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import click

from snoop_cli import images, output, sources
from snoop_cli import options as shared
from snoop_cli.evidence import NOTHING, UNDECLARED, Evidence, gather, shortcomings
from snoop_cli.exits import Exit, Failure
from snoop_cli.images import Source
from snoop_image.evidence import Selection
from snoop_image.model import Inventory
from snoop_image.protected import Protection
from snoop_image.verdict import Judgement, analyze
from snoop_report.model import ContainerReport, Gap, GapCode, Report

_C = TypeVar("_C", bound=Callable[..., Any])
_AS_GAPS = {NOTHING: GapCode.NOT_TRACING, UNDECLARED: GapCode.BLIND_SPOT}
"""What is lacking though the report has no gap for it: with it there is no "unused" either."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict, and what it was made of."""

    judgement: Judgement
    evidence: Evidence
    source: Source

    @property
    def codes(self) -> list[str]:
        """Why the evidence is incomplete."""
        return list(dict.fromkeys(gap.code.value for gap in self.judgement.grade.gaps))


def options(command: _C) -> _C:
    """Add the options of all commands that judge an image; `judge` reads them."""
    for option in (
        click.option(
            "--same-image",
            is_flag=True,
            help="The image is what ran, though its digest is another one than the reports have: say so of an archive "
            "that was converted.",
        ),
        click.option(
            "--shared-layers",
            metavar="N|DIGEST",
            multiple=True,
            callback=_shared,
            help="Layers that other images on the node have too, so that they stay: the lowest N, or one by its "
            "digest; may be repeated.",
        ),
        click.option(
            "--unprotect",
            metavar="GLOB",
            multiple=True,
            help="Paths that only use or hard need keeps, not a rule; may be repeated.",
        ),
        click.option(
            "--protect", metavar="GLOB", multiple=True, help="Paths to keep whatever was seen; may be repeated."
        ),
        click.option(
            "-c",
            "--container",
            metavar="NAME",
            default="",
            help="The container that ran the image, where the reports tell of several.",
        ),
    ):
        command = option(command)
    return images.options(command)


def _shared(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not value.isdecimal() and not value.startswith("sha256:"):
            raise click.BadParameter(f"{value!r} is neither a number of layers nor a digest (sha256:...)")
    return values


def judge(evidence: tuple[str, ...], given: dict[str, Any]) -> Judged:
    """Read reports and image, and judge. Failure says what is wrong with either."""
    source = images.chosen(given)
    found = gather(sources.read(shared.chosen(evidence, given)))
    if not found.reports:
        raise Failure("there is no report")
    name = given["container"]
    with images.failing():
        ran = _digests(found, name)
        source = source.exactly(next(iter(ran)) if len(ran) == 1 and not given["same_image"] else "")
        with images.progress("reading the image") as progress:
            inventory = source.read(progress)
        digest = _meant(ran, source, inventory, given["same_image"])
        judgement = analyze(
            admitted(found),
            inventory,
            Selection(name, digest),
            Protection(given["protect"], given["unprotect"]),
            shared=_layers(given["shared_layers"], inventory),
        )
    return Judged(judgement, found, source)


def admitted(found: Evidence) -> list[Report]:
    """Give the reports, with a gap for what is lacking in a report and has none.

    In every report: one without any container is of no image, and yet its pod may have used this one.
    """
    lacking = [one for report in found.reports for one in shortcomings(report) if one.code in _AS_GAPS]
    gaps = [Gap(_AS_GAPS[one.code], f"{one.pod}: {one.message}", one.since, 1, "") for one in lacking]
    return [replace(report, gaps=[*report.gaps, *gaps]) for report in found.reports]


def _digests(found: Evidence, name: str) -> set[str]:
    return {
        one.digest
        for report in found.reports
        for one in report.containers
        if one.digest and (not name or _is(one, name))
    }


def _is(container: ContainerReport, name: str) -> bool:
    return name in (container.name, container.id)


def _meant(ran: set[str], source: Source, inventory: Inventory, same: bool) -> str:
    """Give the digest by which the reports know the image; empty: whatever the inventory has.

    A pod's status may have the digest of an index, of which the inventory is one platform's image.
    """
    if same:
        if len(ran) > 1:
            raise Failure(f"--same-image: the reports tell of several images: {', '.join(sorted(ran))}")
        return next(iter(ran), "")
    asked = source.reference()
    return asked.digest if asked is not None and asked.digest in ran else ""


def _layers(given: tuple[str, ...], inventory: Inventory) -> list[str]:
    """Give the digests of layers that are shared. Failure if the image has no such layer."""
    known = [one.digest or one.blob for one in inventory.layers]
    every = {digest for one in inventory.layers for digest in (one.digest, one.blob) if digest}
    shared: list[str] = []
    for value in given:
        if value.isdecimal():
            if int(value) > len(known) or not all(known[: int(value)]):
                raise Failure(f"--shared-layers {value}: the image has {len([one for one in known if one])} layers")
            shared += known[: int(value)]
        elif value in every:
            shared.append(value)
        else:
            raise Failure(f"--shared-layers {value}: the image has no such layer")
    return shared


def refuse_incomplete(judged: Judged, what: str) -> None:
    """End the command with status INCOMPLETE if the evidence has gaps: nothing may be left out on its account."""
    if judged.judgement.grade.complete:
        return
    for one in judged.judgement.grade.gaps:
        output.say(f"{one.code.value}: {one.message or one.code.value.replace('_', ' ')}")
    output.say(f"no {what}: {judged.judgement.grade.words}; `snoop report` says what to do")
    sys.exit(Exit.INCOMPLETE)
