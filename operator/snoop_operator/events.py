"""Kubernetes Events for people: `kubectl describe` shows them on the profile and on the pod.

An event's name is made of what it says, so the API server itself refuses a second one: neither a resync nor a restart
of the operator repeats it while it lives (an hour by default). Posting is bounded: a queue that is full drops the
newest and counts it, since an event is never the only place where something is said.
"""

import asyncio
import hashlib
import logging
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from snoop_operator import names
from snoop_operator.apiclient import JSON, ClusterError, ConflictError, NotFoundError
from snoop_operator.mirror import ProfileState
from snoop_operator.workload import PodState

log = logging.getLogger(__name__)

_QUEUE = 256
_REMEMBERED = 4096
_PAUSE = 0.1
"""Seconds between two events: ten a second at most, however large the cluster."""
_NOTE = 1024
"""Bytes that the API allows for a note."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The object that an event is about."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Event:
    """One thing to tell. `reason` is CamelCase; `warning` is for what somebody should look into."""

    subject: Subject
    reason: str
    note: str
    warning: bool = False
    key: str = ""
    """Tells occurrences apart that should each be told; what it leaves out is told once."""


class EventAPI(Protocol):
    """Where events go (see `cluster`)."""

    async def create_event(self, namespace: str, event: JSON) -> None:
        """Post an events.k8s.io/v1 Event."""


def about_pod(pod: PodState) -> Subject:
    """Refer to a pod."""
    return Subject("v1", "Pod", pod.namespace, pod.name, pod.uid)


def about_profile(state: ProfileState) -> Subject:
    """Refer to a profile."""
    metadata = state.body["metadata"]
    return Subject(names.API_VERSION, names.KIND, metadata["namespace"], metadata["name"], metadata["uid"])


def event_name(event: Event) -> str:
    """Name the event by what it says: the same thing said again has the same name."""
    said = "\0".join((event.subject.uid, event.reason, event.key))
    digest = hashlib.sha256(said.encode()).hexdigest()[:16]
    return f"{event.subject.name[:200].rstrip('.-')}.{digest}"


def event_object(event: Event, reporter: str, now: float) -> JSON:
    """Shape an events.k8s.io/v1 Event. `reporter` names this process; `now` is seconds since the epoch."""
    moment = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    subject = event.subject
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": event_name(event), "namespace": subject.namespace},
        "eventTime": moment,
        "reportingController": f"{names.GROUP}/operator",
        "reportingInstance": (reporter or "snoop-operator")[:128],
        "action": "Profile",
        "reason": event.reason[:128],
        "type": "Warning" if event.warning else "Normal",
        "note": _short(event.note),
        "regarding": {
            "apiVersion": subject.api_version,
            "kind": subject.kind,
            "namespace": subject.namespace,
            "name": subject.name,
            "uid": subject.uid,
        },
    }


class Events:
    """Posts events in the background. `tell` never waits and never fails."""

    def __init__(self, api: EventAPI, reporter: str, clock: "Clock", pause: float = _PAUSE) -> None:
        self._api = api
        self._reporter = reporter
        self._clock = clock
        self._pause = pause
        self._queue: asyncio.Queue[Event] = asyncio.Queue(_QUEUE)
        self._told: OrderedDict[str, None] = OrderedDict()
        self.dropped = 0
        """Events that found the queue full."""

    def tell(self, event: Event) -> None:
        """Queue an event unless it was told before."""
        name = event_name(event)
        if name in self._told:
            self._told.move_to_end(name)
            return
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            self.dropped += 1
            return
        self._told[name] = None
        while len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)

    async def run(self) -> None:
        """Post what is queued, for ever."""
        while True:
            await self._post(await self._queue.get())
            await asyncio.sleep(self._pause)

    async def _post(self, event: Event) -> None:
        body = event_object(event, self._reporter, self._clock())
        try:
            await self._api.create_event(event.subject.namespace, body)
        except (ConflictError, NotFoundError):
            return  # Told already, or its namespace is gone.
        except ClusterError as error:
            # A namespace that is terminating takes no events; everything else is worth a line.
            if error.status != 403 or "terminat" not in str(error):
                log.warning("event not posted reason=%s subject=%s error=%s", event.reason, event.subject.name, error)


class Clock(Protocol):
    """Tells the time: seconds since the epoch."""

    def __call__(self) -> float:
        """Return the time now."""


def _short(note: str) -> str:
    raw = note.encode()
    return note if len(raw) <= _NOTE else raw[: _NOTE - 3].decode("utf-8", "ignore") + "…"
