"""The thread that empties the outbox: one delta at a time, until the operator has it.

It sleeps while there is nothing to post, backs off while the operator is away, and hurries once the agent is ending.
"""

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from snoop_agent.answers import Answer, Verdict
from snoop_agent.outbox import Outbox, Pending
from snoop_report.model import Acknowledgement

if TYPE_CHECKING:
    from snoop_agent.post import Post

LOG = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 10.0
LONGEST_RETRY_AFTER = 30.0
TIMEOUT, LAST_TIMEOUT = 15.0, 2.0
LAST_PAUSE, HURRIED_PAUSE = 0.2, 1.0
REFUSALS_ALLOWED = 3
"""A delta that the operator calls malformed so often is given up: what waits behind it counts as well."""


def pause_after(failures: int, retry_after: float, jitter: float) -> float:
    """Seconds to wait after so many failures in a row. `jitter` in 0…1 spreads agents apart.

    Doubling, and short at most, so that evidence arrives soon after the operator is back.
    """
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 16))
    return max(pause * (0.5 + jitter / 2), min(retry_after, LONGEST_RETRY_AFTER))


class Sender(threading.Thread):
    """Posts what waits in `outbox`."""

    def __init__(self, outbox: Outbox, post: "Callable[[], Post]") -> None:
        """`post` makes what it posts through, once there is something: until then nobody waits for TLS to be loaded."""
        super().__init__(name="sender", daemon=True)
        self._outbox = outbox
        self._make_post = post
        self._post: Post | None = None
        self._changed = threading.Condition()
        self._deadline: float | None = None
        self._hurried = False
        self._attempt_since = 0.0
        self._complaint = ""
        self.acknowledged = deque[Acknowledgement]()
        """The operator's answers, oldest first; whoever reads them takes them out."""
        self.resend = threading.Event()
        """The operator asked for everything."""
        self.posted = 0
        self.failures = 0

    def wake(self) -> None:
        """Look into the outbox: something was put there."""
        with self._changed:
            self._changed.notify()

    def hurry(self) -> None:
        """Wait no longer than a second for anything from now on: the token may die."""
        with self._changed:
            self._hurried = True
            self._changed.notify()
        self._interrupt()

    def finish(self, seconds: float) -> None:
        """Post what waits within so many seconds, the last delta included, then end."""
        with self._changed:
            self._hurried = True
            self._deadline = time.monotonic() + seconds
            self._changed.notify()
        self._interrupt()

    def _interrupt(self) -> None:
        if self._attempt_since and time.monotonic() - self._attempt_since > LAST_TIMEOUT / 2:
            post = self._post
            if post is not None:
                post.interrupt()

    def run(self) -> None:
        """Work until `finish` has been called and all is posted, or its time is over."""
        failures, denials, refusals = 0, 0, 0
        while True:
            found = self._next()
            if found is None:
                break
            pending, body = found
            deadline = self._deadline
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and (left <= 0 or denials > 1):
                break
            self._attempt_since = time.monotonic()
            longest = LAST_TIMEOUT if self._hurried else TIMEOUT
            if self._post is None:
                self._post = self._make_post()
            answer = self._post.send(body, longest if left is None else min(left, LAST_TIMEOUT))
            self._attempt_since = 0.0
            if answer.verdict is Verdict.ACCEPTED:
                self._accept(pending, answer)
                failures = denials = refusals = 0
                continue
            self.failures += 1
            if answer.verdict is Verdict.SPLIT and self._outbox.split(pending):
                LOG.debug("a delta of %d bytes was too large, and is halved", pending.size)
                continue
            refusals += answer.verdict in (Verdict.REFUSED, Verdict.SPLIT)
            if refusals >= REFUSALS_ALLOWED:
                LOG.error("giving up a delta after %d refusals: %s", refusals, answer.reason)
                self._outbox.refused(pending)
                refusals = 0
                continue
            failures += 1
            # Before the end, a token may be rotated; after it, it is dead and stays so.
            denials = denials + 1 if answer.verdict is Verdict.DENIED and self._deadline is not None else 0
            self._complain(answer)
            self._outbox.failed(pending)
            self._sleep(pause_after(failures, answer.retry_after, random.random()))  # noqa: S311 - no secret
        if self._post is not None:
            self._post.close()

    def _next(self) -> tuple[Pending, bytes] | None:
        """Wait for something to post. None: the agent is ending and nothing waits."""
        while True:
            with self._changed:
                found = self._outbox.first()
                if found is not None or self._deadline is not None:
                    return found
                self._changed.wait()

    def _accept(self, pending: Pending, answer: Answer) -> None:
        assert answer.acknowledgement is not None
        self._outbox.done(pending)
        self._outbox.acknowledged_by(answer.acknowledgement.store, answer.acknowledgement.revision)
        self.posted += 1
        self.acknowledged.append(answer.acknowledgement)
        # To a part of everything, the same wish says nothing new.
        if answer.acknowledgement.resend and not pending.full:
            self.resend.set()
        if self._complaint:
            LOG.info("the operator takes reports again")
            self._complaint = ""

    def _complain(self, answer: Answer) -> None:
        """Say each trouble once, not with every attempt."""
        level = logging.DEBUG if answer.reason == self._complaint else logging.WARNING
        LOG.log(level, "a report could not be delivered, and will be tried again: %s", answer.reason)
        self._complaint = answer.reason

    def _sleep(self, seconds: float) -> None:
        with self._changed:
            if self._deadline is not None:
                time.sleep(min(LAST_PAUSE, seconds))
            elif self._hurried:
                self._changed.wait_for(lambda: self._deadline is not None, min(HURRIED_PAUSE, seconds))
            else:
                # Only the end cuts a pause short; news waits its turn.
                self._changed.wait_for(lambda: self._hurried, seconds)
