"""Deltas that the operator has not acknowledged yet, in order, in a directory that outlives the agent's process.

A delta with evidence is a file before it is posted, and is synced to disk if the first post fails: a killed agent loses
nothing that it has put here, and the next run posts it first, under the old run's name. Heartbeats stay in memory. A
number (`sequence`) once posted never stands for other content, and numbers are posted in rising order. Thread-safe.
"""

import contextlib
import logging
import os
import re
import threading
from dataclasses import dataclass, replace
from pathlib import Path

from snoop_agent import spool
from snoop_report.codec import FormatError, dumps_delta, loads_delta
from snoop_report.model import Delta, Report

LOG = logging.getLogger(__name__)

LIMIT_BYTES = 64 << 20
LIMIT_BYTES_IN_MEMORY = 8 << 20
LIMIT_COUNT = 256

_NAME = re.compile(r"(?P<run>\d{6})-(?P<boot>[0-9a-f]+)-(?P<sequence>\d{8})\.json")


@dataclass(slots=True, eq=False)
class Pending:
    """One delta that waits."""

    run: int
    boot: str
    sequence: int
    size: int
    """Bytes of JSON."""
    full: bool = False
    final: bool = False
    body: bytes | None = None
    """Only where there is no file: heartbeats, and what could not be written."""
    synced: bool = False

    @property
    def name(self) -> str:
        """Name of its file. Sorted by name, files are in the order of posting."""
        return f"{self.run:06d}-{self.boot}-{self.sequence:08d}.json"


