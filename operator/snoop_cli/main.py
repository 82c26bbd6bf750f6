"""The command line: `snoop`, also called by kubectl as `kubectl snoop`. Each command has its own module."""

import sys
from pathlib import PurePath

import click

from snoop_cli.analyze import analyze
from snoop_cli.completion import PROGRAM, VARIABLE, completion
from snoop_cli.diff import diff
from snoop_cli.exits import Exit, statuses
from snoop_cli.files import files
from snoop_cli.merge import merge
from snoop_cli.report import report
from snoop_cli.slim import slim
from snoop_cli.trace import trace
from snoop_cli.why import why
from snoop_report.version import version

_PLUGIN = "kubectl-snoop"


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=statuses())
@click.version_option(version(), prog_name=PROGRAM)
def cli() -> None:
    """Tell which files a program or a container image really uses, with proof.

    Data goes to standard output, everything else to standard error.
    """


for _command in (report, files, analyze, why, slim, diff, merge, trace, completion):
    cli.add_command(_command)


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
