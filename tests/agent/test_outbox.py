import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from snoop_agent import outbox as module
from snoop_agent.outbox import Outbox, halves
from snoop_report.codec import loads_delta
from snoop_report.model import ContainerReport, Gap, GapCode, Kind, Observation, Outcome, Report


def evidence(*paths: str, container: str = "c") -> Report:
    one = ContainerReport(container, 7, "/pod/c", total_events=9)
    for path in paths:
        seen = Observation(path, path, Outcome.EXISTS, frozenset({Kind.READ}), 1.0, 1.0)
        one.observations[seen.key] = seen
    return Report(containers=[one], gaps=[Gap(GapCode.BLIND_SPOT, "x", 1.0)])


def drain(box: Outbox) -> list[tuple[str, int, list[str], bool, bool]]:
    found = []
    while (first := box.first()) is not None:
        pending, body = first
        delta = loads_delta(body)
        assert (delta.boot, delta.sequence) == (pending.boot, pending.sequence)
        files = [path for one in delta.report.containers for path in one.files]
        found.append((delta.boot, delta.sequence, files, delta.full, delta.final))
        box.done(pending)
    return found


def test_deltas_come_out_in_order_until_they_are_done(tmp_path: Path) -> None:
    box = Outbox(tmp_path, 1, "aa")
    box.put(evidence("/a"))
    box.put(evidence("/b"), final=True)

    assert box.first() == box.first()
    assert drain(box) == [("aa", 1, ["/a"], False, False), ("aa", 2, ["/b"], False, True)]
    assert len(box) == 0
    assert not list(tmp_path.iterdir())


def test_a_killed_agents_deltas_are_posted_first_by_the_next_one_under_their_own_name(tmp_path: Path) -> None:
    script = """
import os, signal, sys, time
sys.path[:0] = sys.argv[2:]
from test_outbox import evidence
from snoop_agent.outbox import Outbox
box = Outbox(__import__("pathlib").Path(sys.argv[1]), 1, "ff")
for number in range(12):
    box.put(evidence(f"/{number:02d}"))
print("ready", flush=True)
while True:
    box.put(evidence("/more" * 2000))
    box.done(box._waiting[-1])
"""
    arguments = [sys.executable, "-c", script, str(tmp_path), str(Path(__file__).parent)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        os.kill(child.pid, signal.SIGKILL)

    box = Outbox(tmp_path, 2, "00")
    box.put(evidence("/new"))

    posted = [(boot, sequence, files) for boot, sequence, files, *_ in drain(box) if files != ["/more" * 2000]]
    assert posted == [("ff", number + 1, [f"/{number:02d}"]) for number in range(12)] + [("00", 1, ["/new"])]
    assert not list(tmp_path.iterdir())


def test_what_a_crash_of_the_machine_left_half_written_is_lost_and_counted(tmp_path: Path) -> None:
    Outbox(tmp_path, 1, "aa").put(evidence("/a"))
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:50])
    (tmp_path / ".000001-aa-00000002.json.part").write_bytes(b"{")

    box = Outbox(tmp_path, 2, "bb")
    box.put(evidence("/b"))

    assert drain(box) == [("bb", 1, ["/b"], False, False)]
    assert box.lost == 1
    assert not list(tmp_path.iterdir())


def test_heartbeats_leave_no_file(tmp_path: Path) -> None:
    box = Outbox(tmp_path, 1, "aa")
    box.put(evidence())

    assert not list(tmp_path.iterdir())
    assert drain(box) == [("aa", 1, [], False, False)]


def test_where_nothing_can_be_written_deltas_wait_in_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    box = Outbox(tmp_path / "file" / "outbox", 1, "aa")
    box.put(evidence("/a"))

    assert "wait in memory" in caplog.text
    assert drain(box) == [("aa", 1, ["/a"], False, False)]


def test_the_outbox_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT_COUNT", 3)
    box = Outbox(tmp_path, 1, "aa")
    for _ in range(2):
        box.put(evidence("/a"))
    assert box.room
    box.put(evidence("/a"))
    assert not box.room

    monkeypatch.setattr(module, "LIMIT_COUNT", 300)
    monkeypatch.setattr(module, "LIMIT_BYTES", 100)
    assert not box.room


@pytest.mark.parametrize("run", [1, 2])
def test_halves_take_the_place_of_what_was_too_large_and_numbers_go_on_rising(tmp_path: Path, run: int) -> None:
    """Also of an earlier run's (`run` 2)."""
    box = Outbox(tmp_path, 1, "aa")
    box.put(evidence("/a", "/b", "/c", "/d"), full_since=1, final=True)
    box.put(evidence("/e"))
    box.put(evidence())
    if run == 2:
        box = Outbox(tmp_path, 2, "bb")
    first = box.first()
    assert first is not None

    assert box.split(first[0])
    if run == 1:
        box.put(evidence("/f"))

    found = drain(box)
    assert [entry[:3] for entry in found[:3]] == [("aa", 1, ["/a", "/b"]), ("aa", 2, ["/c", "/d"]), ("aa", 3, ["/e"])]
    assert [entry[3:] for entry in found[:3]] == [(True, False), (True, True), (False, False)]
    if run == 1:
        assert [entry[:3] for entry in found[3:]] == [("aa", 4, []), ("aa", 5, ["/f"])]
    assert not list(tmp_path.iterdir())


def test_halves_of_one_part_of_everything_say_where_everything_begins_and_ends(tmp_path: Path) -> None:
    box = Outbox(tmp_path, 1, "aa")
    for more in (True, False):
        box.put(evidence("/a", "/b"), full_since=1, more=more)
    told = []
    while found := box.first():
        if sum(len(one.observations) for one in loads_delta(found[1]).report.containers) > 1:
            assert box.split(found[0])
            continue
        delta = loads_delta(found[1])
        told.append((delta.sequence, delta.full_since, delta.more))
        box.done(found[0])

    assert told == [(1, 1, True), (2, 1, True), (3, 1, True), (4, 1, False)]


def test_a_delta_that_is_refused_for_good_keeps_its_number_and_loses_its_observations(tmp_path: Path) -> None:
    box = Outbox(tmp_path, 1, "aa")
    box.put(evidence("/odd"))
    first = box.first()
    assert first is not None

    box.refused(first[0])

    assert box.lost == 1
    second = box.first()
    assert second is not None
    delta = loads_delta(second[1])
    assert (delta.sequence, [one.files for one in delta.report.containers]) == (1, [[]])
    box.refused(second[0])
    assert not box
    assert box.lost == 2


def test_halves_hold_all_observations_and_each_the_counters_and_gaps() -> None:
    report = evidence("/a", "/b", "/c")
    report.containers.append(evidence("/d", "/e", container="other").containers[0])

    first, second = halves(report)

    assert second is not None
    assert [one.files for one in first.containers] == [["/a", "/b"], []]
    assert [one.files for one in second.containers] == [["/c"], ["/d", "/e"]]
    assert first.total_events == second.total_events == report.total_events
    assert first.gaps == second.gaps == report.gaps
    assert halves(evidence("/a"))[1] is None


def test_before_everything_is_sent_again_what_waits_of_this_run_is_dropped(tmp_path: Path) -> None:
    Outbox(tmp_path, 1, "aa").put(evidence("/a"))
    box = Outbox(tmp_path, 2, "bb")
    box.put(evidence("/b"))
    box.drop_own()
    box.put(evidence("/all"), full_since=box.next_sequence)

    assert drain(box) == [("aa", 1, ["/a"], False, False), ("bb", 2, ["/all"], True, False)]
