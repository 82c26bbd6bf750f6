"""One agent at work: records come in, evidence goes out, and the pod's other containers never wait for long.

The loop owns all evidence and runs in the main thread: it waits in the tracer, at most a second at a time. Preparing
the programs, posting and metrics have threads of their own. Nothing here ends the agent but SIGTERM: what goes wrong
becomes a line in the log and a gap in the report.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from snoop_agent import spool, state
from snoop_agent.alarm import Alarm
from snoop_agent.delivery import Delivery
from snoop_agent.observability import Numbers
from snoop_agent.recorder import Recorder
from snoop_agent.reportfile import ReportFile
from snoop_agent.tracing import Event, NewContainer, Tracer
from snoop_report.model import Gap, GapCode

LOG = logging.getLogger(__name__)

PATIENCE = 30.0
"""Seconds that the pod's other containers are held back for the hooks, at most."""
LONGEST_WAIT = 1.0
"""Seconds in one wait: how late SIGTERM and the operator's wishes may be noticed."""
PARTING = 20.0
"""Seconds that the agent, told to end, goes on recording while the pod's other containers live, at most."""
PARTING_LOOK = 0.1
"""Seconds between two looks at whether they do."""
DRAIN, LAST_WORDS = 1.5, 6.0
"""Seconds at the end: to empty the ring, and for all that is left to do."""
NAP, SMALL_BATCH = 0.05, 64
"""After fewer records than that, seconds to let more gather."""

_RESTARTED = "the agent was started again; what was used between its runs, or not delivered before, is not known"
_UNSURE = "the agent cannot write to its volume, and so cannot tell whether it was started before"
_ALONE = "the agent runs on its own: it cannot tell whether other containers were started before its hooks"
_LATE = f"the hooks were not attached after {PATIENCE:.0f} s, and the other containers were not held back for longer"
_OUTLIVED = "the pod's other containers were running when the agent ended; what they used afterwards is not known"
_UNKNOWN_END = "it could not be told whether the pod's other containers had ended before the agent"
_UNREAD = "the agent had to end before it had read all that the kernel side had recorded"
_OWN_ERROR = "the agent met an error of its own, and may have skipped records"


@dataclass(slots=True)
class Started:
    """A tracer, and the cgroup ID of the agent's own container (0: unknown)."""

    tracer: Tracer
    own: int = 0


