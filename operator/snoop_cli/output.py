"""Where output goes: data to standard output as UTF-8, words to standard error.

Colour and widths are for a terminal only. A reader that has gone (`snoop files … | head`) ends the program quietly.
"""

import contextlib
import os
import shutil
import sys
from collections.abc import Iterable, Iterator

import click

from snoop_cli.exits import Exit, Failure
from snoop_cli.spelling import printable

_CHUNK = 1 << 16


def width() -> int:
    """Columns of the terminal that data is written to; 0: it is none, and nothing needs to fit."""
    return shutil.get_terminal_size().columns if _is_terminal() else 0


def _is_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()


def coloured() -> bool:
    """Whether data may carry colour: a terminal that knows it, and no NO_COLOR (https://no-color.org)."""
    return _is_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def style(text: str, colour: str = "", *, bold: bool = False) -> str:
    """Give `text` a colour (click's names) or bold letters, if data may carry that."""
    return click.style(text, fg=colour or None, bold=bold or None) if coloured() else text


def write(pieces: Iterable[str]) -> None:
    """Write data to standard output. Failure if it cannot be written."""
    if sys.stdout is None:  # as after >&-
        raise Failure("cannot write standard output: it is closed")
    stream = sys.stdout.buffer
    try:
        for chunk in chunks(pieces):
            stream.write(chunk)
        stream.flush()
    except BrokenPipeError:
        _forget_stdout()
        sys.exit(Exit.NOBODY_READS)
    except OSError as error:
        _forget_stdout()
        raise Failure(f"cannot write standard output: {error.strerror or error}") from error


def write_lines(lines: Iterable[str]) -> None:
    """Write data, a line each."""
    write(f"{line}\n" for line in lines)


def chunks(pieces: Iterable[str]) -> Iterator[bytes]:
    """Gather small pieces into chunks of UTF-8. A path that is not UTF-8 becomes the bytes that it was."""
    held: list[str] = []
    length = 0
    for piece in pieces:
        held.append(piece)
        length += len(piece)
        if length >= _CHUNK:
            yield "".join(held).encode("utf-8", "surrogateescape")
            held.clear()
            length = 0
    yield "".join(held).encode("utf-8", "surrogateescape")


def say(words: str) -> None:
    """Tell standard error one line. That nobody listens there is no failure."""
    with contextlib.suppress(OSError):
        click.echo(f"snoop: {printable(words)}", err=True)


def _forget_stdout() -> None:
    # What is left in the buffer must not fail again when the interpreter ends.
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
