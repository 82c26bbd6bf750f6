"""The child process: reads an image from its registry, or judges one by the evidence in the store.

It is told what to do by one line of JSON on stdin (credentials never stand in a command line) and answers on stdout.
Its memory is bounded, and goes back to the system with it: an image of 200,000 files takes 200 MiB for some seconds.
"""

import base64
import contextlib
import json
import os
import re
import resource
import sys
from pathlib import Path
from typing import Any

from snoop_image import codec, reference
from snoop_image.credentials import keyring_of
from snoop_image.evidence import Selection
from snoop_image.inventory import Limits, Platform, Transport, read_registry
from snoop_image.links import resolve
from snoop_image.model import ImageError, Inventory
from snoop_image.packageuse import PackageUse
from snoop_image.verdict import analyze
from snoop_operator.store import images
from snoop_operator.store.engine import sqlite_engine, transaction
from snoop_operator.store.interface import StoreError
from snoop_report.model import Outcome, Report

DONE = 0
FAILED = 3
"""The answer is a sentence for people."""
NO_MEMORY = 4
DAMAGED = 5
"""The inventory in the store cannot be read: fetch it again."""

# The work directory is a volume of a few GiB. A bigger file is told in a note of the inventory.
_LIMITS = Limits(temporary=2 << 30)
_NOTE = 300
_STARVED = (
    "can't start new thread",
    "out of memory",
    "cannot allocate memory",
    "not enough memory",
    "allocation error",
)
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# The program interpreters of glibc and musl: their names tell the processor.
_LOADER = re.compile(r"/ld(64)?(-linux[\w-]*|-musl-\w+)?\.so\.\d+\Z")


def main() -> int:
    """Do what stdin says; the exit status is one of the constants above."""
    task: dict[str, Any] = json.loads(sys.stdin.readline())
    # If memory runs out in spite of the bound, the operator itself is to live on.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    resource.setrlimit(resource.RLIMIT_DATA, (task["memory"], task["memory"]))
    try:
        answer = _fetch(task) if task["do"] == "fetch" else _judge(task)
    except Exception as error:
        if _starved(error):
            return NO_MEMORY
        if not isinstance(error, ImageError | StoreError | _DamagedError):
            raise
        answer = str(error).encode("utf-8", "replace")
        status = DAMAGED if isinstance(error, _DamagedError) else FAILED
    else:
        status = DONE
    sys.stdout.buffer.write(answer)
    sys.stdout.buffer.flush()
    return status


def _starved(error: BaseException | None) -> bool:
    """Whether it was for want of memory: libraries in C, and threads, say so each in their own way."""
    while error is not None:
        text = str(error).lower()
        if isinstance(error, MemoryError) or any(words in text for words in _STARVED):
            return True
        error = error.__cause__ or error.__context__
    return False


class _DamagedError(Exception):
    """The inventory is not what was kept."""


def _fetch(task: dict[str, Any]) -> bytes:
    keyring = keyring_of((name, base64.b64decode(content)) for name, content in task["secrets"])
    named = reference.parse(f"{task['image'].partition('@')[0]}@{task['digest']}")
    ca_file = Path(task["ca_file"]) if task["ca_file"] else None
    transport = Transport(
        plain_http=task["plain_http"],
        ca_file=ca_file,
        connect_seconds=5,
        read_seconds=30,
        total_seconds=task["seconds"],
        attempts=3,
        longest_wait=10,
    )
    # Nodes of our own kind; for others see _foreign.
    machine = os.uname().machine
    platform = Platform(_ARCHITECTURES.get(machine, machine))
    return codec.dumps(read_registry(named, platform, keyring, transport, limits=_LIMITS))


def _judge(task: dict[str, Any]) -> bytes:
    digest: str = task["digest"]
    engine = sqlite_engine(Path(task["store"]), "BEGIN")
    try:
        with transaction(engine) as connection:
            content = images.content(connection, digest)
            reports = images.reports(connection, digest, task["pods"], task["now"])
    finally:
        engine.dispose()
    if content is None:
        raise _DamagedError("the inventory is gone")
    try:
        inventory = codec.loads(content)
    except ImageError as error:
        raise _DamagedError(str(error)) from error
    foreign = _foreign(reports, inventory)
    if foreign:
        raise ImageError(
            f"{inventory.source}: {foreign} was seen in use and is not in the image as it is for "
            f"{inventory.config.architecture or 'this platform'}: it ran on a node of another architecture, or another "
            "file system was mounted over it"
        )
    judgement = analyze(reports, inventory, Selection(digest=digest))
    counts = judgement.totals.counts
    complete = judgement.grade.complete
    every, kept = counts.of(), counts.kept
    answer = {
        "files": every.files,
        "bytes": every.bytes,
        "bytes_kept": kept.bytes,
        "bytes_unused": judgement.totals.unused if complete else 0,
        "packages_unused": sum(one.use is PackageUse.UNUSED for one in judgement.packages) if complete else 0,
        "complete": complete,
        "notes": len(judgement.notes),
        "note": judgement.notes[0][:_NOTE] if judgement.notes else "",
    }
    return json.dumps(answer).encode()


def _foreign(reports: list[Report], inventory: Inventory) -> str:
    """Name a program interpreter that ran and that the image does not have: the evidence is another platform's then.

    An index's digest is the same on all nodes, whatever they are; what was read is the image of our own platform.
    """
    for report in reports:
        for container in report.containers:
            for seen in container.observations.values():
                if seen.outcome is not Outcome.EXISTS or seen.volume or not _LOADER.search(seen.path):
                    continue
                if not resolve(inventory.entries, seen.path).found:
                    return seen.path
    return ""


if __name__ == "__main__":
    sys.exit(main())
