"""Several profiles, one agent: each gets at least what it asked for."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snoop_operator.admission.demand import combine, intersect
from snoop_operator.quantity import parse
from snoop_operator.settings import Settings

Make = Callable[..., Any]

_path = st.text("ab/", min_size=1, max_size=6).map(lambda text: "/" + text)
_exclusions = st.lists(st.lists(_path, max_size=4), min_size=1, max_size=3)


@given(_exclusions, st.lists(_path, max_size=20))
def test_a_path_is_left_out_exactly_if_every_profile_leaves_it_out(every: list[list[str]], paths: list[str]) -> None:
    merged = intersect(every)
    for path in paths + [prefix for one in every for prefix in one]:
        assert path.startswith(merged) == all(path.startswith(tuple(one)) for one in every)


def test_a_profile_that_excludes_nothing_has_everything_recorded(profile: Make, settings: Settings) -> None:
    assert combine([profile(), profile("other", exclude=[])], settings).exclude == ()


def test_the_unbounded_cap_is_the_largest(profile: Make, settings: Settings) -> None:
    assert combine([profile(maxUniqueFiles=5), profile(maxUniqueFiles=7)], settings).max_unique_files == 7
    assert combine([profile(maxUniqueFiles=5), profile(maxUniqueFiles=0)], settings).max_unique_files == 0


def test_the_shortest_interval_and_the_most_verbose_level_count(profile: Make, settings: Settings) -> None:
    demand = combine(
        [
            profile(reportInterval="1h", agent={"logLevel": "error"}),
            profile(reportInterval="90s", agent={"logLevel": "info"}),
        ],
        settings,
    )
    assert (demand.report_interval, demand.log_level) == (90.0, "info")


def test_the_first_way_of_attaching_that_is_asked_for_counts(profile: Make, settings: Settings) -> None:
    assert combine([profile(), profile("b")], settings).attach == "auto"
    asked = [profile(), profile("b", agent={"attach": "raw_tp"}), profile("c", agent={"attach": "fexit"})]
    assert combine(asked, settings).attach == "raw_tp"


@pytest.mark.parametrize(
    ("resources", "requests", "limits"),
    [
        ([{}], {"cpu": "50m", "memory": "64Mi"}, {"cpu": "200m", "memory": "128Mi"}),
        ([{"limits": {"memory": "1Gi"}}], {"cpu": "50m", "memory": "64Mi"}, {"cpu": "200m", "memory": "1Gi"}),
        ([{"requests": {"cpu": 1}}], {"cpu": "1", "memory": "64Mi"}, {"cpu": "1", "memory": "128Mi"}),
        ([{"limits": {"cpu": "20m"}}], {"cpu": "20m", "memory": "64Mi"}, {"cpu": "20m", "memory": "128Mi"}),
        (
            [{"limits": {"cpu": "300m"}}, {"limits": {"memory": "256Mi"}, "requests": {"memory": "100Mi"}}],
            {"cpu": "50m", "memory": "100Mi"},
            {"cpu": "300m", "memory": "256Mi"},
        ),
    ],
)
def test_the_largest_resources_count_and_limits_are_never_below_requests(
    resources: list[Any], requests: Any, limits: Any, profile: Make, settings: Settings
) -> None:
    demand = combine([profile(agent={"resources": one}) for one in resources], settings)
    assert (dict(demand.requests), dict(demand.limits)) == (requests, limits)
    assert all(parse(demand.requests[name]) <= parse(demand.limits[name]) for name in limits)


def test_what_the_operator_does_not_limit_stays_without_limit(profile: Make, settings: Settings) -> None:
    demand = combine([profile()], replace(settings, agent_limits={"memory": "1Gi"}))
    assert dict(demand.limits) == {"memory": "1Gi"}
