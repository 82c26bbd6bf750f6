import copy
import itertools

from hypothesis import given
from hypothesis import strategies as st

from snoop_report.codec import report_to_dict
from snoop_report.merge import apply, merge_caps, merge_exclude, observe
from snoop_report.model import ContainerReport, Kind, Observation, Outcome, Report


def union(reports: list[Report]) -> object:
    into = Report()
    for report in reports:
        apply(into, copy.deepcopy(report))
    into.containers.sort(key=lambda container: container.id)
    for container in into.containers:
        container.cgroup_path = ""  # the agent's, the same in all of a container's reports
    return report_to_dict(into)


def test_in_whatever_order_and_however_often_deltas_arrive_they_tell_the_same(
    alike_reports: st.SearchStrategy[Report],
) -> None:
    @given(alike_reports, alike_reports, alike_reports)
    def check(one: Report, two: Report, three: Report) -> None:
        told = union([one, two, three])

        for order in itertools.permutations([one, two, three]):
            assert union(list(order)) == told
        assert union([one, two, one, three, three]) == told

    check()


def seen(**changes: object) -> Observation:
    values: dict[str, object] = {
        "path": "/a",
        "target": "/a",
        "outcome": Outcome.EXISTS,
        "kinds": frozenset({Kind.READ}),
        "first_seen": 1.0,
        "last_seen": 1.0,
    }
    return Observation(**(values | changes))  # type: ignore[arg-type]


def test_what_was_once_seen_on_the_containers_own_root_is_not_only_a_volumes() -> None:
    container = ContainerReport("c", 1, "")
    observe(container, seen(volume=True))

    assert observe(container, seen(volume=False))

    observe(container, seen(volume=True))
    assert [one.volume for one in container.observations.values()] == [False]


def test_what_once_had_a_name_keeps_it() -> None:
    container = ContainerReport("c", 1, "")
    observe(container, seen(path="/b", collapsed=True))
    assert container.files == ["/b"]

    assert observe(container, seen(path="/b", collapsed=False))

    assert container.files == ["/a", "/b"]


def test_merged_reports_exclude_what_either_did() -> None:
    assert merge_exclude(["/proc/", "/sys/"], ["/proc/self/", "/dev/"], []) == ("/dev/", "/proc/", "/sys/")
    assert merge_exclude(["/tmp", "/tmpfs/"], ["/tm\udcff"]) == ("/tmp", "/tm\udcff")
    assert merge_exclude(["/proc/"], ["/"]) == ("/",)


def test_of_merged_caps_the_strictest_holds() -> None:
    assert merge_caps(0, 100, 50) == 50
    assert merge_caps(0, 0) == 0


def test_a_repeat_tells_nothing_new() -> None:
    container = ContainerReport("c", 1, "")
    assert observe(container, seen())
    assert not observe(container, seen(first_seen=2.0, last_seen=2.0))
    assert observe(container, seen(kinds=frozenset({Kind.STAT})))


def test_the_program_that_came_first_is_kept_and_at_the_same_time_one_that_is_known() -> None:
    one, two, unknown = seen(executable="/bin/a"), seen(executable="/bin/b"), seen()
    for order in itertools.permutations([one, two, unknown, seen(first_seen=2.0, executable="/bin/0")]):
        container = ContainerReport("c", 1, "")
        for observation in order:
            observe(container, observation)
        assert [found.executable for found in container.observations.values()] == ["/bin/a"]
