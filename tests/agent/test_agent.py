"""The whole agent but the kernel: a scripted tracer, a real HTTPS operator, real files, a real thread."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.agent.running import ID, codes

from snoop_agent import agent as module
from snoop_agent import delivery, state
from snoop_agent.agent import Started
from snoop_agent.kernel import KernelError
from snoop_agent.tracing import Counters
from snoop_report.model import Acknowledgement, Gap, GapCode, Identity


def test_news_reaches_the_operator_within_a_second(
    run_agent: Any, tracer: Any, operator: Any, app: list[Any], event: Any, eventually: Any
) -> None:
    running = run_agent(lambda: Started(tracer, 1), operator)
    eventually(lambda: running.attached)
    tracer.put(*app)
    eventually(lambda: "/etc/app.conf" in operator.script.paths(), 1.5)
    began = time.monotonic()
    tracer.put(event("/late"))
    eventually(lambda: "/late" in operator.script.paths(), 1.5)

    assert time.monotonic() - began < 1.3
    last = operator.script.accepted[-1]
    assert (last.report.pod_name, last.report.namespace, last.report.pod_uid) == ("web-0", "shop", "u-1")
    assert (last.report.agent.hooks, last.report.agent.attach) == ("syscalls", "tracepoint")
    assert last.report.containers[0].id == ID
    assert last.report.complete
    assert (last.report.exclude, last.report.max_unique_files) == (("/dev/", "/proc/", "/sys/"), 100_000)


def test_the_operator_hears_of_an_agent_within_two_seconds_even_if_it_still_prepares(
    run_agent: Any, tracer: Any, operator: Any, eventually: Any
) -> None:
    ready = threading.Event()

    def slow() -> Started:
        ready.wait(10)
        return Started(tracer)

    running = run_agent(slow, operator)
    eventually(lambda: operator.script.accepted, 2.6)

    assert not running.attached
    assert operator.script.accepted[0].report.agent.hooks == ""
    ready.set()
    eventually(lambda: running.attached)
    eventually(lambda: operator.script.accepted[-1].report.agent.hooks == "syscalls")


def test_an_agent_without_news_sends_heartbeats_with_counters(
    run_agent: Any, tracer: Any, operator: Any, app: list[Any], eventually: Any
) -> None:
    run_agent(lambda: Started(tracer, 1), operator, SNOOP_INTERVAL="1s")
    tracer.put(*app)
    eventually(lambda: "/etc/app.conf" in operator.script.paths())
    tracer.numbers = {77: Counters(1000, 2, 0, 61)}
    eventually(lambda: operator.script.accepted[-1].report.total_events == 1000, 2.5)

    assert operator.script.accepted[-1].report.containers[0].observations == {}


@pytest.mark.parametrize(
    "error", [KernelError("no BTF: it does not exist"), RuntimeError("compiler crashed"), OSError()]
)
def test_an_agent_that_cannot_trace_lets_the_pod_start_says_why_and_lives_on(
    run_agent: Any, operator: Any, error: Exception, eventually: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> Started:
        raise error

    running = run_agent(fail, operator)
    eventually(lambda: running.attached, 1.0)
    eventually(lambda: operator.script.accepted and codes(operator.script.accepted[-1].report))

    assert codes(operator.script.accepted[-1].report) == {GapCode.NOT_TRACING}
    assert running.thread.is_alive()
    said = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(said) == 1
    assert str(error) in said[0].getMessage()
    assert running.agent.numbers().ready


def test_an_agent_that_takes_too_long_lets_the_pod_start_and_says_that_it_was_late(
    run_agent: Any, tracer: Any, operator: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.3)
    ready = threading.Event()

    def slow() -> Started:
        ready.wait(10)
        return Started(tracer)

    running = run_agent(slow, operator)
    time.sleep(0.1)
    assert not running.attached
    eventually(lambda: running.attached, 1.5)
    ready.set()
    eventually(lambda: running.agent.numbers().tracing)
    running.stop()

    assert codes(operator.script.accepted[-1].report) == {GapCode.LATE_START}


def test_a_tracer_that_breaks_is_a_gap_and_what_was_recorded_stays(
    run_agent: Any, tracer: Any, operator: Any, app: list[Any], eventually: Any
) -> None:
    running = run_agent(lambda: Started(tracer, 1), operator)
    tracer.put(*app)
    eventually(lambda: "/etc/app.conf" in operator.script.paths())
    tracer.error = OSError(5, "Input/output error")
    eventually(lambda: codes(operator.script.accepted[-1].report) == {GapCode.NOT_TRACING})
    running.stop()

    assert "/etc/app.conf" in running.report.containers[0].files


def test_an_error_of_the_agents_own_is_a_gap_and_does_not_end_it(
    run_agent: Any, tracer: Any, operator: Any, app: list[Any], event: Any, eventually: Any
) -> None:
    running = run_agent(lambda: Started(tracer, 1), operator)
    tracer.put(*app)
    eventually(lambda: "/etc/app.conf" in operator.script.paths())
    tracer.put("no event")
    eventually(lambda: codes(operator.script.accepted[-1].report) == {GapCode.RECORDS_LOST})
    tracer.put(event("/after"))
    eventually(lambda: "/after" in operator.script.paths())
    assert running.thread.is_alive()


def test_a_second_run_says_so_and_sends_what_the_first_one_could_not(
    run_agent: Any, tracer: Any, start_operator: Any, app: list[Any], eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LAST_WORDS", 0.3)
    away = start_operator(0)
    away.stop()
    first = run_agent(lambda: Started(tracer, 1), away)
    tracer.put(*app)
    eventually(lambda: first.agent.numbers().outbox)
    first.stop()
    operator = start_operator(away.port)

    second = run_agent(lambda: Started(tracer, 1), operator)
    eventually(lambda: len({delta.boot for delta in operator.script.accepted}) == 2)

    assert "/etc/app.conf" in operator.script.paths()
    assert codes(operator.script.accepted[0].report) == set()
    assert codes(operator.script.accepted[-1].report) == {GapCode.AGENT_RESTARTED}
    assert second.attached


def test_after_two_deaths_while_preparing_it_does_not_try_again(
    run_agent: Any, operator: Any, tmp_path: Path, eventually: Any
) -> None:
    data = tmp_path / "data"
    for _ in range(2):
        state.keep(data, state.preparing(state.begin(data)))

    def explode() -> Started:
        pytest.fail("it tried again")

    running = run_agent(explode, operator)
    eventually(lambda: running.attached, 1.0)
    eventually(lambda: operator.script.accepted)
    assert codes(operator.script.accepted[-1].report) == {GapCode.AGENT_RESTARTED, GapCode.NOT_TRACING}
    assert "memory limit" in operator.script.accepted[-1].report.gaps[-1].message


def test_ending_while_preparing_is_no_death(run_agent: Any, tmp_path: Path, operator: Any) -> None:
    ready = threading.Event()

    def slow() -> Started:
        ready.wait(10)
        raise KernelError("too late")

    running = run_agent(slow, operator)
    time.sleep(0.1)
    running.stop()
    ready.set()

    assert state.begin(tmp_path / "data").deaths == 0
    assert operator.script.accepted[-1].final


def test_an_earlier_runs_mark_does_not_let_the_pod_start(
    run_agent: Any, tracer: Any, tmp_path: Path, eventually: Any
) -> None:
    (tmp_path / "data" / "attached").touch()
    ready = threading.Event()

    def slow() -> Started:
        ready.wait(10)
        return Started(tracer)

    running = run_agent(slow)
    eventually(lambda: not running.attached, 1.0)
    ready.set()
    eventually(lambda: running.attached, 1.0)


def test_a_new_store_gets_everything_again_and_is_told_where_it_begins_and_ends(
    run_agent: Any,
    tracer: Any,
    operator: Any,
    app: list[Any],
    event: Any,
    eventually: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_agent(lambda: Started(tracer, 1), operator)
    tracer.put(*app)
    eventually(lambda: "/etc/app.conf" in operator.script.paths())
    operator.script.accepted.clear()
    operator.script.answer = lambda delta: Acknowledgement(delta.sequence, "store-2", resend=not delta.full)
    monkeypatch.setattr(delivery, "DELTA_OBSERVATIONS", 1)
    tracer.put(event("/one-more"))
    eventually(lambda: any(delta.full and not delta.more for delta in operator.script.accepted))

    full = [delta for delta in operator.script.accepted if delta.full]
    paths = {seen.path for delta in full for one in delta.report.containers for seen in one.observations.values()}
    assert paths == {"/usr/bin/app", "/etc/app.conf", "/one-more"}
    first = full[0].sequence
    assert first > 1
    assert [(delta.sequence, delta.full_since, delta.more) for delta in full] == [
        (first, first, True),
        (first + 1, first, True),
        (first + 2, first, False),
    ]


def test_the_store_is_reminded_of_the_highest_revision_that_it_acknowledged(
    run_agent: Any, tracer: Any, operator: Any, app: list[Any], event: Any, eventually: Any
) -> None:
    answers = [("one", 41), ("one", 40), ("one", 42), ("two", 3), ("two", 4)]
    operator.script.answer = lambda delta: Acknowledgement(
        delta.sequence, answers[delta.sequence - 1][0], revision=answers[delta.sequence - 1][1]
    )
    run_agent(lambda: Started(tracer, 1), operator, SNOOP_INTERVAL="1s")
    tracer.put(*app)
    eventually(lambda: len(operator.script.accepted) == len(answers), 10.0)

    told = [(delta.store, delta.revision) for delta in operator.script.accepted]
    assert told == [("", 0), ("one", 41), ("one", 41), ("one", 42), ("two", 3)]


def test_much_news_is_split(
    run_agent: Any, tracer: Any, operator: Any, app: list[Any], event: Any, eventually: Any
) -> None:
    run_agent(lambda: Started(tracer, 1), operator)
    tracer.put(*app, *(event(f"/usr/{number}") for number in range(12_000)))
    eventually(lambda: len(operator.script.paths()) == 12_002, 10.0)

    sizes = [sum(len(one.observations) for one in delta.report.containers) for delta in operator.script.accepted]
    assert max(sizes) <= 5000


def test_the_report_file_learns_the_containers_names(
    run_agent: Any, tracer: Any, operator: Any, app: list[Any], eventually: Any
) -> None:
    operator.script.answer = lambda delta: Acknowledgement(
        delta.sequence, "s", containers={ID: Identity("web", "nginx:1", "sha256:1")}
    )
    running = run_agent(lambda: Started(tracer, 1), operator, SNOOP_INTERVAL="1s")
    tracer.put(*app)
    eventually(lambda: running.named("web"))


def test_on_its_own_it_writes_the_file_and_does_not_claim_to_have_been_first(
    run_agent: Any, tracer: Any, app: list[Any], eventually: Any
) -> None:
    running = run_agent(lambda: Started(tracer, 1))
    tracer.put(*app)
    eventually(lambda: running.named(ID), 3.5)

    assert running.report.containers[0].files == ["/etc/app.conf", "/usr/bin/app"]
    assert running.report.containers[0].name == ID
    assert codes(running.report) == {GapCode.LATE_START}
    assert not (running.data / "outbox").exists()


def test_the_tracers_gaps_and_losses_arrive(
    run_agent: Any, tracer: Any, operator: Any, app: list[Any], eventually: Any
) -> None:
    tracer.known_gaps = [Gap(GapCode.BLIND_SPOT, "32-bit code", 1.0, 3, "77")]
    tracer.numbers = {77: Counters(10, 3, 2, 0)}
    run_agent(lambda: Started(tracer, 1), operator)
    tracer.put(*app)
    eventually(lambda: len(operator.script.accepted[-1].report.gaps) == 2 if operator.script.accepted else False)

    gaps = operator.script.accepted[-1].report.gaps
    assert {(gap.code, gap.container, gap.count) for gap in gaps} == {
        (GapCode.BLIND_SPOT, ID, 3),
        (GapCode.RECORDS_LOST, ID, 2),
    }


def test_an_idle_agent_is_an_idle_process(
    run_agent: Any, tracer: Any, operator: Any, app: list[Any], eventually: Any
) -> None:
    run_agent(lambda: Started(tracer, 1), operator)
    tracer.put(*app)
    eventually(lambda: "/etc/app.conf" in operator.script.paths())
    time.sleep(2.5)  # the first report file
    polls = tracer.polls
    time.sleep(3.0)

    assert tracer.polls - polls <= 4


def test_a_read_only_volume_does_not_stop_it_but_hides_restarts(
    run_agent: Any, tracer: Any, operator: Any, app: list[Any], tmp_path: Path, eventually: Any
) -> None:
    (tmp_path / "file").touch()
    run_agent(
        lambda: Started(tracer, 1),
        operator,
        SNOOP_DATA_DIRECTORY=str(tmp_path / "file" / "x"),
        SNOOP_REPORT=str(tmp_path / "file" / "x" / "r"),
    )
    tracer.put(*app)
    eventually(lambda: "/etc/app.conf" in operator.script.paths())
    (gap,) = operator.script.accepted[-1].report.gaps
    assert gap.code is GapCode.AGENT_RESTARTED, "it leaves no mark, and would not find one"
    assert "cannot tell" in gap.message
