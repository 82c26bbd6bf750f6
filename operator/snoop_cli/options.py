"""Options that several commands share, and what they have to say about evidence in general."""

import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from snoop_cli import output
from snoop_cli.evidence import Evidence
from snoop_cli.exits import Exit, Failure
from snoop_cli.place import OPERATOR, Place
from snoop_cli.sources import Source, choose
from snoop_cli.spelling import several
from snoop_cli.uses import Selection, unknown_containers, unnamed
from snoop_report.model import Kind, Outcome
from snoop_report.paths import normalise

_C = TypeVar("_C", bound=Callable[..., Any])
EVIDENCE = click.Path(path_type=str, readable=False, allow_dash=True)
"""An argument that names evidence; `sources.choose` tells what it is."""


def examples(*lines: str) -> str:
    """Make the examples at the end of a command's help."""
    # Click leaves a paragraph as it is that begins with this.
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def in_cluster(*, several: bool = True) -> Callable[[_C], _C]:
    """Add kubectl's flags; `place` reads them. `several`: profiles can be chosen as well as named."""
    options = [
        click.option("-n", "--namespace", default="", metavar="NAME", help="Namespace of the profile."),
        *(
            [
                click.option("-A", "--all-namespaces", is_flag=True, help="All profiles of the cluster."),
                click.option("-l", "--selector", default="", metavar="LABELS", help="Profiles with these labels."),
            ]
            if several
            else []
        ),
        click.option("--context", default="", metavar="NAME", help="Context of the kubeconfig."),
        click.option("--kubeconfig", default="", metavar="FILE", help="The kubeconfig. [default: as kubectl]"),
        click.option(
            "--operator",
            default=OPERATOR,
            show_default=True,
            metavar="NAMESPACE/SERVICE",
            envvar="SNOOP_OPERATOR",
            help="Where Snoop's operator is.",
        ),
    ]

    def add(command: _C) -> _C:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def place(chosen: dict[str, Any]) -> Place:
    """Read what `in_cluster` added to a command's arguments, and take it out of them."""
    where = Place(
        kubeconfig=chosen.pop("kubeconfig"),
        context=chosen.pop("context"),
        namespace=chosen.pop("namespace"),
        every_namespace=chosen.pop("all_namespaces", False),
        labels=chosen.pop("selector", ""),
        operator=chosen.pop("operator"),
    )
    if where.every_namespace and where.namespace:
        raise click.UsageError("-n names one namespace, and -A means all")
    if not re.fullmatch(r"[a-z0-9][-a-z0-9]*/[a-z0-9][-a-z0-9]*", where.operator):
        raise click.UsageError(f"--operator {where.operator!r} is not NAMESPACE/SERVICE")
    return where


def chosen(arguments: Sequence[str], options: dict[str, Any]) -> list[Source]:
    """Tell what the arguments mean, by the flags of `in_cluster`, which are taken out of `options`."""
    where = place(options)
    if not arguments and not where.given:
        raise click.UsageError("name a profile or a report file; -n, -A or -l without a name mean all profiles")
    return choose(arguments, where)


def output_format(*forms: str) -> Callable[[_C], _C]:
    """Add `-o`; the first form is what it is without."""
    return click.option(
        "-o", "--output", "form", type=click.Choice(forms), default=forms[0], show_default=True, help="Output format."
    )


def require_complete(command: _C) -> _C:
    """Add `--require-complete`; `settle` acts on it."""
    return click.option(
        "--require-complete", is_flag=True, help=f"Exit with {Exit.INCOMPLETE:d} if anything may be missing."
    )(command)


def _absolute(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not value.startswith("/"):
            raise click.BadParameter(f"{value!r} does not begin with /, as every path in a container does")
    return tuple(normalise(value) for value in values)


def selecting(*, outcome: str) -> Callable[[_C], _C]:
    """Add the options that choose uses; `outcome` is what is wanted by default. `selection` reads them."""
    options = [
        click.option(
            "-c",
            "--container",
            "containers",
            multiple=True,
            metavar="NAME",
            help="Only this container: its name, or the first 8 or more characters of its ID. This and the next four "
            "options may be repeated.",
        ),
        click.option(
            "--kind",
            "kinds",
            multiple=True,
            metavar="KIND",
            type=click.Choice([one.value for one in Kind]),
            help=f"Only such use: {', '.join(Kind)}.",
        ),
        click.option(
            "--outcome",
            "outcomes",
            multiple=True,
            default=[outcome],
            show_default=True,
            metavar="OUTCOME",
            type=click.Choice([*(one.value for one in Outcome), "any"]),
            help=f"Only what was answered so: {', '.join(Outcome)}, or any.",
        ),
        click.option(
            "--under", multiple=True, metavar="DIR", callback=_absolute, help="Only DIR and what lies below it."
        ),
        click.option(
            "--match",
            "globs",
            multiple=True,
            metavar="GLOB",
            help="Only paths that GLOB matches; without a slash in it, paths whose last part it matches. "
            "`*` goes across slashes.",
        ),
    ]

    def add(command: _C) -> _C:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def selection(chosen: dict[str, Any]) -> Selection:
    """Read what `selecting` added to a command's arguments."""
    outcomes = chosen["outcomes"]
    return Selection(
        containers=chosen["containers"],
        kinds=tuple(map(Kind, chosen["kinds"])),
        outcomes=() if "any" in outcomes else tuple(map(Outcome, outcomes)),
        under=chosen["under"],
        globs=chosen["globs"],
    )


def check_containers(wanted: Selection, *pieces: Evidence) -> None:
    """Refuse a container that none of the `pieces` knows: an empty list would be taken for "uses nothing"."""
    everything = Evidence(tuple(report for evidence in pieces for report in evidence.reports))
    for text in unknown_containers(wanted, everything):
        names = sorted({one.name or one.id[:12] for report in everything.reports for one in report.containers})
        raise Failure(f"there is no container {text}; the evidence has {', '.join(names) or 'none'}")
    nameless = list(unnamed(everything)) if wanted.containers else []
    if nameless:
        words = several(len(nameless), "container", "containers")
        output.say(f"{words} whose name is not known may be left out: {', '.join(one.id[:12] for one in nameless)}")


def settle(evidence: Evidence, required: bool, *, label: str = "the evidence") -> None:
    """Say that something may be missing, if so; exit if completeness is `required`."""
    codes = list(dict.fromkeys(one.code for one in evidence.shortcomings))
    if not codes:
        return
    words = "what is not listed may have been used all the same"
    output.say(f"{label} is incomplete ({', '.join(codes)}): {words}; `snoop report` says more")
    if required:
        sys.exit(Exit.INCOMPLETE)
