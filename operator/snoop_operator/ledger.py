"""Tells the store which pods there are and which have ended. What could not be told is told again."""

import asyncio
import logging

from snoop_operator.events import Clock
from snoop_operator.mirror import Change, Key, Mirror
from snoop_operator.store.interface import Store, StoreError, Unprofiled
from snoop_operator.workload import NOT_INJECTED, PodState

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
        self._unprofiled: dict[Key, dict[tuple[str, str, str], Unprofiled]] = {}
        self._wake = asyncio.Event()

    def note(self, change: Change) -> None:
        """Take in a change of a pod."""
        pod = change.before if change.gone else change.after
        if not isinstance(pod, PodState):
            return
        if not pod.injected:
            self._note_unprofiled(pod)
            return
        self._seen[pod.uid] = pod
        if change.gone or pod.phase in ("Succeeded", "Failed"):
            self._ended.setdefault(pod.uid, self._clock())
        self._wake.set()

    def _note_unprofiled(self, pod: PodState) -> None:
        """Keep what runs without an agent and should have one: the pod may be gone when it is asked for."""
        names = [one.name for one in self._mirror.profiles(pod.namespace) if one.selector.matches(pod.labels)]
        now, refusal = self._clock(), pod.refusal or NOT_INJECTED
        for key in pod.ran.keys() & pod.containers.keys():
            one = pod.containers[key]
            use = Unprofiled(one.name, one.image, one.digest, pod.created_at, now, refusal.code)
            for name in names:
                self._unprofiled.setdefault((pod.namespace, name), {})[one.name, one.image, one.digest] = use
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
        unprofiled, self._unprofiled = self._unprofiled, {}
        try:
            for key in list(unprofiled):
                await self._store.note_unprofiled(*key, list(unprofiled[key].values()))
                del unprofiled[key]
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
            for key, uses in unprofiled.items():
                self._unprofiled[key] = {**uses, **self._unprofiled.get(key, {})}
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
