"""Tells the store which pods there are and which have ended. What could not be told is told again."""

import asyncio
import logging

from snoop_operator.events import Clock
from snoop_operator.mirror import Change, Mirror
from snoop_operator.store.interface import Store, StoreError
from snoop_operator.workload import PodState

log = logging.getLogger(__name__)

_PAUSE = 0.25
"""Seconds over which pod events are gathered: a rollout tells dozens a second."""
_RETRY = 2.0


class Ledger:
    """Gathers what the mirror tells of injected pods, and writes it into the store in the background."""

    def __init__(self, store: Store, mirror: Mirror, clock: Clock) -> None:
        self._store = store
        self._mirror = mirror
        self._clock = clock
        self._seen: dict[str, PodState] = {}
        self._ended: dict[str, float] = {}
        self._wake = asyncio.Event()

    def note(self, change: Change) -> None:
        """Take in a change of a pod."""
        pod = change.before if change.gone else change.after
        if not isinstance(pod, PodState) or not pod.injected:
            return
        self._seen[pod.uid] = pod
        if change.gone or pod.phase in ("Succeeded", "Failed"):
            self._ended.setdefault(pod.uid, self._clock())
        self._wake.set()

    async def run(self) -> None:
        """Write for ever, and close the books of pods that vanished while nobody watched."""
        await self._reckon()
        while True:
            await self._wake.wait()
            self._wake.clear()
            await asyncio.sleep(_PAUSE)
            await self.flush()

    async def flush(self) -> None:
        """Write what has been gathered."""
        seen, self._seen = self._seen, {}
        ended, self._ended = self._ended, {}
        try:
            if seen:
                # Before their ends: a pod that lived for a moment is known by its labels too.
                await self._store.note_pods(list(seen.values()))
                seen = {}
            for uid in list(ended):
                await self._store.mark_ended(uid, ended[uid])
                del ended[uid]
        except StoreError as error:
            log.warning("pods not noted, trying again pods=%d ended=%d error=%s", len(seen), len(ended), error)
            self._seen = {**seen, **self._seen}
            self._ended = {**self._ended, **ended}
            await asyncio.sleep(_RETRY)
            self._wake.set()

    async def _reckon(self) -> None:
        while True:
            try:
                await self._store.note_pods(self._mirror.injected_pods())
                unknown = [uid for uid in await self._store.open_pods() if self._mirror.pod_by_uid(uid) is None]
                for uid in unknown:
                    await self._store.mark_ended(uid, self._clock())
            except StoreError as error:
                log.warning("open pods not reckoned, trying again error=%s", error)
                await asyncio.sleep(_RETRY)
            else:
                if unknown:
                    log.info("pods ended while away count=%d", len(unknown))
                return
