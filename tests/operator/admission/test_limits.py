"""What LimitRanges and quotas would say of a pod with the agent in it."""

from collections.abc import Callable
from typing import Any

import pytest

from snoop_operator.admission import injection
from snoop_operator.admission.resources import qos_class, total
from snoop_operator.admission.surroundings import Runtime
from snoop_operator.quantity import parse
from snoop_operator.settings import Settings
from snoop_operator.workload import Refusal

Make = Callable[..., Any]
JSON = dict[str, Any]
HIGH = {"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}}
BURSTABLE = {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}}


@pytest.fixture
def code(pod: Make, around: Make, settings: Settings, runtime: Runtime) -> Callable[..., str]:
    """Why the pod is refused, or "injected"."""

    def decide(resources: JSON | None = None, spec: JSON | None = None, **surroundings: Any) -> str:
        containers = [{"name": "app", "image": "x", "resources": BURSTABLE if resources is None else resources}]
        asked = pod({"containers": containers, **(spec or {})})
        decision = injection.decide(asked, around(**surroundings), settings, runtime)
        return decision.code if isinstance(decision, Refusal) else "injected"

    return decide


def limit_range(kind: str, **limits: JSON) -> list[JSON]:
    return [{"metadata": {"name": "limits"}, "spec": {"limits": [{"type": kind, **limits}]}}]


def quota(hard: JSON, used: JSON | None = None, **spec: Any) -> list[JSON]:
    return [{"metadata": {"name": "q"}, "spec": {"hard": hard, **spec}, "status": {"hard": hard, "used": used or {}}}]


@pytest.mark.parametrize(
    ("kind", "limits", "said"),
    [
        ("Container", {"min": {"memory": "64Mi"}}, "injected"),
        ("Container", {"min": {"memory": "65Mi"}}, "limit_range"),
        ("Container", {"max": {"cpu": "200m", "memory": "128Mi"}}, "injected"),
        ("Container", {"max": {"cpu": "199m"}}, "limit_range"),
        ("Container", {"max": {"ephemeral-storage": "1Gi"}}, "limit_range"),
        ("Container", {"max": {"ephemeral-storage": "1Gi"}, "default": {"ephemeral-storage": "1Gi"}}, "injected"),
        ("Container", {"maxLimitRequestRatio": {"cpu": "4"}}, "injected"),
        ("Container", {"maxLimitRequestRatio": {"cpu": "3"}}, "limit_range"),
        ("Container", {"maxLimitRequestRatio": {"memory": "1500m"}}, "limit_range"),
        ("Pod", {"max": {"memory": "384Mi"}}, "injected"),
        ("Pod", {"max": {"memory": "383Mi"}}, "limit_range"),
        ("Pod", {"max": {"cpu": "1100m"}}, "limit_range"),
        ("PersistentVolumeClaim", {"max": {"storage": "1Gi"}}, "injected"),
    ],
)
def test_a_limit_range_that_would_refuse_the_agent_or_the_pod_is_seen_before(
    kind: str, limits: JSON, said: str, code: Callable[..., str]
) -> None:
    assert code(limit_ranges=limit_range(kind, **limits)) == said


def test_an_agent_without_resources_gets_the_limit_range_s_defaults(code: Callable[..., str]) -> None:
    ranges = limit_range("Container", max={"cpu": "1"}, default={"cpu": "500m"})
    assert code({}, limit_ranges=ranges) == "injected"
    assert code({}, limit_ranges=limit_range("Container", max={"cpu": "1"})) == "limit_range"


@pytest.mark.parametrize(
    ("hard", "used", "said"),
    [
        ({"requests.cpu": "250m"}, {}, "injected"),
        ({"requests.cpu": "249m"}, {}, "quota"),
        ({"cpu": "1"}, {"cpu": "800m"}, "quota"),
        ({"limits.memory": "1Gi"}, {"limits.memory": "384Mi"}, "injected"),
        ({"limits.memory": "1Gi"}, {"limits.memory": "385Mi"}, "quota"),
        ({"pods": "1"}, {"pods": "1"}, "injected"),
        ({"requests.nvidia.com/gpu": "0"}, {}, "injected"),
    ],
)
def test_a_quota_must_have_room_for_the_agent_and_one_more_pod(
    hard: JSON, used: JSON, said: str, code: Callable[..., str]
) -> None:
    assert code(resource_quotas=quota(hard, used)) == said


def test_a_quota_that_wants_every_container_to_state_its_memory_refuses_an_agent_without(
    code: Callable[..., str],
) -> None:
    wants = quota({"limits.memory": "10Gi"})
    assert code({}, resource_quotas=wants) == "quota"
    defaults = limit_range("Container", default={"memory": "128Mi"})
    assert code({}, resource_quotas=wants, limit_ranges=defaults) == "injected"


@pytest.mark.parametrize(
    ("scope", "spec", "said"),
    [
        ({"scopes": ["Terminating"]}, {}, "injected"),
        ({"scopes": ["Terminating"]}, {"activeDeadlineSeconds": 60}, "quota"),
        ({"scopes": ["NotTerminating"]}, {}, "quota"),
        ({"scopes": ["BestEffort"]}, {}, "injected"),
        ({"scopes": ["NotBestEffort"]}, {}, "quota"),
        ({"scopes": ["SomethingNew"]}, {}, "quota"),
        (HIGH, {"priorityClassName": "high"}, "quota"),
        (HIGH, {}, "injected"),
    ],
)
def test_a_quota_counts_only_for_the_pods_in_its_scope(
    scope: JSON, spec: JSON, said: str, code: Callable[..., str]
) -> None:
    assert code(spec=spec, resource_quotas=quota({"requests.cpu": "10m"}, **scope)) == said


def test_a_pod_s_total_is_its_hungriest_moment_and_its_overhead() -> None:
    spec = {
        "initContainers": [
            {"name": "a", "resources": {"requests": {"cpu": "1"}}},
            {"name": "b", "restartPolicy": "Always", "resources": {"requests": {"cpu": "200m"}}},
            {"name": "c", "resources": {"requests": {"cpu": "2"}}},
        ],
        "containers": [{"name": "d", "resources": {"limits": {"cpu": "500m"}}}],
        "overhead": {"cpu": "10m"},
    }
    assert total(spec, "requests")["cpu"] == parse("2210m")
    assert total(spec, "limits")["cpu"] == parse("510m")


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, "BestEffort"),
        ({"limits": {"nvidia.com/gpu": 1}}, "BestEffort"),
        ({"requests": {"cpu": "0"}}, "BestEffort"),
        ({"requests": {"cpu": "1m"}}, "Burstable"),
        ({"limits": {"cpu": 1}}, "Burstable"),
        ({"limits": {"cpu": 1, "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": 1, "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}}, "Guaranteed"),
        ({"limits": {"cpu": 1, "memory": "1Gi"}, "requests": {"cpu": "999m"}}, "Burstable"),
    ],
)
def test_the_qos_class_is_the_api_server_s(resources: JSON, expected: str) -> None:
    assert qos_class({"containers": [{"name": "app", "resources": resources}]}) == expected


@pytest.mark.parametrize("resources", [{}, BURSTABLE, {"limits": {"cpu": 1, "memory": "1Gi"}}])
def test_a_pod_keeps_its_qos_class(
    resources: JSON, pod: Make, around: Make, settings: Settings, runtime: Runtime
) -> None:
    given = pod({"containers": [{"name": "app", "resources": resources}]})
    decision = injection.decide(given, around(), settings, runtime)
    assert isinstance(decision, injection.Injection)
    assert qos_class(decision.pod["spec"]) == qos_class(given["spec"])
