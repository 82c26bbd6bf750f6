"""Exit statuses, all of them, and the error that ends a command with one line."""

from enum import IntEnum
from typing import IO, Any

import click

from snoop_cli.spelling import printable


class Exit(IntEnum):
    """What the exit status says. `snoop trace` has its command's instead."""

    DONE = 0
    DIFFERENT = 1
    TROUBLE = 2
    INCOMPLETE = 3
    UNUSED = 4
    INTERRUPTED = 130
    """128 + SIGINT, as shells have it."""
    NOBODY_READS = 141
    """128 + SIGPIPE."""


WORDS: dict[Exit, str] = {
    Exit.DONE: "done",
    Exit.DIFFERENT: "diff --exit-code: there are differences",
    Exit.TROUBLE: "wrong usage, or something could not be read or written",
    Exit.INCOMPLETE: "the evidence has gaps: --require-complete, slim, lists of what may go",
    Exit.UNUSED: "analyze --fail-on-unused: more was not seen in use",
    Exit.INTERRUPTED: "ended by Ctrl-C",
    Exit.NOBODY_READS: "whoever read the output has gone (snoop files ... | head)",
}


def statuses() -> str:
    """Make the table of exit statuses at the end of the help."""
    lines = [f"  {status:<4d} {words}" for status, words in WORDS.items()]
    return "\n".join(["\b", "Exit status of all commands but trace:", *lines])


class Failure(click.ClickException):
    """Ends the command; the message is one line that says what is wrong with what."""

    exit_code = Exit.TROUBLE

    def show(self, file: IO[Any] | None = None) -> None:
        """Tell standard error."""
        click.echo(f"snoop: {printable(self.message)}", file=file, err=file is None)
