"""`snoop trace`: runs a command and records what it uses. `snoop_agent.local` does the work."""

import logging
import os
import sys
from pathlib import Path

import click

from snoop_agent.settings import DEFAULT_EXCLUDE
from snoop_report.version import version


def _seconds(_context: click.Context, _parameter: click.Parameter, value: str) -> float:
    text = value.removesuffix("s")
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 86400:
        raise click.BadParameter(f"{value!r} is not a number of seconds from 0.1 to 86400")
    return seconds


@click.command(context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False})
@click.option(
    "--report", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write the report (JSON) to FILE."
)
@click.option(
    "--rootfs",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Run CMD with DIR as its root directory; paths are told from there.",
)
@click.option(
    "--interval",
    default="30",
    show_default=True,
    metavar="SECONDS",
    callback=_seconds,
    help="Write the report this often while CMD runs.",
)
@click.option(
    "--exclude",
    default=DEFAULT_EXCLUDE,
    show_default=True,
    metavar="PREFIXES",
    help="Comma-separated path prefixes that are not recorded.",
)
@click.option(
    "--attach",
    type=click.Choice(["auto", "fexit", "raw_tp", "tracepoint"]),
    default="auto",
    show_default=True,
    help="How to attach to the kernel.",
)
@click.option("--verbose", is_flag=True, help="Say more on standard error.")
@click.argument("command", nargs=-1, required=True, metavar="-- CMD [ARG]...", type=click.UNPROCESSED)
def trace(
    report: Path | None,
    rootfs: Path | None,
    interval: float,
    exclude: str,
    attach: str,
    verbose: bool,
    command: tuple[str, ...],
) -> None:
    """Run CMD and record every file that it and its children touch.

    CMD runs in a cgroup of its own and is seen from its first instruction. No Kubernetes, no network; root only.
    A short summary goes to standard error.

    Exit status: that of CMD; 128+N if signal N ended it; 127 if CMD was not found, 126 if it cannot be executed, 125 if
    snoop itself failed.

    Example: sudo snoop trace --report used.json -- python3 -c 'import ssl'
    """
    logging.basicConfig(level=logging.DEBUG if verbose else logging.WARNING, format="snoop: %(levelname)s: %(message)s")
    from snoop_agent import local

    options = local.Options(
        command=command,
        report=report,
        rootfs=rootfs,
        interval=interval,
        exclude=tuple(prefix for prefix in exclude.split(",") if prefix),
        attach=attach,
    )
    try:
        outcome = local.trace(options, version())
    except local.TraceError as error:
        click.echo(f"snoop: {error}", err=True)
        sys.exit(error.status)
    _say(local.summary(options, outcome), *(f"snoop: {warning}" for warning in outcome.warnings))
    sys.exit(outcome.status or (local.STATUS_FAILED if outcome.warnings else 0))


def _say(*lines: str) -> None:
    """Tell standard error. If nobody listens any more, the exit status is still the command's."""
    try:
        for line in lines:
            click.echo(line, err=True)
    except OSError:
        # What is left in the buffer must not fail again at exit.
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - the process ends with it
