"""The command line: `snoop`, also called by kubectl as `kubectl snoop`. Each command has its own module."""

import importlib
import sys
from pathlib import PurePath

import click

from snoop_cli.completion import PROGRAM, VARIABLE
from snoop_cli.exits import Exit, statuses
from snoop_report.version import version

_PLUGIN = "kubectl-snoop"
COMMANDS = ("report", "files", "analyze", "why", "slim", "diff", "merge", "trace", "completion")
"""Each is a function of that name in a module of that name."""


class _Commands(click.Group):
    """Loads a command when it is asked for: `trace` needs nothing of what reads images."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        return command(cmd_name) if cmd_name in COMMANDS else None


def command(name: str) -> click.Command:
    """Load the command of that name, one of those that `--help` lists."""
    found = getattr(importlib.import_module(f"snoop_cli.{name}"), name)
    assert isinstance(found, click.Command)
    return found


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]}, epilog=statuses())
@click.version_option(version(), prog_name=PROGRAM)
def cli() -> None:
    """Tell which files a program or a container image really uses, with proof.

    Data goes to standard output, everything else to standard error.
    """


def main() -> None:
    """Run the command line; console script of `snoop` and `kubectl-snoop`."""
    name = "kubectl snoop" if PurePath(sys.argv[0]).name == _PLUGIN else PROGRAM
    try:
        # Completion looks for a variable that is named after the program, so its name there is always the same one.
        status = cli.main(prog_name=name, standalone_mode=False, complete_var=VARIABLE)
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        status = Exit.INTERRUPTED
    sys.exit(status)


if __name__ == "__main__":
    main()
