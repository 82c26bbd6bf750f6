"""Where reports come from. A source gives reports; the commands do not know whether it reads a file or a cluster.

Today there are files and standard input; what an argument means is decided in `choose` alone.
"""

import gc
import json
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import click

from snoop_cli.exits import Failure
from snoop_cli.output import say
from snoop_cli.spelling import shown
from snoop_report.codec import FormatError, report_from_dict
from snoop_report.model import Report

LIMIT = 1 << 30
"""Bytes of one file: some 4 million observations. A pipe may never end."""
_BLANK = " \t\r\n"
_MANY = 16
"""Files from which on a terminal is shown how far the reading is."""


class Source(Protocol):
    """Something that gives reports."""

    @property
    def name(self) -> str:
        """As a person would name it, printable."""

    def reports(self) -> Iterator[Report]:
        """Read it. Failure if it cannot be read or holds no report."""


@dataclass(frozen=True, slots=True)
class FileSource:
    """A report file, or several reports one after the other in one (as `snoop-operator report` prints them)."""

    path: Path

    @property
    def name(self) -> str:
        """The path, printable."""
        return shown(str(self.path))

    def reports(self) -> Iterator[Report]:
        """Read them."""
        try:
            with self.path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
                    raise Failure(f"{self.name} is a device: there is no report in it")
                raw = _content(self.name, file)
        except IsADirectoryError as error:
            raise Failure(f"{self.name} is a directory: name the report files in it") from error
        except (OSError, ValueError) as error:
            raise Failure(f"cannot read {self.name}: {getattr(error, 'strerror', '') or error}") from error
        return parse(self.name, raw)


@dataclass(frozen=True, slots=True)
class StandardInput:
    """What is piped in."""

    name: str = "standard input"

    def reports(self) -> Iterator[Report]:
        """Read it to its end."""
        if sys.stdin is None:
            raise Failure("cannot read standard input: it is closed")
        if sys.stdin.isatty():
            say("reading a report from the terminal; end it with Ctrl-D")
        try:
            raw = _content(self.name, sys.stdin.buffer)
        except OSError as error:
            raise Failure(f"cannot read {self.name}: {error.strerror or error}") from error
        return parse(self.name, raw)


def choose(arguments: Sequence[str]) -> list[Source]:
    """Tell what each argument names. Failure if one is named twice that can be read only once."""
    if "" in arguments:
        raise Failure("the name of a file is empty")
    if arguments.count("-") > 1:
        raise Failure("standard input (-) can be read only once")
    return [StandardInput() if one == "-" else FileSource(Path(one)) for one in arguments]


def read(sources: Sequence[Source]) -> Iterator[Report]:
    """Read all, one after the other; if they are many, a terminal is shown how far it is."""
    # Nothing of what is read is garbage, and looking for some in 100,000 observations takes half of the time.
    gc.disable()
    try:
        if len(sources) < _MANY or not sys.stderr.isatty():
            yield from _read(sources)
        else:
            with click.progressbar(sources, label="reading reports", file=sys.stderr) as bar:
                yield from _read(bar)
    finally:
        gc.freeze()
        gc.enable()


def _read(sources: Iterable[Source]) -> Iterator[Report]:
    for source in sources:
        yield from source.reports()


def _content(name: str, file: IO[bytes]) -> bytes:
    raw = file.read(LIMIT + 1)
    if len(raw) > LIMIT:
        raise Failure(f"{name} is larger than {LIMIT >> 30} GiB: not a report")
    return raw


def parse(name: str, raw: bytes) -> Iterator[Report]:
    """Read the reports in `raw`, one JSON document after the other. Failure, with `name`, if it is anything else."""
    try:
        text = raw.decode(json.detect_encoding(raw))
    except UnicodeDecodeError as error:
        raise Failure(f"{name}: not JSON: not UTF-8 at byte {error.start}") from error
    del raw
    decoder = json.JSONDecoder()
    position = _skip(text, 0)
    if position == len(text):
        raise Failure(f"{name} is empty: there is no report in it")
    while position < len(text):
        try:
            document, position = decoder.raw_decode(text, position)
            position = _skip(text, position)
            if not isinstance(document, dict) or "containers" not in document:
                # To the codec an empty object is an empty report. As evidence it would make everything unused.
                raise FormatError("JSON, but not a report: it has no `containers`")
            report = report_from_dict(document)
        except (ValueError, RecursionError) as error:
            words = error if isinstance(error, FormatError) else f"not JSON: {error}"
            raise Failure(f"{name}: {words}") from error
        yield report


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position] in _BLANK:
        position += 1
    return position
