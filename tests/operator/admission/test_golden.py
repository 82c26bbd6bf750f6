"""Pods as they come and as they go: golden/NAME.yaml, with what surrounds it, becomes golden/NAME.injected.yaml.

Read the pairs to see what injection does. After a change that is meant: see RENEW.
"""

import copy
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from snoop_operator.admission import injection
from snoop_operator.admission.surroundings import Runtime, Surroundings
from snoop_operator.profile import parse
from snoop_operator.settings import Settings
from snoop_operator.workload import Refusal

GOLDEN = Path(__file__).parent / "golden"
CASES = sorted(path for path in GOLDEN.glob("*.yaml") if not path.name.endswith(".injected.yaml"))
RENEW = "SNOOP_RENEW_GOLDENS=1 .venv/bin/pytest tests/operator/admission/test_golden.py"


class _Meta:
    def __init__(self, metadata: dict[str, Any]) -> None:
        self.labels = metadata.get("labels") or {}
        self.annotations = metadata.get("annotations") or {}


def _read(path: Path) -> tuple[dict[str, Any], Surroundings]:
    found: dict[str, list[dict[str, Any]]] = {}
    for document in yaml.safe_load_all(path.read_text()):
        found.setdefault(document["kind"], []).append(document)
    namespace = found.get("Namespace", [{"metadata": {"name": "shop"}}])[0]["metadata"]
    around = Surroundings(
        namespace["name"],
        _Meta(namespace),
        [parse(one) for one in found.get("SnoopProfile", [])],
        found.get("LimitRange", []),
        found.get("ResourceQuota", []),
    )
    return found["Pod"][0], around


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_a_pod_becomes_what_its_golden_pair_says(case: Path, settings: Settings, runtime: Runtime) -> None:
    pod, around = _read(case)
    before = copy.deepcopy(pod)
    decision = injection.decide(pod, around, settings, runtime)
    assert pod == before, "the pod that was given has been changed"
    if isinstance(decision, Refusal):
        shown: Any = {"refused": decision.code, "message": decision.message}
    else:
        shown = decision.pod
    text = yaml.safe_dump(shown, sort_keys=False, width=120, allow_unicode=True)
    golden = case.with_suffix(".injected.yaml")
    if os.environ.get("SNOOP_RENEW_GOLDENS"):
        golden.write_text(text)
    told = golden.read_text() if golden.exists() else ""
    assert text == told, f"{golden.name} is stale. If the change is meant, renew it: {RENEW}"


def test_every_golden_result_has_its_pod() -> None:
    results = {path.name.removesuffix(".injected.yaml") for path in GOLDEN.glob("*.injected.yaml")}
    assert results == {path.stem for path in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_injecting_again_after_another_injector_puts_us_first_and_changes_nothing_else(
    case: Path, settings: Settings, runtime: Runtime
) -> None:
    pod, around = _read(case)
    first = injection.decide(pod, around, settings, runtime)
    if isinstance(first, Refusal):
        return
    again = injection.decide(first.pod, around, settings, runtime)
    assert isinstance(again, injection.Injection)
    assert again.renewed
    assert again.patch == []
    moved = copy.deepcopy(first.pod)
    agent = moved["spec"]["initContainers"][0]
    # What the API server fills in between two webhooks, and leaves out.
    agent |= {"terminationMessagePath": "/dev/termination-log"}
    agent["startupProbe"] |= {"successThreshold": 1, "timeoutSeconds": 1}
    agent["env"] = [{key: value for key, value in one.items() if value != ""} for one in agent["env"]]
    token = next(volume for volume in moved["spec"]["volumes"] if "projected" in volume)
    token["projected"]["defaultMode"] = 420
    filled = injection.decide(moved, around, settings, runtime)
    assert isinstance(filled, injection.Injection)
    assert filled.patch == []
    moved["spec"]["initContainers"].insert(0, {"name": "late-proxy", "image": "mesh:1", "restartPolicy": "Always"})
    third = injection.decide(moved, around, settings, runtime)
    if isinstance(third, Refusal):
        assert third.code in ("limit_range", "quota")
        return
    assert [one["name"] for one in third.pod["spec"]["initContainers"]][:2] == ["snoop-agent", "late-proxy"]
    assert [step["op"] for step in third.patch] == ["remove", "add"]
