"""Who posts a delta: the identity that the API server vouches for, and nothing else.

The TokenReview itself is made by a `TokenReviewer` (see `snoop_operator.cluster`); here is what is asked of it, and a
short memory of its answers.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

MEMORY = 30.0
"""Seconds for which an answer is believed. A pod's token that died meanwhile delivers its last report all the same."""
_REMEMBERED = 10_000
_AT_ONCE = 16
_WAITING = 256
_LONGEST_TOKEN = 16_384


class InvalidTokenError(Exception):
    """The token is not one of a pod's for our audience; the message says why, without the token."""


class ReviewUnavailableError(Exception):
    """The API server could not be asked now."""


@dataclass(frozen=True, slots=True)
class TokenIdentity:
    """What a TokenReview says of a token that is bound to a pod."""

    namespace: str
    pod_name: str
    pod_uid: str
    node: str = ""
    service_account: str = ""


class TokenReviewer(Protocol):
    """Asks the API server who a token belongs to."""

    async def review(self, token: str, audience: str) -> TokenIdentity:
        """Whose token it is, by TokenReview with `audience` alone.

        InvalidTokenError if it is refused, for other audiences, or not bound to a pod; ReviewUnavailableError if the
        API server cannot be reached, throttles or forbids the review.
        """


class Authenticator:
    """Asks a reviewer, remembers what it accepted for `MEMORY` seconds, and asks but once for one token at a time.

    Refusals are not remembered: a token may be good a moment later. Tokens are kept as hashes only.
    """

    def __init__(self, reviewer: TokenReviewer, audience: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._reviewer = reviewer
        self._audience = audience
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[float, TokenIdentity]] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[TokenIdentity]] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def authenticate(self, authorization: str) -> TokenIdentity:
        """Identify the holder of an `Authorization` header. InvalidTokenError or ReviewUnavailableError."""
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise InvalidTokenError("no bearer token")
        if len(token) > _LONGEST_TOKEN:
            raise InvalidTokenError("the token is too long to be one")
        key = sha256(token.encode("utf-8", "surrogateescape")).digest()
        found = self._known.get(key)
        if found is not None and self._clock() < found[0]:
            return found[1]
        task = self._asking.get(key)
        if task is None:
            if len(self._asking) >= _WAITING:
                raise ReviewUnavailableError("too many tokens wait for their review")
            task = asyncio.create_task(self._ask(key, token))
            self._asking[key] = task
            task.add_done_callback(lambda done: self._asked(key, done))
        # One caller that gives up must not fail the others.
        return await asyncio.shield(task)

    def _asked(self, key: bytes, task: asyncio.Task[TokenIdentity]) -> None:
        self._asking.pop(key, None)
        if not task.cancelled():
            task.exception()  # seen, also if every caller has hung up

    async def _ask(self, key: bytes, token: str) -> TokenIdentity:
        async with self._slots:
            identity = await self._reviewer.review(token, self._audience)
        if not identity.pod_uid or not identity.namespace or not identity.pod_name:
            raise InvalidTokenError("the token is not bound to a pod")
        self._known[key] = (self._clock() + MEMORY, identity)
        self._known.move_to_end(key)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return identity
