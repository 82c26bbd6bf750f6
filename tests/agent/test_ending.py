"""How the whole agent ends: what it still tells, what it waits for, and what of that is a gap."""

import time
from typing import Any

import pytest
from tests.agent.running import ID, codes

from snoop_agent import agent as module
from snoop_agent import sidecar
from snoop_agent.agent import Started
from snoop_report.model import GapCode


def test_what_happens_at_the_very_end_is_in_the_final_delta_and_in_the_file(
    run_agent: Any, tracer: Any, operator: Any, app: list[Any], event: Any, eventually: Any
) -> None:
    running = run_agent(lambda: Started(tracer, 1), operator)
    tracer.put(*app)
    eventually(lambda: "/etc/app.conf" in operator.script.paths())
    began = time.monotonic()
    running.alarm.stopping = True
    tracer.put(event("/last"))
    running.stop()

    assert time.monotonic() - began < 1.5
    assert operator.script.accepted[-1].final
    assert [delta.final for delta in operator.script.accepted].count(True) == 1
    assert "/last" in operator.script.paths()
    assert "/last" in running.report.containers[0].files
    assert tracer.closed


class TestWhatOutlivesTheAgent:
    """A native sidecar is told to end after the others. In a force deletion or eviction all are told at once."""

    @pytest.fixture(autouse=True)
    def brief(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "PARTING", 4.0)

    def test_is_recorded_until_it_ends_and_what_is_known_goes_out_first(
        self, run_agent: Any, tracer: Any, operator: Any, app: list[Any], event: Any, eventually: Any
    ) -> None:
        running = run_agent(lambda: Started(tracer, 1), operator, SNOOP_INTERVAL="1m")
        tracer.put(*app)
        eventually(lambda: "/etc/app.conf" in operator.script.paths())
        tracer.living = {77}
        tracer.put(event("/before"))
        running.alarm.stop()
        running.interrupt()
        eventually(lambda: "/before" in operator.script.paths(), 0.7)
        assert not operator.script.accepted[-1].final, "it may touch more"

        tracer.put(event("/on-its-way-out"))
        tracer.living = set()
        began = time.monotonic()
        running.thread.join(3.0)

        assert time.monotonic() - began < 1.0
        assert operator.script.accepted[-1].final
        assert "/on-its-way-out" in operator.script.paths()
        assert operator.script.accepted[-1].report.complete
        assert "/on-its-way-out" in running.report.containers[0].files

    def test_is_a_gap_if_it_lives_on(
        self,
        run_agent: Any,
        tracer: Any,
        operator: Any,
        app: list[Any],
        eventually: Any,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(module, "PARTING", 0.5)
        running = run_agent(lambda: Started(tracer, 1), operator)
        tracer.put(*app)
        eventually(lambda: "/etc/app.conf" in operator.script.paths())
        tracer.living = {77}
        running.stop()

        assert operator.script.accepted[-1].final
        assert codes(operator.script.accepted[-1].report) == codes(running.report) == {GapCode.LATE_END}

    def test_is_a_gap_if_it_cannot_be_told(
        self, run_agent: Any, tracer: Any, operator: Any, app: list[Any], eventually: Any
    ) -> None:
        running = run_agent(lambda: Started(tracer, 1), operator)
        tracer.put(*app)
        eventually(lambda: "/etc/app.conf" in operator.script.paths())
        tracer.mute = OSError(1, "Operation not permitted")
        began = time.monotonic()
        running.stop()

        assert time.monotonic() - began < 1.5, "nobody knows how long to wait"
        (gap,) = operator.script.accepted[-1].report.gaps
        assert (gap.code, "could not be told" in gap.message) == (GapCode.LATE_END, True)

    def test_is_nothing_to_wait_for_if_it_is_the_pods_sandbox(
        self, run_agent: Any, tracer: Any, operator: Any, app: list[Any], eventually: Any
    ) -> None:
        running = run_agent(lambda: Started(tracer, 1), operator)
        tracer.put(*app)
        eventually(lambda: "/etc/app.conf" in operator.script.paths())
        tracer.living = {5}
        running.stop()

        assert operator.script.accepted[-1].report.complete

    def test_is_not_waited_for_without_an_operator(
        self, run_agent: Any, tracer: Any, app: list[Any], eventually: Any
    ) -> None:
        running = run_agent(lambda: Started(tracer, 1))
        tracer.put(*app)
        eventually(lambda: running.named(ID), 3.5)
        tracer.living = {77}
        began = time.monotonic()
        running.stop()

        assert time.monotonic() - began < 1.0
        assert codes(running.report) == {GapCode.LATE_START, GapCode.LATE_END}

    def test_an_error_of_the_agents_own_meanwhile_does_not_keep_it_from_saying_goodbye(
        self, run_agent: Any, tracer: Any, operator: Any, app: list[Any], event: Any, eventually: Any
    ) -> None:
        running = run_agent(lambda: Started(tracer, 1), operator)
        tracer.put(*app)
        eventually(lambda: "/etc/app.conf" in operator.script.paths())
        tracer.living = {77}
        running.alarm.stop()
        running.interrupt()
        time.sleep(0.2)
        tracer.put("no event", event("/after"))
        tracer.living = set()
        running.thread.join(5.0)

        assert operator.script.accepted[-1].final
        assert codes(operator.script.accepted[-1].report) == {GapCode.RECORDS_LOST}


def test_records_that_there_is_no_time_to_read_at_the_end_are_a_gap(
    run_agent: Any,
    tracer: Any,
    operator: Any,
    app: list[Any],
    event: Any,
    eventually: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "DRAIN", 0.0)
    running = run_agent(lambda: Started(tracer, 1), operator)
    tracer.put(*app)
    eventually(lambda: "/etc/app.conf" in operator.script.paths())
    running.alarm.stopping = True
    tracer.put(*(event(f"/{number}") for number in range(5000)))
    running.stop()

    assert codes(operator.script.accepted[-1].report) == {GapCode.RECORDS_LOST}


def test_an_operator_that_is_away_at_the_end_delays_the_pod_by_seconds_only(
    run_agent: Any,
    tracer: Any,
    start_operator: Any,
    app: list[Any],
    eventually: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LAST_WORDS", 1.0)
    away = start_operator(0)
    away.stop()
    running = run_agent(lambda: Started(tracer, 1), away)
    tracer.put(*app)
    eventually(lambda: running.agent.numbers().outbox)
    began = time.monotonic()
    running.stop()

    assert time.monotonic() - began < module.LAST_WORDS + 1.5
    left = sidecar.Outbox(running.data / "outbox", 2, "00")
    assert left.left_over >= 1
