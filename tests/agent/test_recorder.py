import errno
from typing import Any

import pytest

from snoop_agent import wire
from snoop_agent.recorder import Recorder
from snoop_agent.tracing import Counters
from snoop_report.model import Gap, GapCode, Identity, Kind, Outcome

ID = "c" * 64
OTHER = "d" * 64
BOOT = 1_700_000_000.0


def recorder(**options: Any) -> Recorder:
    return Recorder(boot_time=lambda: BOOT, **options)


@pytest.fixture
def first(event: Any) -> Any:
    """A container's first record: its program is executed."""
    return lambda **changes: event("/usr/bin/app", kinds=wire.EXECUTE, **changes)


def gaps(told: Recorder) -> set[tuple[GapCode, str]]:
    return {(gap.code, gap.container) for gap in told.cut(9999, 1 << 20, final=True).gaps}


def test_records_become_observations_of_their_container(event: Any, first: Any, announcement: Any) -> None:
    told = recorder()
    told.record([first(), announcement(), event("passwd", base=b"/etc", target=b"/etc/passwd", time_ns=2_500_000_000)])
    told.record([event("/nope", error=-errno.ENOENT, kinds=wire.STAT)])
    told.count({77: Counters(events=12, records=3, lost=0, runtime=61)})

    (container,) = told.cut(9999, 1 << 20).containers

    assert (container.id, container.cgroup_id, container.cgroup_path) == (ID, 77, f"/kubepods/pod1/{ID}")
    assert container.files == ["/etc/passwd", "/usr/bin/app"]
    assert container.missing == ["/nope"]
    seen = container.observations[("/etc/passwd", "/etc/passwd", Outcome.EXISTS)]
    assert (seen.kinds, seen.first_seen, seen.executable) == ({Kind.READ}, BOOT + 2.5, "/usr/bin/app")
    assert (container.total_events, container.dropped_events, container.started_at) == (12, 0, BOOT + 1)
    assert told.unique_files == 2


def test_two_containers_are_told_apart(event: Any, first: Any, announcement: Any) -> None:
    told = recorder()
    told.record([first(), announcement(), first(container=78), announcement(78, OTHER)])
    told.record([event("/a", container=78), event("/b")])
    told.identify({OTHER: Identity("side", "busybox:1", "sha256:2")})

    one, two = told.cut(9999, 1 << 20).containers

    assert (one.id, one.name, one.files) == (ID, "", ["/b", "/usr/bin/app"])
    assert (two.id, two.name, two.image, two.files) == (OTHER, "side", "busybox:1", ["/a", "/usr/bin/app"])


def test_what_was_cut_is_news_no_longer_and_counters_are_always_there(
    event: Any, first: Any, announcement: Any
) -> None:
    told = recorder()
    told.record([first(), announcement()])
    assert told.news
    told.cut(9999, 1 << 20)
    assert not told.news

    (container,) = told.cut(9999, 1 << 20).containers
    assert (container.observations, container.total_events) == ({}, 1)

    told.record([event("/new")])
    assert told.news
    assert told.cut(9999, 1 << 20).containers[0].files == ["/new"]


def test_a_cut_is_bounded_over_all_containers(event: Any, first: Any, announcement: Any) -> None:
    told = recorder()
    told.record([first(), announcement(), first(container=78), announcement(78, OTHER)])
    told.record([event(f"/{number}", container=77 + number % 2) for number in range(20)])

    sizes = []
    while told.due():
        sizes.append(sum(len(one.observations) for one in told.cut(8, 1 << 20).containers))

    assert sizes == [8, 8, 6]


def test_evidence_waits_for_its_containers_name_unless_the_end_has_come(first: Any) -> None:
    told = Recorder()  # of now: a container that began long ago has waited enough
    told.record([first(time_ns=_now_ns())])

    assert not told.due()
    assert told.cut(9999, 1 << 20).containers == []
    assert told.due(final=True)
    assert told.cut(9999, 1 << 20, final=True).containers[0].id == "cgroup-77"


def test_evidence_that_went_out_unnamed_goes_out_again_under_its_name(first: Any, announcement: Any) -> None:
    told = recorder()
    told.record([first()])
    assert told.cut(9999, 1 << 20).containers[0].id == "cgroup-77"

    told.record([announcement()])

    (container,) = told.cut(9999, 1 << 20).containers
    assert (container.id, container.files) == (ID, ["/usr/bin/app"])


def test_the_runtimes_monitor_is_left_out(first: Any, announcement: Any) -> None:
    told = recorder()
    told.record([first(), announcement(77, f"crio-conmon-{ID}.scope")])
    told.gap(Gap(GapCode.BLIND_SPOT, "x", 1.0, 1, "77"))

    report = told.cut(9999, 1 << 20, final=True)

    assert report.containers == []
    assert report.gaps == []
    assert told.events == {}