class Outbox:
    """What waits to be posted. `directory` is made if need be."""

    def __init__(self, directory: Path, run: int, boot: str) -> None:
        self._directory = directory
        self._run = run
        self._boot = boot
        self._sequence = 0
        self._lock = threading.Lock()
        self._waiting: list[Pending] = []
        self._seen = ("", 0)
        self.left_over = 0
        """Deltas found from earlier runs."""
        self.lost = 0
        """Deltas that could not be read back, or that the operator refused for good."""
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._read_back()
        except OSError as error:
            LOG.warning("the outbox %s cannot be used (%s): deltas wait in memory", directory, error.strerror)

    def _read_back(self) -> None:
        for path in sorted(self._directory.iterdir()):
            found = _NAME.fullmatch(path.name)
            if not found:
                path.unlink(missing_ok=True)  # half of a write
                continue
            size = path.stat().st_size
            self._waiting.append(Pending(int(found["run"]), found["boot"], int(found["sequence"]), size, synced=True))
        self.left_over = len(self._waiting)

    def __len__(self) -> int:
        with self._lock:
            return len(self._waiting)

    @property
    def next_sequence(self) -> int:
        """The number that the next delta will have."""
        with self._lock:
            return self._sequence + 1

    @property
    def room(self) -> bool:
        """Whether more may be put in. What does not fit stays in the recorder."""
        with self._lock:
            size = sum(one.size for one in self._waiting)
            in_memory = sum(one.size for one in self._waiting if one.body is not None)
            return len(self._waiting) < LIMIT_COUNT and size < LIMIT_BYTES and in_memory < LIMIT_BYTES_IN_MEMORY

    def put(self, report: Report, *, final: bool = False, full_since: int = 0, more: bool = False) -> None:
        """Add a delta. `full_since`: the sequence of the first part of everything; 0: this is no part of that."""
        full = full_since > 0
        evidence = any(container.observations for container in report.containers)
        with self._lock:
            self._sequence += 1
            delta = Delta(self._boot, self._sequence, report, full, final, full_since, more and full, *self._seen)
            body = dumps_delta(delta)
            pending = Pending(self._run, self._boot, self._sequence, len(body), full=full, final=final)
            self._store(pending, body, durable=evidence)
            self._waiting.append(pending)

    def acknowledged_by(self, store: str, revision: int) -> None:
        """Note which store has answered, and how far it had got: later deltas remind it."""
        with self._lock:
            known, highest = self._seen
            self._seen = (store, max(revision, highest if known == store else 0))

    def first(self) -> tuple[Pending, bytes] | None:
        """Give the delta to post next, with its JSON."""
        with self._lock:
            while self._waiting:
                pending = self._waiting[0]
                if pending.body is not None:
                    return pending, pending.body
                try:
                    body = (self._directory / pending.name).read_bytes()
                    if pending.run != self._run:
                        loads_delta(body)  # the machine may have crashed in the middle of it
                except (OSError, FormatError) as error:
                    LOG.error("a delta in the outbox cannot be read back, and is lost: %s", error)
                    self.lost += 1
                    self._remove(pending)
                    continue
                return pending, body
            return None

    def done(self, pending: Pending) -> None:
        """Forget a delta: it was acknowledged."""
        with self._lock:
            self._remove(pending)

    def refused(self, pending: Pending) -> None:
        """Give up the observations of a delta that the operator will never take, but not its number.

        A number that never came would make the operator ask for everything, this delta included, again and again.
        """
        with self._lock:
            self.lost += 1
            body = self._body(pending)
            if pending not in self._waiting or body is None:
                return
            delta = loads_delta(body)
            if not any(one.observations for one in delta.report.containers):
                self._remove(pending)
                return
            bare = [replace(one, observations={}) for one in delta.report.containers]
            report = replace(delta.report, containers=bare)
            self._store(pending, dumps_delta(replace(delta, report=report)))

    def failed(self, pending: Pending) -> None:
        """Make sure that a delta which must wait survives the machine as well."""
        if pending.body is not None or pending.synced:
            return
        with contextlib.suppress(OSError):
            descriptor = os.open(self._directory / pending.name, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        pending.synced = True

    def split(self, pending: Pending) -> bool:
        """Put two halves in the place of a delta that is too large for the operator. False if it cannot be halved."""
        with self._lock:
            if pending not in self._waiting:
                return True  # dropped meanwhile
            body = self._body(pending)
            if body is None:
                return False
            delta = loads_delta(body)
            first, second = halves(delta.report)
            if second is None:
                return False
            place = self._waiting.index(pending)
            followers = [one for one in self._waiting[place + 1 :] if one.boot == pending.boot]
            # Nothing behind the head was posted yet, so its numbers are free to move: from the last one down.
            for one in reversed(followers):
                self._renumber(one, one.sequence + 1)
            tail = replace(pending, sequence=pending.sequence + 1, body=None, synced=False)
            self._store(tail, dumps_delta(replace(delta, sequence=tail.sequence, report=second)))
            self._waiting.insert(place + 1, tail)
            self._store(pending, dumps_delta(replace(delta, report=first, final=False, more=delta.full)))
            pending.final = False
            if pending.boot == self._boot:
                self._sequence += 1
            return True

    def drop_own(self) -> None:
        """Forget what waits of this run, because everything is about to be sent again."""
        with self._lock:
            for pending in [one for one in self._waiting if one.boot == self._boot]:
                self._remove(pending)

    def _body(self, pending: Pending) -> bytes | None:
        """Give a delta's JSON; None if it cannot be read back."""
        try:
            body = pending.body if pending.body is not None else (self._directory / pending.name).read_bytes()
            loads_delta(body)
        except (OSError, FormatError):
            return None
        return body

    def _store(self, pending: Pending, body: bytes, *, durable: bool = True) -> None:
        pending.size = len(body)
        pending.body = None
        if durable:
            try:
                spool.write(self._directory / pending.name, [body], sync=False)
                return
            except spool.SpoolError as error:
                LOG.debug("a delta waits in memory: %s", error)
        pending.body = body

    def _renumber(self, pending: Pending, sequence: int) -> None:
        path = self._directory / pending.name
        body = pending.body if pending.body is not None else path.read_bytes()
        durable = pending.body is None
        pending.sequence = sequence
        self._store(pending, dumps_delta(replace(loads_delta(body), sequence=sequence)), durable=durable)
        if durable:
            path.unlink(missing_ok=True)

    def _remove(self, pending: Pending) -> None:
        if pending in self._waiting:
            self._waiting.remove(pending)
        with contextlib.suppress(OSError):
            (self._directory / pending.name).unlink(missing_ok=True)


def halves(report: Report) -> tuple[Report, Report | None]:
    """Halve a report by its observations; counters and gaps are in both. None: there is nothing to halve."""
    total = sum(len(container.observations) for container in report.containers)
    if total < 2:
        return report, None
    first, second, seen = [], [], 0
    for container in report.containers:
        cut = max(0, min(len(container.observations), total // 2 - seen))
        seen += len(container.observations)
        items = list(container.observations.items())
        first.append(replace(container, observations=dict(items[:cut])))
        second.append(replace(container, observations=dict(items[cut:])))
    return replace(report, containers=first), replace(report, containers=second)
