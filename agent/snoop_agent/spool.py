"""Files that are whole or not there: the report, and whatever else the agent keeps.

A file is written beside its place, synced if it must outlive the machine's next crash, and renamed. The report is
streamed, one observation a line, so that 100,000 of them are never in memory as text.
"""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from snoop_agent.recorder import Recorder
from snoop_report.codec import observation_to_dict, report_to_dict
from snoop_report.paths import escape

_CHUNK = 1 << 16


class SpoolError(OSError):
    """A file could not be written; the message says which and why."""


def write(path: Path, chunks: Iterable[bytes], *, sync: bool = True, limit: int = 0) -> int:
    """Replace `path` as a whole by `chunks`; give its size in bytes.

    SpoolError if that fails, or if it would grow beyond `limit` (0: any size): what was there then stays.
    """
    beside = path.with_name(f".{path.name}.part")
    size = 0
    try:
        with beside.open("wb", buffering=_CHUNK) as file:
            for chunk in chunks:
                size += len(chunk)
                if limit and size > limit:
                    raise SpoolError(f"{path} would be larger than {limit} bytes")
                file.write(chunk)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        beside.replace(path)
        if sync:
            _sync_directory(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        if isinstance(error, SpoolError):
            raise
        raise SpoolError(f"cannot write {path}: {error.strerror or error}") from error
    return size


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def report_chunks(recorder: Recorder) -> Iterator[bytes]:
    """Write everything that `recorder` knows as a report, piece by piece. `snoop_report.codec` reads it."""
    report, containers = recorder.whole()
    report.containers = [shaped for shaped, _ in containers]
    # The codec shapes all but what is large: the observations, and the lists that follow from them.
    shaped = report_to_dict(report, derived=False)
    listed = shaped.pop("containers")
    yield b"{\n"
    for key, value in shaped.items():
        yield f" {json.dumps(key)}: {_compact(value)},\n".encode()
    yield b' "containers": ['
    for number, (head, (_, ledger)) in enumerate(zip(listed, containers, strict=True)):
        head.pop("observations")
        yield b",\n  {\n" if number else b"\n  {\n"
        for key, value in head.items():
            yield f"   {json.dumps(key)}: {_compact(value)},\n".encode()
        count = 0
        yield b'   "files": ['
        for count, path in enumerate(ledger.existing(), 1):
            yield _line(count, _compact(escape(path)))
        yield f'\n   ],\n   "unique_files": {count},\n   "missing": ['.encode()
        for place, path in enumerate(ledger.missing(), 1):
            yield _line(place, _compact(escape(path)))
        yield b'\n   ],\n   "observations": ['
        for place, seen in enumerate(ledger.observations(), 1):
            yield _line(place, _compact(observation_to_dict(seen)))
        yield b"\n   ]\n  }"
    yield b"\n ]\n}\n"


def _line(number: int, text: str) -> bytes:
    return f"{',' if number > 1 else ''}\n    {text}".encode()


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))
