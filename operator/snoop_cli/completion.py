"""Completion: scripts for shells, which are click's own, and answers to kubectl, which asks its plugins."""

import sys

import click
from click.shell_completion import ShellComplete, get_completion_class

from snoop_cli import output
from snoop_cli.exits import Failure
from snoop_cli.options import examples

PROGRAM = "snoop"
VARIABLE = "_SNOOP_COMPLETE"
# Directives of kubectl's completion: github.com/spf13/cobra, completions.go (ShellCompDirective).
_DEFAULT, _NO_FILES, _DIRECTORIES = 0, 4, 16

_HOW = {
    "bash": "source <(snoop completion bash)",
    "zsh": "source <(snoop completion zsh)",
    "fish": "snoop completion fish | source",
}


@click.command(
    epilog=examples(
        "source <(snoop completion bash)                   in ~/.bashrc",
        "source <(snoop completion zsh)                    in ~/.zshrc",
        "snoop completion fish > ~/.config/fish/completions/snoop.fish",
    )
)
@click.argument("shell", type=click.Choice(list(_HOW)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script for a shell.

    SHELL then completes snoop's commands, options and files.

    For `kubectl snoop`, nothing needs to be set up but kubectl's own completion (1.26 or newer): it asks
    `kubectl_complete-snoop`, which is installed beside `snoop`.
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise Failure(f"click knows no completion for {shell}")
    root = context.find_root().command
    try:
        source = kind(root, {}, PROGRAM, VARIABLE).source()
    except (OSError, RuntimeError) as error:
        raise Failure(f"cannot make the script for {shell}: {error}") from error
    output.write([source, "\n"])


def kubectl() -> None:
    """Answer kubectl; console script `kubectl_complete-snoop`, called with the words so far, the last one to complete.

    The protocol is that of cobra's `__complete`: a candidate a line, after a tab its description, at the end a colon
    and a directive. https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/
    """
    from snoop_cli.main import cli

    words = sys.argv[1:] or [""]
    output.write_lines(answer(cli, words[:-1], words[-1]))


def answer(command: click.Command, words: list[str], incomplete: str) -> list[str]:
    """Make the lines that tell kubectl how to go on after `words`."""
    items = ShellComplete(command, {}, PROGRAM, VARIABLE).get_completions(words, incomplete)
    lines = []
    directive = _NO_FILES
    for item in items:
        if item.type == "file":
            directive = _DEFAULT
        elif item.type == "dir":
            directive = _DIRECTORIES
        else:
            about = " ".join((item.help or "").split())
            lines.append(f"{item.value}\t{about}" if about else str(item.value))
    return [*lines, f":{directive}"]
