"""The store over SQL: an async face on synchronous tables.

All writes run in one thread, all reads in another, so that neither blocks the event loop and a long count does not
hold up what agents post. Each call is one transaction.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine

from snoop_operator.profile import Profile, Selector
from snoop_operator.store import accepting, folding, images, lifecycle, migrations, reading, unprofiled
from snoop_operator.store.engine import sqlite_engine, transaction
from snoop_operator.store.identities import remembered_of
from snoop_operator.store.interface import (
    RETENTION,
    Accepted,
    PodEvidence,
    PodKey,
    ProfileEvidence,
    Pruned,
    StoreError,
    Unprofiled,
)
from snoop_operator.store.lock import FileLock
from snoop_operator.store.unions import Unions, profile_evidence
from snoop_operator.workload import PodState
from snoop_report.model import Delta, Identity, Report

_P = ParamSpec("_P")
_T = TypeVar("_T")
_NOTED = 20_000
"""Pods whose last picture is kept to tell that an event brought nothing new."""


async def open_sqlite(file: Path, wait: float = 10.0) -> "SqlStore":
    """Open the store in `file`, made if absent, waiting up to `wait` seconds for another process to let go of it.

    StoreInUseError, StoreTooNewError, or StoreError if the file cannot be used.
    """
    return await asyncio.to_thread(_open, file, wait)


def _open(file: Path, wait: float) -> "SqlStore":
    lock = FileLock(file, wait)
    writer = sqlite_engine(file, "BEGIN IMMEDIATE")
    try:
        with transaction(writer) as connection:
            identifier, fresh = migrations.prepare(connection)
    except StoreError as error:
        writer.dispose()
        lock.release()
        raise type(error)(f"{file}: {error}") from error
    return SqlStore(writer, sqlite_engine(file, "BEGIN"), identifier, fresh, lock.release)


class SqlStore:
    """A `Store` (see `interface`) over one engine for writing and one for reading."""

    def __init__(
        self, writer: Engine, reader: Engine, identifier: str, fresh: bool, release: Callable[[], None]
    ) -> None:
        self._writer, self._reader = writer, reader
        self._writing = ThreadPoolExecutor(1, "store-writer")
        self._reading = ThreadPoolExecutor(1, "store-reader")
        self._release = release
        self._id, self._fresh = identifier, fresh
        self._unions = Unions()
        self._noted: OrderedDict[str, object] = OrderedDict()

    @property
    def id(self) -> str:
        """The store's ID."""
        return self._id

    @property
    def fresh(self) -> bool:
        """Whether this process created the store."""
        return self._fresh

    async def _write(self, work: Callable[Concatenate[Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return await self._run(self._writing, self._writer, lambda connection: work(connection, *args, **kwargs))

    async def _read(self, work: Callable[[Connection], _T]) -> _T:
        return await self._run(self._reading, self._reader, work)

    async def _run(self, pool: ThreadPoolExecutor, engine: Engine, work: Callable[[Connection], _T]) -> _T:
        def run() -> _T:
            with transaction(engine) as connection:
                return work(connection)

        try:
            future = pool.submit(run)
        except RuntimeError as error:
            raise StoreError("the store is closed") from error
        return await asyncio.wrap_future(future)

    async def accept(self, pod: PodKey, delta: Delta, identities: Mapping[str, Identity], now: float) -> Accepted:
        """Add a delta, durably."""
        return await self._write(accepting.accept, self._id, pod, delta, identities, now)

    async def note_pods(self, pods: Iterable[PodState]) -> None:
        """Remember what the cluster says of injected pods."""
        fresh: dict[str, tuple[PodState, object]] = {}
        for state in pods:
            picture = (
                *(state.namespace, state.name, state.node, dict(state.containers), dict(state.ran)),
                *(state.agent_restarts, lifecycle.is_live(state)),
            )
            if state.injected and self._noted.get(state.uid) != picture:
                fresh[state.uid] = (state, picture)
        if not fresh:
            return

        def work(connection: Connection) -> None:
            for state, _ in fresh.values():
                lifecycle.note_pod(connection, state)

        await self._write(work)
        for uid, (_, noted) in fresh.items():
            self._noted[uid] = noted
        while len(self._noted) > _NOTED:
            self._noted.popitem(last=False)

    async def open_pods(self) -> frozenset[str]:
        """UIDs of pods that are not known to have ended."""
        return await self._read(lifecycle.open_pods)

    async def mark_ended(self, pod_uid: str, when: float) -> None:
        """Note that a pod is gone."""
        await self._write(lifecycle.mark_ended, pod_uid, when)
        self._noted.pop(pod_uid, None)

    async def note_loss(self, namespace: str, profile: str, previous_store: str, now: float) -> None:
        """Remember that a profile had evidence in another store."""
        await self._write(lifecycle.note_loss, namespace, profile, previous_store, now)

    async def note_unprofiled(self, namespace: str, profile: str, uses: Sequence[Unprofiled]) -> None:
        """Remember what ran without an agent."""
        await self._write(unprofiled.note, namespace, profile, uses)

    async def identities(self, pod_uid: str) -> Mapping[str, Identity]:
        """Everything known of a pod's containers, by ID."""
        return await self._read(lambda connection: remembered_of(connection, pod_uid))

    async def evidence(self, profile: Profile, now: float, pod_uids: Collection[str] = ()) -> ProfileEvidence:
        """Sum up a profile's pods."""
        asked = frozenset(pod_uids)

        def wanted(uid: str, labels: Mapping[str, str]) -> bool:
            return uid in asked or profile.selector.matches(labels)

        def work(connection: Connection) -> ProfileEvidence:
            pods = reading.select_pods(connection, profile.namespace, wanted, now)
            return profile_evidence(connection, self._id, profile, pods, self._unions, asked, now)

        return await self._read(work)

    async def has_inventory(self, digest: str) -> bool:
        """Whether what an image holds is known."""
        return await self._read(lambda connection: images.has(connection, digest))

    async def keep_inventory(self, digest: str, content: bytes, now: float) -> None:
        """Keep what an image holds."""
        await self._write(images.keep, digest, content, now)

    async def drop_inventory(self, digest: str) -> None:
        """Forget what an image holds."""
        await self._write(images.drop, digest)

    async def pods(self, namespace: str, selector: Selector, now: float) -> Sequence[PodEvidence]:
        """List the pods that a selector matches."""

        def wanted(_uid: str, labels: Mapping[str, str]) -> bool:
            return selector.matches(labels)

        found = await self._read(lambda connection: reading.select_pods(connection, namespace, wanted, now))
        return [one.evidence for one in found]

    async def report(self, pod_uid: str, now: float) -> Report | None:
        """Give a pod's whole evidence."""
        return await self._read(lambda connection: reading.report(connection, pod_uid, now))

    async def prune(self, profiles: Sequence[Profile], now: float, retention: float = RETENTION) -> Pruned:
        """Forget ended pods that no profile has selected for `retention` seconds; fold those that ended before that."""
        due = await self._write(lifecycle.expired, profiles, now, retention)
        await self._write(lifecycle.prune_losses, profiles, now, retention)
        await self._write(unprofiled.prune, now, retention)
        await self._write(images.prune, now, retention)
        # One transaction each: agents' posts go in between.
        pods = sum([await self._write(lifecycle.forget_pod, one) for one in due])
        folded = await self._fold(profiles, now, retention)
        return Pruned(pods, await self._write(lifecycle.forget_paths) if pods else 0, folded)

    async def _fold(self, profiles: Sequence[Profile], now: float, after: float) -> int:
        due = await self._write(folding.foldable, profiles, now, after)
        return sum([await self._write(folding.fold, one, profiles, now) for one in due])

    async def check(self) -> None:
        """StoreError unless the store can be written now."""
        await self._write(lifecycle.leave_mark)

    async def close(self) -> None:
        """Finish what is under way and let go of the file."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        for pool in (self._reading, self._writing):
            pool.shutdown(wait=True)
        for engine in (self._reader, self._writer):
            engine.dispose()
        self._release()
