"""What holds for any path, report and pile of reports."""

import copy
import json
import posixpath
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snoop_report.codec import (
    FormatError,
    dumps_acknowledgement,
    dumps_delta,
    dumps_report,
    from_rfc3339,
    loads_acknowledgement,
    loads_delta,
    loads_report,
    to_rfc3339,
)
from snoop_report.merge import apply, merge_exclude
from snoop_report.model import (
    Acknowledgement,
    AgentInfo,
    ContainerReport,
    Delta,
    Gap,
    GapCode,
    Identity,
    Kind,
    Observation,
    Outcome,
    Report,
)
from snoop_report.paths import decode, escape, normalise, unescape

# Names as Linux has them: any byte but NUL and the slash; and those that meet what escapes are made of.
ANY_NAMES = st.binary(min_size=1, max_size=8).map(lambda raw: re.sub(rb"[\0/]", b"-", raw))
EDGY_NAMES = st.lists(
    st.sampled_from(
        [b"\\", b"x", b"5c", b"\\xff", b"\\x5c", b"\xff", b"\xc3", b"\xa9", b"\xed\xa0\x80", b"\n", b'"', b"\x7f"]
    ),
    min_size=1,
    max_size=6,
).map(b"".join)
NAMES = (ANY_NAMES | EDGY_NAMES | st.sampled_from([b".", b"..", b"...", b" ", b"etc"])).map(decode)
PROPER = NAMES.filter(lambda name: name not in (".", ".."))
RAW = (st.binary(max_size=40) | st.lists(EDGY_NAMES).map(b"/".join)).map(lambda raw: raw.replace(b"\0", b"0"))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
FEW = st.sampled_from(["", "1", "2"]) | TEXT
MILLISECONDS = st.integers(0, 253_402_300_799_000).map(lambda number: number / 1000)


