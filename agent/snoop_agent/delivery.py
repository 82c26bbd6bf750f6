"""When evidence leaves for the operator: news within a second, else a heartbeat at each interval, all of it at the end.

Between the recorder, which knows what is new, and the sender, which gets it across.
"""

import logging
import time

from snoop_agent.outbox import Outbox
from snoop_agent.recorder import Recorder
from snoop_agent.sender import Sender
from snoop_report.model import Gap, GapCode

LOG = logging.getLogger(__name__)

FIRST_POST = 2.0
"""Seconds after which the operator hears of the agent, whatever there is to tell."""
NEWS_PAUSE = 1.0
"""Seconds between two deltas with news."""
BACKLOG = 8
"""From so many waiting deltas on, news is gathered for a whole interval."""
DELTA_OBSERVATIONS, DELTA_BYTES = 5000, 4 << 20
"""What one delta holds at most: observations, and bytes of names (an operator takes 8 MiB on the wire)."""


class Delivery:
    """Cuts deltas from `recorder` into `outbox` for `sender`."""

    def __init__(self, recorder: Recorder, outbox: Outbox, sender: Sender, interval: float) -> None:
        self._recorder = recorder
        self._outbox = outbox
        self._sender = sender
        self._interval = interval
        self._began = time.monotonic()
        self._cut_at: float | None = None
        self._full_since = 0
        self._lost = 0

    @property
    def waiting(self) -> int:
        """Deltas that the operator has not acknowledged."""
        return len(self._outbox)

    @property
    def posted(self) -> int:
        """Deltas that the operator has acknowledged."""
        return self._sender.posted

    @property
    def failures(self) -> int:
        """Attempts that failed."""
        return self._sender.failures

    def due(self) -> float:
        """Tell when to `act` next, in monotonic time."""
        if self._sender.resend.is_set() or self._sender.acknowledged or self._outbox.lost > self._lost:
            return 0.0
        if self._recorder.news and self._outbox.room:
            return min(self._news_due(), self._heartbeat_due())
        return self._heartbeat_due()

    def act(self, now: float) -> None:
        """Hear what the operator has answered, and cut what is due."""
        while self._sender.acknowledged:
            self._recorder.identify(self._sender.acknowledged.popleft().containers)
        if self._outbox.lost > self._lost:
            self._lost = self._outbox.lost
            words = "deltas could not be read back, or were refused by the operator as malformed"
            self._recorder.gap(Gap(GapCode.RECORDS_LOST, words, time.time(), self._lost))
        if self._sender.resend.is_set():
            self._sender.resend.clear()
            LOG.info("the operator does not know this agent (a new store?): sending everything again")
            self._outbox.drop_own()
            self._recorder.begin_anew()
            self._full_since = self._outbox.next_sequence
            self._cut(now)
        elif self._recorder.news and self._outbox.room and now >= self._news_due():
            self._cut(now)
        elif now >= self._heartbeat_due():
            if self._outbox:
                self._cut_at = now  # what waits says more than a heartbeat would
            else:
                self._cut(now)

    def hurry(self) -> None:
        """Send what is known at once, whatever else it waits for, and all that follows without long pauses."""
        if self._recorder.news or self._recorder.due(final=True):
            self._cut(time.monotonic(), everything=True)
        self._sender.hurry()

    def finish(self, seconds: float) -> None:
        """Send the rest, marked as final, in so many seconds at most. Does not wait: see `wait`."""
        self._cut(time.monotonic(), everything=True, final=True)
        self._sender.finish(seconds)

    def wait(self, seconds: float) -> None:
        """Wait for the end of what `finish` began."""
        self._sender.join(seconds)
        if self._outbox:
            LOG.warning("%d reports could not be delivered before the end", len(self._outbox))

    def _news_due(self) -> float:
        if self._cut_at is None:
            return 0.0
        return self._cut_at + (NEWS_PAUSE if len(self._outbox) < BACKLOG else max(NEWS_PAUSE, self._interval))

    def _heartbeat_due(self) -> float:
        return self._began + FIRST_POST if self._cut_at is None else self._cut_at + self._interval

    def _cut(self, now: float, *, everything: bool = False, final: bool = False) -> None:
        """Put what is news into the outbox, in as many deltas as it takes. `everything`: of unnamed containers too."""
        self._cut_at = now
        more = True
        while more:
            report = self._recorder.cut(DELTA_OBSERVATIONS, DELTA_BYTES, final=everything)
            more = self._recorder.due(final=everything)
            self._outbox.put(report, final=final and not more, full_since=self._full_since, more=more)
            self._sender.wake()
            if more and not final and not self._outbox.room:
                return  # the rest waits in the recorder
        self._full_since = 0
