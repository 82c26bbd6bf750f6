"""Reports of every shape, for properties."""

import pytest
from hypothesis import strategies as st

from snoop_report.merge import merge_exclude
from snoop_report.model import ContainerReport, Gap, GapCode, Kind, Observation, Outcome, Report
from snoop_report.paths import decode

NAMES = st.binary(min_size=1, max_size=12).map(lambda raw: "/" + decode(raw.replace(b"\0", b"-")))
FEW = st.sampled_from(["/a", "/b", "/a/c"])
TIMES = st.integers(1_700_000_000_000, 1_900_000_000_000).map(lambda milliseconds: milliseconds / 1000)


@st.composite
def an_observation(draw: st.DrawFn, names: st.SearchStrategy[str]) -> Observation:
    first = draw(TIMES)
    return Observation(
        path=draw(names),
        target=draw(st.just("") | names),
        outcome=draw(st.sampled_from(Outcome)),
        kinds=draw(st.frozensets(st.sampled_from(Kind), min_size=1, max_size=3)),
        first_seen=first,
        last_seen=max(first, draw(TIMES)),
        executable=draw(st.just("") | names),
        volume=draw(st.booleans()),
        collapsed=draw(st.booleans()),
    )


@st.composite
def a_container(draw: st.DrawFn, names: st.SearchStrategy[str]) -> ContainerReport:
    container = ContainerReport(
        id=draw(st.sampled_from(["one", "two"])),
        cgroup_id=7,
        cgroup_path=draw(names),
        total_events=draw(st.integers(0, 9)),
        dropped_events=draw(st.integers(0, 9)),
        started_at=draw(TIMES),
    )
    for seen in draw(st.lists(an_observation(names), max_size=6)):
        container.observations[seen.key] = seen
    return container


@st.composite
def a_report(draw: st.DrawFn, names: st.SearchStrategy[str]) -> Report:
    return Report(
        pod_name="web-0",
        namespace="shop",
        labels={"app": "web"},
        started_at=draw(TIMES),
        last_updated_at=draw(TIMES),
        exclude=draw(st.lists(names, max_size=3).map(merge_exclude)),
        max_unique_files=draw(st.integers(0, 3)),
        containers=draw(st.lists(a_container(names), max_size=2, unique_by=lambda one: one.id)),
        gaps=draw(
            st.lists(
                st.builds(Gap, st.sampled_from(GapCode), st.sampled_from(["x", "y"]), TIMES, st.integers(0, 9)),
                max_size=3,
            )
        ),
    )


@pytest.fixture(scope="session")
def reports() -> st.SearchStrategy[Report]:
    """Reports with any names."""
    return a_report(NAMES)


@pytest.fixture(scope="session")
def alike_reports() -> st.SearchStrategy[Report]:
    """Reports that often speak of the same paths."""
    return a_report(FEW)
