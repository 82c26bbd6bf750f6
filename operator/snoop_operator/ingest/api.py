"""The HTTP face of ingest: POST of a delta, answered once it is safe on disk.

What can go wrong has a status that tells the agent what to do: 400 never again, 401 with a fresh token, 413 in halves,
429 and 503 later. The namespace, name and UID come from the token alone.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from aiohttp import web
from prometheus_client import CollectorRegistry

from snoop_operator import names
from snoop_operator.ingest.authentication import Authenticator, InvalidTokenError, ReviewUnavailableError
from snoop_operator.ingest.body import BodyError, parse, read
from snoop_operator.ingest.limits import BusyError, Limits, Turn
from snoop_operator.ingest.metrics import Metrics
from snoop_operator.store.interface import Accepted, PodKey, Store, StoreError
from snoop_report.codec import dumps_acknowledgement
from snoop_report.model import Acknowledgement, Delta, Identity

log = logging.getLogger(__name__)

_SMALL = 32 << 10
"""Bytes that are parsed at once; more would hold up the loop, and goes to a thread."""
_PARSING = 2
_READ_SECONDS = 30.0
_STORE_PAUSE = 5
REASONS = (
    "bad_encoding",
    "bad_token",
    "busy",
    "malformed",
    "no_review",
    "pod_busy",
    "pod_rate",
    "slow",
    "store",
    "too_large",
)


class Identities(Protocol):
    """What the cluster's pods say of their containers now (the mirror)."""

    def identities(self, pod_uid: str) -> Mapping[str, Identity]:
        """Container ID → name, image, digest; empty if the pod is not known."""


class RefusedError(Exception):
    """A post that is not taken: HTTP status, stable code, sentence, and seconds to wait if it may come again."""

    def __init__(self, status: int, code: str, message: str, retry_after: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after = retry_after


class Ingest:
    """Takes deltas in. `agents` has the counters of live pods: tell it of those that are gone.

    `on_report(pod_uid)` is called after each delta that was stored; `ca_bundle()` gives the PEM certificates that
    agents are to trust, or nothing.
    """

    def __init__(
        self,
        store: Store,
        authenticator: Authenticator,
        identities: Identities,
        registry: CollectorRegistry,
        *,
        on_report: Callable[[str], None] = lambda _: None,
        ca_bundle: Callable[[], str] = lambda: "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._authenticator = authenticator
        self._identities = identities
        self._metrics = Metrics(registry, REASONS)
        self._on_report = on_report
        self._ca_bundle = ca_bundle
        self._clock = clock
        self._limits = Limits()
        self._parsing = asyncio.Semaphore(_PARSING)

    @property
    def routes(self) -> list[web.RouteDef]:
        """For `aiohttp.web.Application.add_routes`."""
        return [web.post(names.INGEST_PATH, self.post_delta)]

    def forget(self, pod_uid: str) -> None:
        """Stop publishing the counters of a pod that is gone."""
        self._metrics.agents.forget(pod_uid)

    async def post_delta(self, request: web.Request) -> web.Response:
        """Answer POST /v1/deltas."""
        started = time.monotonic()
        try:
            answer = await self._take(request)
        except RefusedError as error:
            self._metrics.refusals.labels(error.code).inc()
            level = logging.WARNING if error.code in ("malformed", "store") else logging.INFO
            log.log(level, "delta refused code=%s from=%s error=%s", error.code, request.remote, error)
            return _refusal(error)
        self._metrics.seconds.observe(time.monotonic() - started)
        return web.Response(body=dumps_acknowledgement(answer), content_type="application/json")

    async def _take(self, request: web.Request) -> Acknowledgement:
        pod = await self._who(request)
        try:
            with self._limits.enter(pod.uid) as turn:
                delta, size = await self._delta(request, pod, turn)
                accepted = await self._accept(pod, delta)
        except BusyError as error:
            raise RefusedError(error.status, error.code, str(error), error.retry_after) from error
        self._count(pod, delta, accepted, size)
        self._on_report(pod.uid)
        return Acknowledgement(
            sequence=delta.sequence,
            store=self._store.id,
            revision=accepted.revision,
            resend=accepted.resend,
            containers=dict(accepted.identities),
            ca_bundle=self._ca_bundle(),
        )

    async def _who(self, request: web.Request) -> PodKey:
        try:
            holder = await self._authenticator.authenticate(request.headers.get("Authorization", ""))
        except InvalidTokenError as error:
            raise RefusedError(401, "bad_token", str(error)) from error
        except ReviewUnavailableError as error:
            raise RefusedError(503, "no_review", str(error), 2) from error
        return PodKey(holder.namespace, holder.pod_name, holder.pod_uid, holder.node)

    async def _delta(self, request: web.Request, pod: PodKey, turn: Turn) -> tuple[Delta, int]:
        try:
            async with asyncio.timeout(_READ_SECONDS):
                body = await read(request, turn.reserve)
            if len(body) <= _SMALL:
                return parse(body, pod), len(body)
            async with self._parsing:
                return await asyncio.to_thread(parse, body, pod), len(body)
        except BodyError as error:
            raise RefusedError(error.status, error.code, str(error)) from error
        except TimeoutError as error:
            raise RefusedError(408, "slow", f"the body did not arrive within {_READ_SECONDS:.0f} s", 1) from error

    async def _accept(self, pod: PodKey, delta: Delta) -> Accepted:
        known = self._identities.identities(pod.uid)
        try:
            return await self._store.accept(pod, delta, known, self._clock())
        except StoreError as error:
            raise RefusedError(503, "store", str(error), _STORE_PAUSE) from error

    def _count(self, pod: PodKey, delta: Delta, accepted: Accepted, size: int) -> None:
        self._metrics.deltas.labels(str(delta.final).lower()).inc()
        self._metrics.observations.inc(sum(len(one.observations) for one in delta.report.containers))
        self._metrics.bytes.inc(size)
        self._metrics.resends.inc(accepted.resend)
        self._metrics.agents.update(pod, delta, accepted)


def _refusal(error: RefusedError) -> web.Response:
    response = web.json_response({"code": error.code, "message": str(error)}, status=error.status)
    if error.retry_after:
        response.headers["Retry-After"] = str(math.ceil(error.retry_after))
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response