def absolute(names: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(names, max_size=5).map(lambda parts: "/" + "/".join(parts))


ROOTS = absolute(PROPER)
ASKED = st.builds(
    lambda start, parts, glue, end: start + glue.join(parts) + end,
    st.sampled_from(["", "/", "//", "///"]),
    st.lists(NAMES, max_size=6),
    st.sampled_from(["/", "//", "/./"]),
    st.sampled_from(["", "/", "/.", "/.."]),
)


# Paths.


@given(RAW)
def test_any_file_name_is_written_as_valid_text_and_reads_back_byte_by_byte(raw: bytes) -> None:
    text = escape(decode(raw))

    assert unescape(json.loads(json.dumps(text, ensure_ascii=False).encode())).encode("utf-8", "surrogateescape") == raw


@given(RAW, RAW)
def test_two_file_names_are_never_written_alike(one: bytes, two: bytes) -> None:
    assert (escape(decode(one)) == escape(decode(two))) == (one == two)


@given(TEXT | st.text())
def test_whatever_text_is_read_as_a_path_is_refused_or_can_be_written(text: str) -> None:
    try:
        path = unescape(text)
    except ValueError:
        return
    assert unescape(escape(path)) == path


@given(ASKED, ROOTS, ROOTS)
def test_a_normal_path_is_absolute_and_normal_and_normal_again(asked: str, base: str, root: str) -> None:
    path = normalise(asked, base, root)

    assert path.startswith("/")
    assert path == "/" or not {"", ".", ".."} & set(path[1:].split("/"))
    assert normalise(path) == path


@given(ASKED, ROOTS)
def test_a_normal_path_never_climbs_above_the_root_it_starts_from(asked: str, root: str) -> None:
    inside = root.rstrip("/") + "/"
    for path in (
        normalise("/" + asked, "/", root),
        normalise(asked, root, root),
        normalise(asked, inside + "a/b", root),
    ):
        assert (path + "/").startswith(inside)


@given(ASKED, ROOTS)
def test_a_normal_path_is_what_posix_makes_of_it(asked: str, base: str) -> None:
    """posixpath keeps a second leading slash, which Linux does not."""
    expected = posixpath.normpath(posixpath.join("/", base, asked))

    assert normalise(asked, base) == re.sub("^//", "/", expected)


@given(ASKED, ROOTS, ROOTS)
def test_a_path_below_a_root_is_that_root_and_what_it_would_be_without(asked: str, base: str, root: str) -> None:
    free = normalise(asked, base)
    jailed = normalise(asked, root.rstrip("/") + base, root)

    assert jailed == (root.rstrip("/") + free).rstrip("/") or jailed == free == "/"


# Documents.


@st.composite
def observations(draw: st.DrawFn, paths: st.SearchStrategy[str]) -> Observation:
    first = draw(MILLISECONDS)
    return Observation(
        path=draw(paths),
        target=draw(st.just("") | paths),
        outcome=draw(st.sampled_from(Outcome)),
        kinds=draw(st.frozensets(st.sampled_from(Kind))),
        first_seen=first,
        last_seen=max(first, draw(MILLISECONDS)),
        executable=draw(st.just("") | paths),
        volume=draw(st.booleans()),
        collapsed=draw(st.booleans()),
    )


@st.composite
def containers(draw: st.DrawFn, paths: st.SearchStrategy[str]) -> ContainerReport:
    # What the agent or the operator may not know yet is there or empty, never two things for one container.
    name = draw(st.sampled_from(["one", "two"]))
    known = st.sampled_from([name, ""])
    container = ContainerReport(
        id=name,
        cgroup_id=draw(st.sampled_from([0, len(name)])),
        cgroup_path=draw(known.map(lambda part: part and f"/pod/{part}")),
        name=draw(known),
        image=draw(known),
        digest=draw(known),
        total_events=draw(st.integers(0, 2**63 - 1)),
        dropped_events=draw(st.integers(0, 2**63 - 1)),
        started_at=draw(MILLISECONDS),
    )
    for seen in draw(st.lists(observations(paths), max_size=4)):
        container.observations[seen.key] = seen
    return container


def reports(paths: st.SearchStrategy[str]) -> st.SearchStrategy[Report]:
    gaps = st.builds(
        Gap, st.sampled_from(GapCode), TEXT, MILLISECONDS, st.integers(0, 2**63 - 1), st.just("one") | TEXT
    )
    return st.builds(
        Report,
        pod_name=TEXT,
        namespace=TEXT,
        pod_uid=TEXT,
        node=TEXT,
        labels=st.dictionaries(TEXT, TEXT, max_size=2),
        started_at=MILLISECONDS,
        last_updated_at=MILLISECONDS,
        containers=st.lists(containers(paths), max_size=3),
        gaps=st.lists(gaps, max_size=3),
        exclude=st.lists(st.just("") | paths, max_size=3).map(merge_exclude),
        max_unique_files=st.integers(0, 2),
        agent=st.builds(AgentInfo, FEW, FEW, FEW, FEW),
    )


ANY = reports(absolute(NAMES))
ALIKE = reports(st.sampled_from(["/a", "/b", "/a/\udcff"]))
ACKNOWLEDGEMENTS = st.builds(
    Acknowledgement,
    sequence=st.integers(0, 2**63 - 1),
    store=TEXT,
    resend=st.booleans(),
    containers=st.dictionaries(TEXT, st.builds(Identity, TEXT, TEXT, TEXT), max_size=3),
    ca_bundle=TEXT,
)


@given(MILLISECONDS)
def test_a_time_reads_back_to_the_millisecond(seconds: float) -> None:
    assert from_rfc3339(to_rfc3339(seconds)) == seconds


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "1969-12-31T23:59:59.999Z"])
def test_a_time_before_the_epoch_is_none(text: str) -> None:
    """Go's zero time is written so."""
    assert loads_report(json.dumps({"started_at": text})).started_at == 0.0


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59-14:00", "2026-01-15T10:30:00"])
def test_a_time_that_cannot_be_written_again_is_refused(text: str) -> None:
    with pytest.raises(FormatError, match=r"report\.started_at"):
        loads_report(json.dumps({"started_at": text}))


def test_a_label_that_is_no_text_is_refused() -> None:
    for labels in ({"\ud800": "web"}, {"app": "\udfff"}):
        with pytest.raises(FormatError, match="half of a surrogate pair"):
            loads_report(json.dumps({"labels": labels}))


def test_what_stands_twice_in_a_container_is_one_observation_with_all_its_kinds() -> None:
    seen = {"path": "/a", "outcome": "exists", "first_seen": "2026-01-15T10:30:00Z"}
    twice = [seen | {"kinds": ["read"]}, seen | {"kinds": ["stat"]}]

    (container,) = loads_report(json.dumps({"containers": [{"id": "c", "observations": twice}]})).containers

    assert [one.kinds for one in container.observations.values()] == [{Kind.READ, Kind.STAT}]


@given(ANY)
def test_any_report_is_valid_json_and_reads_back_equal(report: Report) -> None:
    text = dumps_report(report)

    json.loads(text.encode())
    assert loads_report(text) == loads_report(text.encode()) == report


