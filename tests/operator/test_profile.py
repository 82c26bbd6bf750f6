"""SnoopProfiles as the API server stores them, read."""

from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snoop_operator.profile import InvalidProfileError, format_duration, parse, parse_duration

SELECTOR = {"matchLabels": {"app": "checkout"}}


def body(**spec: Any) -> dict[str, Any]:
    metadata = {"namespace": "shop", "name": "checkout", "uid": "u", "generation": 3}
    return {"metadata": metadata, "spec": {"selector": SELECTOR, **spec}}


def test_what_is_not_given_has_its_default() -> None:
    profile = parse(body())
    assert (profile.namespace, profile.name, profile.uid, profile.generation) == ("shop", "checkout", "u", 3)
    assert (profile.paused, profile.exclude, profile.report_interval) == (False, ("/proc/", "/sys/", "/dev/"), 30.0)
    assert (profile.max_unique_files, profile.agent.log_level, profile.agent.metrics_port) == (100_000, "info", 0)


def test_everything_that_is_given_is_read() -> None:
    profile = parse(
        body(
            containers={"include": ["a"], "exclude": ["b"]},
            paused=True,
            exclude=[],
            reportInterval="1h30m",
            maxUniqueFiles=0,
            agent={"resources": {"limits": {"cpu": 1, "memory": "1Gi"}}, "logLevel": "debug", "metricsPort": 9090},
        )
    )
    assert profile.paused
    assert profile.exclude == ()
    assert profile.report_interval == 5400.0
    assert profile.max_unique_files == 0
    assert profile.agent.resources == {"limits": {"cpu": "1", "memory": "1Gi"}}
    assert [profile.wants_container(name) for name in ("a", "b", "c")] == [True, False, False]


def test_an_excluded_container_is_not_wanted_and_the_others_are() -> None:
    profile = parse(body(containers={"exclude": ["b"]}))
    assert [profile.wants_container(name) for name in ("a", "b")] == [True, False]


def test_a_read_only_view_is_read_like_a_dict() -> None:
    given = body()
    frozen = MappingProxyType({**given, "spec": MappingProxyType(given["spec"])})
    assert parse(frozen) == parse(given)


@pytest.mark.parametrize(
    ("requirement", "labels", "expected"),
    [
        ({"key": "a", "operator": "In", "values": ["1"]}, {"a": "1"}, True),
        ({"key": "a", "operator": "In", "values": ["1"]}, {}, False),
        ({"key": "a", "operator": "NotIn", "values": ["1"]}, {"a": "1"}, False),
        ({"key": "a", "operator": "NotIn", "values": ["1"]}, {}, True),
        ({"key": "a", "operator": "Exists"}, {"a": ""}, True),
        ({"key": "a", "operator": "DoesNotExist"}, {"a": ""}, False),
        ({"key": "a", "operator": "DoesNotExist", "values": []}, {}, True),
    ],
)
def test_requirements_select_as_the_api_server_s_do(
    requirement: dict[str, Any], labels: dict[str, str], expected: bool
) -> None:
    assert parse(body(selector={"matchExpressions": [requirement]})).selector.matches(labels) is expected


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"selector": {}}, "spec.selector: must not be empty"),
        ({"selector": {"matchExpressions": []}}, "must not be empty"),
        ({"selector": "app"}, "spec.selector: expected an object"),
        ({"selector": {"matchLabels": {"a": 1}}}, "spec.selector.matchLabels.a"),
        ({"selector": {"matchExpressions": [{"key": "a", "operator": "NotIn"}]}}, "matchExpressions[0].values"),
        ({"selector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["x"]}]}}, "values"),
        ({"selector": {"matchExpressions": [{"key": "a", "operator": "Is"}]}}, "matchExpressions[0].operator"),
        ({"selector": {"matchExpressions": ["a"]}}, "matchExpressions[0]: expected an object"),
        ({"exclude": ["/"]}, "spec.exclude"),
        ({"exclude": ["tmp"]}, "spec.exclude"),
        ({"exclude": ["/a,b"]}, "spec.exclude"),
        ({"exclude": [1]}, "spec.exclude: expected strings"),
        ({"reportInterval": "1d"}, "spec.reportInterval"),
        ({"reportInterval": "25h"}, "between 1s and 24h"),
        ({"maxUniqueFiles": -1}, "spec.maxUniqueFiles"),
        ({"maxUniqueFiles": True}, "spec.maxUniqueFiles: expected int"),
        ({"paused": "yes"}, "spec.paused: expected bool"),
        ({"agent": {"logLevel": "loud"}}, "spec.agent.logLevel"),
        ({"agent": {"attach": "glue"}}, "spec.agent.attach"),
        ({"agent": {"metricsPort": 70000}}, "spec.agent.metricsPort"),
        ({"agent": {"resources": {"limits": {"cpu": "lots"}}}}, "spec.agent.resources.limits.cpu"),
        ({"agent": {"resources": {"limits": {"cpu": True}}}}, "spec.agent.resources.limits.cpu"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_name_of_the_field(spec: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidProfileError) as refused:
        parse(body(**spec))
    assert said in str(refused.value)


@given(st.integers(0, 86_400))
def test_durations_are_read_as_they_are_written(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "1d", "30", "s", "1m1h", "-1s", "1.5s", "1s ", "999999s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        parse_duration(text)
