import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from snoop_agent.answers import Verdict, judge
from snoop_agent.outbox import Outbox
from snoop_agent.post import Post
from snoop_agent.sender import LONGEST_PAUSE, Sender, pause_after
from snoop_report.model import Acknowledgement, ContainerReport, Delta, Kind, Observation, Outcome, Report

NAME = "snoop.snoop-system.svc"


def evidence(*paths: str) -> Report:
    one = ContainerReport("c", 7, "/pod/c", total_events=9)
    for path in paths:
        seen = Observation(path, path, Outcome.EXISTS, frozenset({Kind.READ}), 1.0, 1.0)
        one.observations[seen.key] = seen
    return Report(containers=[one])


@pytest.fixture
def box(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox", 1, "aa")


@pytest.fixture
def make_sender(box: Outbox, token: Path, tmp_path: Path, authority: Any) -> Iterator[Callable[..., Sender]]:
    started: list[Sender] = []

    def make(url: str, **options: Any) -> Sender:
        values = {"address": "127.0.0.1", "ca_bundle": authority.pem, "ca_file": tmp_path / "ca.pem"}
        sender = Sender(box, lambda: Post(url, token_file=token, **(values | options)))
        sender.start()
        started.append(sender)
        return sender

    yield make
    for sender in started:
        sender.finish(0.0)
        sender.join(5.0)
        assert not sender.is_alive()


def test_a_delta_arrives_with_the_token_at_the_address_under_the_services_name(
    operator: Any, box: Outbox, make_sender: Any, eventually: Any
) -> None:
    sender = make_sender(operator.url)
    box.put(evidence("/a"))
    sender.wake()

    eventually(lambda: sender.posted == 1)

    (received,) = operator.script.received
    assert (received.token, received.encoding) == ("t0ken", "")
    assert operator.script.paths() == {"/a"}
    assert len(box) == 0
    assert sender.acknowledged[0].store == "store-1"


def test_one_connection_serves_many_posts(operator: Any, box: Outbox, make_sender: Any, eventually: Any) -> None:
    sender = make_sender(operator.url)
    for number in range(5):
        box.put(evidence(f"/{number}"))
        sender.wake()
        eventually(lambda number=number: sender.posted == number + 1)

    assert operator.script.connections == 1


def test_large_deltas_are_compressed(operator: Any, box: Outbox, make_sender: Any, eventually: Any) -> None:
    box.put(evidence(*(f"/usr/lib/{number}" for number in range(2000))))
    sender = make_sender(operator.url)
    eventually(lambda: sender.posted == 1)

    (received,) = operator.script.received
    assert received.encoding == "gzip"
    assert received.size < 50_000
    assert len(operator.script.paths()) == 2000


def test_the_token_is_read_for_each_post(
    operator: Any, box: Outbox, token: Path, make_sender: Any, eventually: Any
) -> None:
    operator.script.statuses.append(401)
    sender = make_sender(operator.url)
    box.put(evidence("/a"))
    sender.wake()
    eventually(lambda: sender.failures == 1)
    token.write_text("newer")
    eventually(lambda: sender.posted == 1)

    assert [received.token for received in operator.script.received] == ["t0ken", "newer"]


@pytest.mark.parametrize("status", [500, 503, 429, 404])
def test_an_operator_that_cannot_take_it_now_gets_the_same_again_later(
    status: int, operator: Any, box: Outbox, make_sender: Any, eventually: Any
) -> None:
    operator.script.statuses.extend([status, status])
    box.put(evidence("/a"))
    sender = make_sender(operator.url)
    eventually(lambda: sender.posted == 1)

    assert [received.delta.sequence for received in operator.script.received] == [1, 1, 1]


def test_retry_after_is_kept(operator: Any, box: Outbox, make_sender: Any, eventually: Any) -> None:
    operator.script.statuses.append(503)
    operator.script.retry_after = "1"
    box.put(evidence("/a"))
    sender = make_sender(operator.url)
    eventually(lambda: sender.posted == 1)

    first, second = operator.script.received
    assert 1.0 <= second.at - first.at < 2.0


def test_what_is_too_large_is_halved_until_it_fits(
    operator: Any, box: Outbox, make_sender: Any, eventually: Any
) -> None:
    operator.script.largest = 2000
    paths = {f"/usr/lib/{number}" for number in range(60)}
    box.put(evidence(*paths))
    box.put(evidence("/after"))
    sender = make_sender(operator.url)
    eventually(lambda: len(box) == 0)

    assert operator.script.paths() == paths | {"/after"}
    numbers = [delta.sequence for delta in operator.script.accepted]
    assert numbers == list(range(1, len(numbers) + 1))
    assert box.lost == 0
    assert sender.failures > 1


def test_a_delta_that_is_refused_again_and_again_does_not_hold_up_the_others(
    operator: Any, box: Outbox, make_sender: Any, eventually: Any
) -> None:
    operator.script.statuses.extend([400, 400, 400])
    box.put(evidence("/bad"))
    box.put(evidence("/good"))
    make_sender(operator.url)
    eventually(lambda: len(box) == 0)

    assert operator.script.paths() == {"/good"}
    assert box.lost == 1


def test_reports_arrive_soon_after_the_operator_is_back(
    start_operator: Any, box: Outbox, make_sender: Any, eventually: Any, caplog: pytest.LogCaptureFixture
) -> None:
    away = start_operator(0)
    away.stop()
    box.put(evidence("/a"))
    sender = make_sender(away.url)
    eventually(lambda: sender.failures > 1)
    operator = start_operator(away.port)
    eventually(lambda: sender.posted == 1)

    assert operator.script.paths() == {"/a"}
    said = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(said) == 1
    assert "cannot reach the operator at 127.0.0.1" in said[0].getMessage()


def test_a_certificate_of_a_stranger_is_not_trusted(
    operator: Any, box: Outbox, make_sender: Any, make_authority: Any, eventually: Any
) -> None:
    box.put(evidence("/a"))
    sender = make_sender(operator.url, ca_bundle=make_authority("stranger").pem)
    eventually(lambda: sender.failures > 0)

    assert operator.script.received == []


def test_a_certificate_for_another_name_is_not_trusted(
    operator: Any, box: Outbox, make_sender: Any, eventually: Any
) -> None:
    box.put(evidence("/a"))
    sender = make_sender(operator.url.replace(NAME, "snoop.elsewhere.svc"))
    eventually(lambda: sender.failures > 0)

    assert operator.script.received == []


def test_a_new_ca_is_followed_and_outlives_the_agent(
    operator: Any, box: Outbox, make_sender: Any, make_authority: Any, tmp_path: Path, authority: Any, eventually: Any
) -> None:
    newer = make_authority("second CA")

    def announce(delta: Delta) -> Acknowledgement:
        return Acknowledgement(delta.sequence, "s", ca_bundle=authority.pem + newer.pem)

    operator.script.answer = announce
    sender = make_sender(operator.url)
    box.put(evidence("/a"))
    sender.wake()
    eventually(lambda: sender.posted == 1)
    operator.rotate(newer.sign(tmp_path))
    box.put(evidence("/b"))
    sender.wake()
    eventually(lambda: sender.posted == 2)

    assert newer.pem in (tmp_path / "ca.pem").read_text()
    again = make_sender(operator.url)
    box.put(evidence("/c"))
    again.wake()
    sender.wake()
    eventually(lambda: operator.script.paths() == {"/a", "/b", "/c"})


def test_stored_certificates_that_cannot_be_read_leave_the_first_ones(
    operator: Any, box: Outbox, make_sender: Any, tmp_path: Path, eventually: Any
) -> None:
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n")
    box.put(evidence("/a"))
    sender = make_sender(operator.url)
    eventually(lambda: sender.posted == 1)


def test_an_operator_with_a_new_store_is_heard_but_not_twice(
    operator: Any, box: Outbox, make_sender: Any, eventually: Any
) -> None:
    operator.script.answer = lambda delta: Acknowledgement(delta.sequence, "new", resend=True)
    sender = make_sender(operator.url)
    box.put(evidence("/a"))
    sender.wake()
    eventually(lambda: sender.posted == 1)
    assert sender.resend.is_set()

    sender.resend.clear()
    box.put(evidence("/a"), full_since=1)
    sender.wake()
    eventually(lambda: sender.posted == 2)
    assert not sender.resend.is_set()


def test_an_idle_connection_that_was_closed_is_no_failure(
    start_operator: Any, box: Outbox, make_sender: Any, eventually: Any
) -> None:
    first = start_operator(0)
    sender = make_sender(first.url)
    box.put(evidence("/a"))
    sender.wake()
    eventually(lambda: sender.posted == 1)
    sender._post._connection.sock.shutdown(2)

    box.put(evidence("/b"))
    sender.wake()
    eventually(lambda: sender.posted == 2)

    assert sender.failures == 0


def test_at_the_end_all_that_waits_is_posted_and_the_thread_ends(operator: Any, box: Outbox, make_sender: Any) -> None:
    operator.script.statuses.append(503)
    sender = make_sender(operator.url)
    for number in range(3):
        box.put(evidence(f"/{number}"), final=number == 2)
    sender.finish(5.0)
    sender.join(5.0)

    assert not sender.is_alive()
    assert operator.script.paths() == {"/0", "/1", "/2"}


def test_the_end_cuts_short_a_long_pause(start_operator: Any, box: Outbox, make_sender: Any, eventually: Any) -> None:
    away = start_operator(0)
    away.stop()
    box.put(evidence("/a"))
    sender = make_sender(away.url)
    eventually(lambda: sender.failures > 2)
    operator = start_operator(away.port)
    began = time.monotonic()
    sender.finish(5.0)
    sender.join(5.0)

    assert operator.script.paths() == {"/a"}
    assert time.monotonic() - began < 1.0


def test_the_end_does_not_wait_for_an_operator_that_hangs(
    operator: Any, box: Outbox, make_sender: Any, eventually: Any
) -> None:
    operator.script.stall = 30.0
    sender = make_sender(operator.url)
    box.put(evidence("/a"))
    sender.wake()
    eventually(lambda: operator.script.received)
    time.sleep(1.1)
    began = time.monotonic()
    sender.finish(1.0)
    sender.join(5.0)

    assert not sender.is_alive()
    assert time.monotonic() - began < 2.5


def test_a_dead_token_ends_it_at_once(operator: Any, box: Outbox, make_sender: Any) -> None:
    operator.script.status = 401
    sender = make_sender(operator.url)
    box.put(evidence("/a"))
    began = time.monotonic()
    sender.finish(6.0)
    sender.join(6.0)

    assert time.monotonic() - began < 2.0
    assert len(box) == 1


def test_an_idle_sender_sleeps(operator: Any, make_sender: Any) -> None:
    make_sender(operator.url)
    time.sleep(0.1)
    before = time.process_time()
    time.sleep(0.3)

    assert time.process_time() - before < 0.1
    assert threading.active_count() < 10
    assert operator.script.connections == 0


def test_what_status_codes_mean() -> None:
    assert [judge(status) for status in (400, 401, 403, 404, 413, 422, 429, 500, 503)] == [
        Verdict.REFUSED,
        Verdict.DENIED,
        Verdict.DENIED,
        Verdict.LATER,
        Verdict.SPLIT,
        Verdict.REFUSED,
        Verdict.LATER,
        Verdict.LATER,
        Verdict.LATER,
    ]


def test_pauses_double_spread_and_stay_short() -> None:
    assert pause_after(1, 0, 1.0) == 0.25
    assert pause_after(3, 0, 1.0) == 1.0
    assert pause_after(3, 0, 0.0) == 0.5
    assert pause_after(1000, 0, 1.0) == LONGEST_PAUSE
    assert pause_after(1, 7, 0.5) == 7
    assert pause_after(1, 86400, 0.5) == 30


def test_no_token_is_a_reason_to_wait(
    operator: Any, box: Outbox, token: Path, make_sender: Any, eventually: Any, caplog: pytest.LogCaptureFixture
) -> None:
    token.unlink()
    box.put(evidence("/a"))
    sender = make_sender(operator.url)
    eventually(lambda: sender.failures > 0)
    token.write_text("now")
    eventually(lambda: sender.posted == 1)

    assert "cannot read the token" in caplog.text