@given(ANY, st.integers(1, 2**63 - 1), TEXT.filter(bool), st.booleans(), st.booleans())
def test_any_delta_is_valid_json_and_reads_back_equal(
    report: Report, sequence: int, boot: str, full: bool, final: bool
) -> None:
    delta = Delta(boot, sequence, report, full, final)
    raw = dumps_delta(delta)

    json.loads(raw)
    assert loads_delta(raw) == delta


@given(ACKNOWLEDGEMENTS)
def test_any_acknowledgement_is_valid_json_and_reads_back_equal(answer: Acknowledgement) -> None:
    raw = dumps_acknowledgement(answer)

    json.loads(raw)
    assert loads_acknowledgement(raw) == answer


UPSTREAM = {"pod_name", "namespace", "started_at", "last_updated_at", "containers", "total_events", "dropped_events"}
UPSTREAM_CONTAINER = {"name", "cgroup_id", "cgroup_path", "files", "total_events", "unique_files"}


@given(ANY)
def test_any_report_has_upstreams_keys_with_upstreams_meaning(report: Report) -> None:
    document = json.loads(dumps_report(report))

    assert set(document) >= UPSTREAM
    assert document["total_events"] == sum(one["total_events"] for one in document["containers"])
    for shaped, container in zip(document["containers"], report.containers, strict=True):
        assert set(shaped) >= UPSTREAM_CONTAINER
        assert shaped["unique_files"] == len(shaped["files"]) == len(set(shaped["files"]))
        exists = [seen for seen in container.observations.values() if seen.outcome is Outcome.EXISTS]
        assert {escape(seen.path) for seen in exists} <= set(shaped["files"])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.text("\\x0f5c/\ud800\udcff", max_size=9),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)


def mutated(document: Any, draw: st.DrawFn) -> Any:
    """Put anything in the place of anything, somewhere."""
    if not isinstance(document, dict | list) or not document or draw(st.integers(0, 4)) == 0:
        return draw(JSON)
    changed = copy.copy(document)
    places = sorted(changed) if isinstance(changed, dict) else range(len(changed))
    place = draw(st.sampled_from(places))
    if isinstance(changed, dict) and draw(st.integers(0, 9)) == 0:
        changed[draw(st.text())] = changed.pop(place)
    else:
        changed[place] = mutated(changed[place], draw)
    return changed


@given(ANY, ACKNOWLEDGEMENTS, st.data())
def test_a_document_with_anything_in_it_is_refused_with_words_or_can_be_written(
    report: Report, answer: Acknowledgement, data: st.DataObject
) -> None:
    for loads, dumps, whole in (
        (loads_report, lambda one: dumps_report(one).encode(), dumps_report(report)),
        (loads_delta, dumps_delta, dumps_delta(Delta("b", 1, report))),
        (loads_acknowledgement, dumps_acknowledgement, dumps_acknowledgement(answer)),
    ):
        text = json.dumps(mutated(json.loads(whole), data.draw))
        found, words = None, ""
        try:
            found = loads(text)
        except FormatError as error:
            words = str(error)
        assert words.isprintable()
        assert found is None or loads(dumps(found)) == found


# Union.


def told(*reports: Report) -> Any:
    into = Report()
    for report in reports:
        apply(into, copy.deepcopy(report))
    return shape(into)


def shape(report: Report) -> Any:
    return replace(report, containers={one.id: one for one in report.containers}), len(report.containers)


@given(ALIKE, ALIKE)
def test_evidence_is_the_same_in_whatever_order_it_comes(one: Report, two: Report) -> None:
    assert told(one, two) == told(two, one)


@given(ALIKE, ALIKE, ALIKE)
def test_evidence_is_the_same_however_it_was_merged_before(one: Report, two: Report, three: Report) -> None:
    left, right = Report(), Report()
    for report in (one, two):
        apply(left, copy.deepcopy(report))
    for report in (two, three):
        apply(right, copy.deepcopy(report))

    assert told(left, three) == told(one, right) == told(one, two, three)


@given(ALIKE, ALIKE)
def test_evidence_that_comes_again_changes_nothing(one: Report, two: Report) -> None:
    assert told(one, two, one, two, two) == told(one, two)


@given(ALIKE, ALIKE)
def test_no_file_and_no_gap_is_lost_in_a_union(one: Report, two: Report) -> None:
    into = Report()
    apply(into, copy.deepcopy(one))
    apply(into, copy.deepcopy(two))

    files = {(container.id, path) for container in into.containers for path in container.files}
    for report in (one, two):
        assert {(container.id, path) for container in report.containers for path in container.files} <= files
        assert {(gap.code, gap.container) for gap in report.gaps} <= {(gap.code, gap.container) for gap in into.gaps}
        assert into.complete <= report.complete
