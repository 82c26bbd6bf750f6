import contextlib
import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snoop_report.codec import (
    FormatError,
    dumps_acknowledgement,
    dumps_delta,
    dumps_report,
    loads_acknowledgement,
    loads_delta,
    loads_report,
    report_to_dict,
)
from snoop_report.model import (
    Acknowledgement,
    ContainerReport,
    Delta,
    GapCode,
    Identity,
    Kind,
    Observation,
    Outcome,
    Report,
)


def test_a_report_reads_back_as_it_was(reports: st.SearchStrategy[Report]) -> None:
    @given(reports)
    def check(report: Report) -> None:
        again = loads_report(dumps_report(report))

        assert report_to_dict(again) == report_to_dict(report)
        assert [one.files for one in again.containers] == [one.files for one in report.containers]

    check()


def test_a_delta_reads_back_as_it_was(reports: st.SearchStrategy[Report]) -> None:
    @given(reports, st.booleans(), st.booleans())
    def check(report: Report, full: bool, final: bool) -> None:
        delta = Delta("b00t", 3, report, full, final, full_since=2 if full else 0, more=full and not final)
        again = loads_delta(dumps_delta(delta))

        assert replace(again, report=report) == delta
        assert (again.report.exclude, again.report.max_unique_files) == (report.exclude, report.max_unique_files)
        assert report_to_dict(again.report) == report_to_dict(report)

    check()


def test_a_report_that_does_not_say_what_it_excludes_may_have_excluded_anything() -> None:
    assert loads_report('{"containers": []}').exclude == ("/",)
    assert loads_report('{"containers": [], "exclude": []}').exclude == ()
    with pytest.raises(FormatError, match=r"report\.exclude"):
        loads_report('{"exclude": ["/a", 1]}')


def test_an_acknowledgement_reads_back_as_it_was() -> None:
    answer = Acknowledgement(3, "store", True, {"abc": Identity("web", "nginx:1", "sha256:1")}, "PEM")

    assert loads_acknowledgement(dumps_acknowledgement(answer)) == answer


def test_files_are_what_exists_asked_and_resolved_and_nothing_that_lost_its_name() -> None:
    container = ContainerReport("id", 1, "/pod/id")
    for path, target, outcome, collapsed in (
        ("/bin/sh", "/usr/bin/dash", Outcome.EXISTS, False),
        ("/tmp/x", "/tmp/gone", Outcome.EXISTS, True),
        ("/nope", "", Outcome.MISSING, False),
        ("/secret", "", Outcome.DENIED, False),
    ):
        seen = Observation(path, target, outcome, frozenset({Kind.READ}), 1.0, 1.0, collapsed=collapsed)
        container.observations[seen.key] = seen

    shaped = report_to_dict(Report(containers=[container]))["containers"][0]

    assert shaped["files"] == ["/bin/sh", "/tmp/x", "/usr/bin/dash"]
    assert shaped["unique_files"] == 3
    assert shaped["missing"] == ["/nope"]


def test_a_report_of_upstream_is_read_as_reads_of_its_files() -> None:
    upstream = {
        "pod_name": "my-app",
        "namespace": "default",
        "started_at": "2026-01-15T10:30:00Z",
        "last_updated_at": "2026-01-15T10:31:00Z",
        "containers": [
            {"name": "nginx", "cgroup_id": 12345, "cgroup_path": "/kubepods/x", "files": ["/etc/a"], "total_events": 12}
        ],
        "total_events": 12,
        "dropped_events": 0,
    }

    report = loads_report(json.dumps(upstream))

    assert report.containers[0].files == ["/etc/a"]
    assert report.containers[0].id == "nginx"
    assert report.total_events == 12


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEYS = ["schema_version", "started_at", "containers", "gaps", "agent", "labels", "boot", "sequence", "report"]


@given(st.dictionaries(st.sampled_from(KEYS), JSON) | JSON)
def test_whatever_is_sent_is_a_report_or_a_format_error(document: object) -> None:
    text = json.dumps(document)
    for loads in (loads_report, loads_delta, loads_acknowledgement):
        with contextlib.suppress(FormatError):
            loads(text)


@given(st.binary(max_size=64))
def test_noise_is_a_format_error(raw: bytes) -> None:
    with pytest.raises(FormatError):
        loads_delta(raw)


def delta(observation: dict[str, object]) -> str:
    seen = {"path": "/a", "outcome": "exists", "kinds": ["read"], "first_seen": "2026-01-15T10:30:00Z"} | observation
    container = {"id": "c", "observations": [seen]}
    return json.dumps({"boot": "b", "sequence": 1, "report": {"containers": [container]}})


@pytest.mark.parametrize(
    ("observation", "place"),
    [
        ({"path": "/\ud800"}, r"observations\[0\].path: half of a surrogate"),
        ({"path": "/a\0b"}, r"observations\[0\].path: a NUL"),
        ({"target": "/a\\x00b"}, r"observations\[0\].target: a NUL"),
        ({"executable": "\udcff"}, r"observations\[0\].executable: half of a surrogate"),
        ({"kinds": ["\ud800"]}, r"observations\[0\].kinds: half of a surrogate"),
        ({"kinds": ["smelt"]}, r"observations\[0\].kinds: 'smelt'"),
        ({"outcome": "maybe"}, r"observations\[0\].outcome: 'maybe'"),
        ({"first_seen": "yesterday"}, r"observations\[0\].first_seen"),
        ({"volume": 1}, r"observations\[0\].volume: expected bool"),
    ],
)
def test_a_format_error_names_the_place(observation: dict[str, object], place: str) -> None:
    loads_delta(delta({}))
    with pytest.raises(FormatError, match=place):
        loads_delta(delta(observation))


@pytest.mark.parametrize("number", [-1, 1 << 63, math.inf, True])
def test_a_number_that_no_counter_can_reach_is_a_format_error(number: float) -> None:
    with pytest.raises(FormatError, match="total_events"):
        loads_report(json.dumps({"containers": [{"id": "c", "total_events": number}]}))


def test_a_report_of_a_newer_program_says_what_to_do() -> None:
    with pytest.raises(FormatError, match="update snoop"):
        loads_report('{"schema_version": 99}')


def test_every_gap_code_can_be_written() -> None:
    for code in GapCode:
        text = json.dumps({"gaps": [{"code": code.value, "message": "m", "since": "2026-01-15T10:30:00Z"}]})
        assert loads_report(text).gaps[0].code is code
