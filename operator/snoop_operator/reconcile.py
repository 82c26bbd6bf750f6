"""A profile's status, kept true: gathers what the decision needs, has `rollup` decide, writes only what changed."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from snoop_operator import announcements, rollup
from snoop_operator.apiclient import JSON, ClusterError, NotFoundError
from snoop_operator.events import Clock, Events, about_profile
from snoop_operator.inventories.findings import Known
from snoop_operator.mirror import Key, Kind, Mirror, ProfileState
from snoop_operator.profile import Profile
from snoop_operator.store.interface import ProfileEvidence, Store
from snoop_operator.workload import PodState
from snoop_operator.workqueue import WorkQueue

log = logging.getLogger(__name__)

RESYNC = 30.0
"""Seconds after which every profile is looked at again: time alone changes what can be said."""


class StatusAPI(Protocol):
    """Where statuses go (see `cluster`)."""

    async def set_status(self, namespace: str, name: str, uid: str, status: Mapping[str, Any]) -> JSON:
        """Replace a profile's status; returns the profile."""


class Images(Protocol):
    """What is known of what images hold (see `inventories.keeper`)."""

    def look(self, profile: Profile, evidence: ProfileEvidence, pods: Sequence[PodState]) -> Known:
        """Say what is known of a profile's images; `pods` are all of its namespace. What is missing is got later."""


class Reconciler:
    """Keeps the status of every profile."""

    def __init__(
        self, mirror: Mirror, store: Store, api: StatusAPI, events: Events, agent_image: str, clock: Clock
    ) -> None:
        self._mirror = mirror
        self._store = store
        self._api = api
        self._events = events
        self._agent_image = agent_image
        self._clock = clock
        self.images: Images | None = None
        """None: nobody asks what images hold."""
        self._queue: WorkQueue[Key] = WorkQueue(self.reconcile)

    def want(self, namespace: str, name: str) -> None:
        """Have a profile reconciled soon."""
        self._queue.want((namespace, name))

    def want_for(self, *pods: PodState | None) -> None:
        """Have the profiles reconciled that select one of these pods (a pod as it was, and as it is)."""
        for pod in pods:
            if pod is not None:
                for profile in selecting(self._mirror, pod):
                    self.want(profile.namespace, profile.name)

    def want_all(self) -> None:
        """Have every profile reconciled soon."""
        for key in self._mirror.profile_keys():
            self._queue.want(key)

    async def run(self) -> None:
        """Work for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._queue.run())
            group.create_task(self._resync())

    async def reconcile(self, key: Key) -> None:
        """Bring one profile's status up to date. ClusterError or StoreError if it should be tried again."""
        state = self._mirror.profile(*key)
        if state is None or state.terminating:
            return
        status = await self._status(state)
        if status == state.status:
            return
        subject = about_profile(state)
        try:
            written = await self._api.set_status(*key, subject.uid, status)
        except NotFoundError:
            return  # Deleted a moment ago; the watch will tell.
        except ClusterError as error:
            if error.status == 422 and self._mirror.profile(*key) is not state:
                return  # Another one has taken its name, and its own run is queued.
            raise
        # Read our own write: the watch is a moment behind, and would have us write and tell the same again.
        self._mirror.see(Kind.PROFILES, written)
        for event in announcements.about_status(subject, state.status, status):
            self._events.tell(event)

    async def _status(self, state: ProfileState) -> rollup.Status:
        now = self._clock()
        profile, previous = state.profile, state.status
        if profile is None:
            return rollup.invalid(state.generation, state.error, previous, now)
        lost = rollup.lost_store(previous, self._store.id)
        if lost:
            await self._store.note_loss(profile.namespace, profile.name, lost, now)
        every = list(self._mirror.pods(profile.namespace))
        pods = [pod for pod in every if profile.selector.matches(pod.labels)]
        evidence = await self._store.evidence(profile, now, [pod.uid for pod in pods if pod.injected])
        known = self.images.look(profile, evidence, every) if self.images is not None else None
        return rollup.roll_up(profile, pods, evidence, previous, now, self._agent(), known)

    def _agent(self) -> rollup.AgentCheck:
        image = self._agent_image
        return rollup.AgentCheck(self._mirror.proven(image), self._mirror.check_failure(image))

    async def _resync(self) -> None:
        while True:
            self.want_all()
            await asyncio.sleep(RESYNC)


def selecting(mirror: Mirror, pod: PodState) -> list[Profile]:
    """Find the profiles that select a pod."""
    return [profile for profile in mirror.profiles(pod.namespace) if profile.selector.matches(pod.labels)]
