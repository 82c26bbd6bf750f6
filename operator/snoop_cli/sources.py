"""Where reports come from. A source gives reports; the commands do not know whether it reads a file or a cluster.

What an argument means is decided in `choose` alone: a file, standard input, or a profile of a cluster.
"""

import gc
import json
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import click

from snoop_cli.exits import Failure
from snoop_cli.output import say
from snoop_cli.place import Place
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


_PROFILE = re.compile(r"(?:(sp|snoopprofiles?|snoopprofile\.snoop\.dev)/)?([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)")


def choose(arguments: Sequence[str], place: Place | None = None) -> list[Source]:
    """Tell what each argument names. Failure if one is named twice that can be read only once.

    With `place` (kubectl's flags) an argument may be a profile: `sp/NAME`, or a NAME that is no file and looks like
    none; any NAME, if a flag says that a cluster is meant. Without arguments, such a flag means all profiles.
    """
    if "" in arguments:
        raise Failure("the name of a file is empty")
    if arguments.count("-") > 1:
        raise Failure("standard input (-) can be read only once")
    profiles = {one: _profile(one, place) for one in arguments} if place is not None else {}
    if place is None or not (any(profiles.values()) or not arguments):
        return [_file(one) for one in arguments]
    # Only here: the Kubernetes client takes half a second to load.
    from snoop_cli.cluster import Cluster, ProfileSource

    cluster = Cluster(place)
    if not arguments:
        listed = cluster.profiles()
        if not listed:
            where = "the cluster" if place.every_namespace else f"namespace {cluster.namespace}"
            raise Failure(f"there is no SnoopProfile in {where}{' with these labels' if place.labels else ''}")
        return [ProfileSource(cluster, namespace, name) for namespace, name in listed]
    if place.every_namespace or place.labels:
        raise Failure("a profile is either named, or chosen by -A or -l")
    return [
        ProfileSource(cluster, cluster.namespace, profiles[one]) if profiles[one] else _file(one) for one in arguments
    ]


def _file(argument: str) -> Source:
    return StandardInput() if argument == "-" else FileSource(Path(argument))


def _profile(argument: str, place: Place) -> str:
    """Name the profile that an argument means; empty if it means none."""
    match = _PROFILE.fullmatch(argument)
    if match is None:
        return ""
    if match[1] or place.given:
        return match[2]
    return match[2] if "." not in argument and not os.path.lexists(argument) else ""


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
