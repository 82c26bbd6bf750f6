"""The CRD's rules, judged by a real API server (dry runs; nothing is stored): each refusal says what is wrong."""

import json
import subprocess
from typing import Any

import pytest
from tests.e2e.conftest import Release

SELECTOR = {"matchLabels": {"app": "a"}}


@pytest.fixture(scope="module", autouse=True)
def _crd(release: Release) -> None:
    """The chart brings the definition."""


def apply(spec: dict[str, Any]) -> tuple[int, str]:
    profile = {"apiVersion": "snoop.dev/v1alpha1", "kind": "SnoopProfile", "metadata": {"name": "rules"}, "spec": spec}
    done = subprocess.run(
        ["kubectl", "create", "--dry-run=server", "-n", "default", "-f", "-"],
        input=json.dumps(profile),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    "spec",
    [
        {"selector": SELECTOR},
        {"selector": {"matchExpressions": [{"key": "a.b/c", "operator": "NotIn", "values": ["x", ""]}]}},
        {"selector": SELECTOR, "reportInterval": "1h30m", "exclude": [], "maxUniqueFiles": 0},
        {"selector": SELECTOR, "exclude": ["/opt/a b", "/root/."]},
        {"selector": SELECTOR, "agent": {"resources": {"requests": {"cpu": 1}, "limits": {"cpu": "1.5"}}}},
    ],
)
def test_a_sensible_profile_is_taken(spec: dict[str, Any]) -> None:
    status, told = apply(spec)
    assert status == 0, told


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({}, "spec.selector: Required value"),
        ({"selector": {}}, "must not be empty: name the labels"),
        ({"selector": {"matchLabels": {}}}, "must not be empty: name the labels"),
        ({"selector": {"matchLabels": {"a b": "c"}}}, "keys must be label keys"),
        ({"selector": {"matchLabels": {"a": "b c"}}}, "must be a label value"),
        ({"selector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}, "values must be given with"),
        (
            {"selector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}},
            "values must not be given with",
        ),
        ({"selector": {"matchExpressions": [{"key": "a b", "operator": "Exists"}]}}, "must be a label key"),
        ({"selector": SELECTOR, "containers": {"include": ["a"], "exclude": ["a"]}}, "both in include and in exclude"),
        ({"selector": SELECTOR, "exclude": ["tmp/"]}, "must be an absolute path prefix"),
        ({"selector": SELECTOR, "exclude": ["/"]}, "nothing would be recorded"),
        ({"selector": SELECTOR, "exclude": ["/a/../b"]}, "must be in normal form"),
        ({"selector": SELECTOR, "exclude": ["/a,/b"]}, "must not hold a comma"),
        ({"selector": SELECTOR, "reportInterval": "1d"}, "such as 30s, 5m or 1h30m"),
        ({"selector": SELECTOR, "reportInterval": "25h"}, "must be between 1s and 24h"),
        ({"selector": SELECTOR, "agent": {"logLevel": "loud"}}, 'Unsupported value: "loud"'),
        ({"selector": SELECTOR, "agent": {"resources": {"limits": {"memory": "1Mi"}}}}, "at least 64Mi"),
        (
            {"selector": SELECTOR, "agent": {"resources": {"requests": {"cpu": 2}, "limits": {"cpu": "1"}}}},
            "requests.cpu must not be more than limits.cpu",
        ),
        ({"selector": SELECTOR, "slector": {}}, 'unknown field "spec.slector"'),
    ],
)
def test_a_profile_that_makes_no_sense_is_refused_with_a_clear_message(spec: dict[str, Any], said: str) -> None:
    status, told = apply(spec)
    assert status != 0
    assert said in told