def test_a_container_whose_first_record_is_no_execution_ran_before_us(event: Any, announcement: Any) -> None:
    told = recorder()
    told.record([event("/etc/passwd"), announcement()])
    failed = recorder()
    failed.record([event("/usr/bin/app", kinds=wire.EXECUTE, error=-errno.ENOENT), announcement()])

    assert gaps(told) == gaps(failed) == {(GapCode.LATE_START, ID)}


def test_a_container_whose_cgroup_is_older_than_the_agents_ran_before_us(first: Any, announcement: Any) -> None:
    late, timely = recorder(), recorder()
    late.attached("syscalls", "tracepoint", own=78)
    timely.attached("syscalls", "tracepoint", own=76)
    for told in (late, timely):
        told.record([first(), announcement()])

    assert gaps(late) == {(GapCode.LATE_START, ID)}
    assert gaps(timely) == set()
    assert timely.cut(1, 1).agent.attach == "tracepoint"


def test_every_loss_is_counted_and_is_a_gap_of_its_container(first: Any, announcement: Any) -> None:
    told = recorder()
    told.record([first(), announcement()])
    told.cut(9999, 1 << 20)
    told.count({77: Counters(9, 3, 4, 0)})
    assert told.news
    told.count({77: Counters(9, 3, 6, 0)})
    told.count({77: Counters(2, 1, 1, 0)})  # the kernel forgot, and began anew

    report = told.cut(9999, 1 << 20)

    assert [(gap.code, gap.container, gap.count) for gap in report.gaps] == [(GapCode.RECORDS_LOST, ID, 6)]
    assert (report.total_events, report.dropped_events) == (9, 6)


def test_a_container_of_which_all_was_lost_is_a_gap_nevertheless() -> None:
    told = recorder()
    told.count({99: Counters(4, 0, 4, 0), 98: Counters(0, 0, 0, 61)})

    assert gaps(told) == {(GapCode.RECORDS_LOST, "cgroup-99")}


def test_repeated_trouble_is_one_gap_with_a_count(event: Any, first: Any, announcement: Any) -> None:
    told = recorder()
    told.record([first(), announcement()])
    told.record([event(f"/{number}", flags=wire.RESOLVED | wire.TRUNCATED) for number in range(3)])

    (gap,) = told.cut(9999, 1 << 20).gaps
    assert (gap.code, gap.count, gap.container, gap.since) == (GapCode.PATH_TRUNCATED, 3, ID, BOOT + 1)


def test_the_tracers_gaps_get_the_containers_id(first: Any, announcement: Any) -> None:
    told = recorder()
    told.record([first(), announcement()])
    told.gap(Gap(GapCode.BLIND_SPOT, "32-bit", 1.0, 2, "77"))
    told.gap(Gap(GapCode.BLIND_SPOT, "hooks", 1.0, 1))

    assert gaps(told) == {(GapCode.BLIND_SPOT, ID), (GapCode.BLIND_SPOT, "")}


def test_the_cap_is_a_gap_and_forgets_nothing(event: Any, first: Any, announcement: Any) -> None:
    told = recorder(max_unique_files=2)
    told.record([first(), announcement(), event("/a"), event("/b"), event("/c")])

    report = told.cut(9999, 1 << 20)

    assert report.containers[0].files == ["/a", "/usr/bin/app"]
    assert [(gap.code, gap.count, gap.container) for gap in report.gaps] == [(GapCode.CAP_REACHED, 2, ID)]


def test_exclusions_are_applied_before_anything_is_stored(event: Any, first: Any, announcement: Any) -> None:
    told = recorder(exclude=("/proc/",), max_unique_files=2)
    told.record([first(), announcement(), event("/proc/1/maps"), event("/proc/2/maps"), event("/etc/x")])

    report = told.cut(9999, 1 << 20)

    assert report.containers[0].files == ["/etc/x", "/usr/bin/app"]
    assert report.gaps == []


def _now_ns() -> int:
    import time

    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


@pytest.mark.parametrize(("asked", "whose"), [("/proc/1/root/etc/x", ""), ("/proc/self/cwd/x", ID)])
def test_use_through_anothers_place_is_a_gap_of_the_pod(
    event: Any, first: Any, announcement: Any, asked: str, whose: str
) -> None:
    told = recorder(exclude=("/proc/",))
    told.record([first(), announcement(), event(asked, target=b"", flags=0, kinds=wire.STAT)])
    assert gaps(told) == {(GapCode.BLIND_SPOT, whose)}