class Agent:
    """Wires tracer, recorder, report file and delivery together. `run` is the whole life."""

    def __init__(
        self,
        data_directory: Path,
        run: state.State,
        start: Callable[[], Started],
        alarm: Alarm,
        recorder: Recorder,
        report: ReportFile,
        delivery: Delivery | None,
    ) -> None:
        """`start` prepares and attaches, and may take its time. No `delivery`: standalone."""
        self._data_directory = data_directory
        self._run = run
        self._start = start
        self._alarm = alarm
        self._recorder = recorder
        self._report = report
        self._delivery = delivery
        self._outcome: Started | Exception | None = None
        self._tracer: Tracer | None = None
        self._began = time.monotonic()
        self._released = False
        self._given_up = False

    def run(self) -> None:
        """Work until the alarm says stop; then deliver what is left."""
        self._prepare()
        while not self._alarm.stopping:
            self._safely(self._round)
        self._end()

    def numbers(self) -> Numbers:
        """Tell the state of things, from any thread."""
        recorder, delivery = self._recorder, self._delivery
        return Numbers(
            events=recorder.events,
            records=dict(recorder.kinds),
            observations=recorder.observations,
            dropped=recorder.dropped,
            unique_files=recorder.unique_files,
            report_writes=self._report.writes,
            report_write_errors=self._report.errors,
            posts=delivery.posted if delivery else 0,
            post_failures=delivery.failures if delivery else 0,
            outbox=delivery.waiting if delivery else 0,
            gaps=recorder.gaps,
            tracing=self._tracer is not None,
            shared=self._tracer is not None and self._tracer.shared,
            skipped=self._tracer.skipped if self._tracer is not None else 0,
            hooks=recorder.about.agent.hooks,
            attach=recorder.about.agent.attach,
            ready=self._tracer is not None or self._given_up,
            state="tracing" if self._tracer else "not tracing: see the log" if self._given_up else "starting",
        )

    # To begin.

    def _prepare(self) -> None:
        try:
            self._attached_file.unlink(missing_ok=True)  # an earlier run's
        except OSError as error:
            LOG.error("cannot write to %s: %s", self._data_directory, error.strerror)
        if self._run.restarted or self._run.unsure:
            self._gap(GapCode.AGENT_RESTARTED, _UNSURE if self._run.unsure else _RESTARTED)
        if self._delivery is None:
            self._gap(GapCode.LATE_START, _ALONE)
        if self._run.hopeless:
            self._outcome = RuntimeError(
                f"the agent died {self._run.deaths} times in a row while it prepared to trace; "
                "its memory limit may be too low"
            )
            return
        self._keep(state.preparing(self._run))
        threading.Thread(target=self._start_tracer, name="start", daemon=True).start()

    def _start_tracer(self) -> None:
        try:
            self._outcome = self._start()
        except Exception as error:
            self._outcome = error
        self._alarm.ring()

    def _take_tracer(self) -> None:
        outcome, self._outcome = self._outcome, None
        if outcome is None:
            return
        if isinstance(outcome, Started):
            self._tracer = outcome.tracer
            self._recorder.attached(outcome.tracer.hooks, outcome.tracer.attach, outcome.own)
            LOG.info("tracing: hooks %s, attached by %s", outcome.tracer.hooks, outcome.tracer.attach)
        else:
            self._give_up(f"cannot trace: {str(outcome) or type(outcome).__name__}")
        self._release()
        if not self._run.hopeless:
            self._keep(state.prepared(self._run))

    def _give_up(self, why: str) -> None:
        self._tracer = None
        self._given_up = True
        LOG.error("%s; the agent stays idle", why)
        self._gap(GapCode.NOT_TRACING, why)

    def _lose_patience(self) -> None:
        LOG.warning("%s", _LATE)
        self._gap(GapCode.LATE_START, _LATE)
        self._release()

    def _release(self) -> None:
        """Let the startup probe pass."""
        if self._released:
            return
        self._released = True
        try:
            self._attached_file.touch()
        except OSError as error:
            LOG.error("cannot create %s, which the startup probe waits for: %s", self._attached_file, error.strerror)

    # Round after round.

    def _safely(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception:
            LOG.exception("an error in the agent itself; it goes on")
            self._gap(GapCode.RECORDS_LOST, _OWN_ERROR)
            self._alarm.wait(LONGEST_WAIT)

    def _round(self) -> None:
        self._take_tracer()
        if not self._released and time.monotonic() - self._began >= PATIENCE:
            self._lose_patience()
        self._read()
        self._act()

    def _read(self) -> None:
        now = time.monotonic()
        due = min(self._report.due(), self._delivery.due() if self._delivery else now + LONGEST_WAIT)
        seconds = max(0.0, min(due - now, LONGEST_WAIT))
        if self._tracer is None:
            self._alarm.wait(seconds)
            return
        events = self._poll(self._tracer, seconds)
        self._recorder.record(events)
        if 0 < len(events) < SMALL_BATCH:
            self._alarm.wait(NAP)

    def _poll(self, tracer: Tracer, seconds: float) -> list[Event | NewContainer]:
        try:
            return tracer.poll(seconds)
        except Exception as error:
            self._give_up(f"tracing has ended: {str(error) or type(error).__name__}")
            return []

    def _act(self) -> None:
        now = time.monotonic()
        deliver = self._delivery is not None and now >= self._delivery.due()
        report = now >= self._report.due()
        if deliver or report:
            self._ask_tracer()
        if deliver and self._delivery is not None:
            self._delivery.act(now)
        if report:
            self._report.act(now, self._catch_up)

    def _catch_up(self) -> None:
        """Take what the ring holds, without waiting for more."""
        if self._tracer is not None:
            self._recorder.record(self._poll(self._tracer, 0))

    def _ask_tracer(self) -> None:
        if self._tracer is None:
            return
        try:
            counters, gaps = self._tracer.counters(), self._tracer.gaps()
        except Exception as error:
            LOG.warning("the tracer's counters cannot be read: %s", error)
            return
        self._recorder.count(counters)
        for gap in gaps:
            self._recorder.gap(gap)

    # To end.

    def _end(self) -> None:
        """Deliver the rest. The token may die at any moment, so posting comes before the file."""
        if self._tracer is None and not self._given_up:
            self._keep(self._run)  # ended while it prepared: that was no death
        self._part()
        deadline = time.monotonic() + LAST_WORDS
        self._safely(self._drain)
        self._ask_tracer()
        if self._delivery is not None:
            try:
                self._delivery.finish(deadline - time.monotonic())
            except Exception:
                LOG.exception("the last report cannot be posted")
        self._report.write()
        if self._delivery is not None:
            self._delivery.wait(max(0.0, deadline - time.monotonic()))
        if self._tracer is not None:
            self._tracer.close()
            self._tracer = None
        LOG.info("ended")

    def _drain(self) -> None:
        until = time.monotonic() + DRAIN
        while self._tracer is not None:
            events = self._poll(self._tracer, 0)
            if not events:
                return
            self._recorder.record(events)
            if time.monotonic() > until:
                self._gap(GapCode.RECORDS_LOST, _UNREAD)
                return

    def _part(self) -> None:
        """Go on while the pod's other containers live, if there is somebody to deliver to.

        A native sidecar is told to end after them, and does not wait here. Where all are told at once (force deletion,
        eviction, a grace period that is used up) what is known is posted first, since the token dies soon.
        """
        alive = self._others_alive()
        if alive and self._delivery is not None:
            self._delivery.hurry()
            until = time.monotonic() + PARTING
            while alive and self._tracer is not None and time.monotonic() < until:
                self._safely(self._parting_round)
                alive = self._others_alive()
        # Without a tracer another gap says it already.
        if self._tracer is not None and alive is not False:
            self._gap(GapCode.LATE_END, _OUTLIVED if alive else _UNKNOWN_END)

    def _parting_round(self) -> None:
        if self._tracer is not None:
            self._recorder.record(self._poll(self._tracer, PARTING_LOOK))
        self._act()

    def _others_alive(self) -> bool | None:
        """Whether a process of the pod's other containers lives; None if that cannot be told."""
        if self._tracer is None:
            return None
        try:
            return any(self._recorder.knows(one) for one in self._tracer.alive())
        except Exception as error:
            LOG.warning("whether the pod's other containers live cannot be told: %s", error)
            return None

    def _keep(self, now: state.State) -> None:
        try:
            state.keep(self._data_directory, now)
        except spool.SpoolError as error:
            LOG.debug("no mark for the next run: %s", error)

    def _gap(self, code: GapCode, words: str) -> None:
        self._recorder.gap(Gap(code, words, time.time()))

    @property
    def _attached_file(self) -> Path:
        return self._data_directory / "attached"
