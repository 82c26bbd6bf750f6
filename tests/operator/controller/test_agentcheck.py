"""The pod that proves the agent image."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from snoop_operator import agentcheck
from snoop_operator.admission.sidecar import SECURITY_CONTEXT
from snoop_operator.agentcheck import AgentCheck, Outcome, check_pod, judge
from snoop_operator.apiclient import connect
from snoop_operator.cluster import Cluster
from snoop_operator.mirror import Mirror
from snoop_operator.settings import Settings

SETTINGS = Settings(agent_image="agent:1", namespace="own", pod_name="operator-1")
PODS = "/api/v1/namespaces/own/pods"


def told(state: dict[str, Any], **status: Any) -> dict[str, Any]:
    return {"status": {"phase": "Pending", "containerStatuses": [{"state": state}], **status}}


@pytest.mark.parametrize(
    ("pod", "waited", "outcome", "words"),
    [
        (told({"waiting": {"reason": "ContainerCreating"}}), 3, Outcome.WAITING, ""),
        (told({"waiting": {"reason": "ContainerCreating"}}), 60, Outcome.FAILING, "not started after 60 s"),
        (told({"waiting": {"reason": "ImagePullBackOff", "message": "gone"}}), 3, Outcome.FAILING, "ImagePull"),
        (told({"terminated": {"exitCode": 0}}), 3, Outcome.PROVEN, ""),
        (told({"terminated": {"exitCode": 2, "message": "no BTF\n"}}), 3, Outcome.FAILED, "exit code 2: no BTF"),
        ({"status": {"phase": "Failed", "reason": "Evicted", "message": "full"}}, 3, Outcome.FAILED, "Evicted: full"),
        ({}, 3, Outcome.WAITING, ""),
        (
            {
                "status": {
                    "conditions": [
                        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room"}
                    ]
                }
            },
            60,
            Outcome.FAILING,
            "Unschedulable: no room",
        ),
    ],
)
def test_a_check_pod_is_read(pod: dict[str, Any], waited: float, outcome: Outcome, words: str) -> None:
    verdict = judge(pod, waited)
    assert verdict.outcome is outcome
    assert words in verdict.message


def test_the_check_pod_starts_the_agent_as_it_will_be_injected_and_stays_out_of_admission() -> None:
    pod = check_pod(SETTINGS, "check", "uid-1")
    container = pod["spec"]["containers"][0]
    assert container["securityContext"] == SECURITY_CONTEXT
    assert container["args"] == ["check"]
    assert pod["metadata"]["labels"]["snoop.dev/inject"] == "false"
    assert pod["metadata"]["ownerReferences"][0]["uid"] == "uid-1"
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["spec"]["activeDeadlineSeconds"] > 0
    with_secrets = check_pod(replace(SETTINGS, agent_image_pull_secrets=("one", "two")), "check", None)
    assert with_secrets["spec"]["imagePullSecrets"] == [{"name": "one"}, {"name": "two"}]


@pytest.fixture
async def cluster(api: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    monkeypatch.setattr(agentcheck, "_POLL", 0.02)
    monkeypatch.setattr(agentcheck, "_RETRIES", (0.05,))
    await api.put(f"{PODS}/operator-1", {})
    made = Cluster(await connect())
    yield made
    await made.close()


def checks(api: Any) -> list[str]:
    return [path for path in api.objects if "snoop-agent-check" in path]


async def test_an_image_that_starts_is_proven_and_the_pod_removed(api: Any, cluster: Cluster, eventually: Any) -> None:
    mirror = Mirror()
    check = AgentCheck(cluster, mirror, SETTINGS)
    task = asyncio.create_task(check.run())
    path = (await eventually(lambda: checks(api)))[0]
    await api.put(path, {**api.objects[path], **told({"terminated": {"exitCode": 0}})})
    await asyncio.wait_for(task, 5)
    assert mirror.proven("agent:1")
    assert check.concluded.is_set()
    assert checks(api) == []


async def test_an_image_that_cannot_be_pulled_is_told_and_tried_again(
    api: Any, cluster: Cluster, eventually: Any
) -> None:
    mirror = Mirror()
    check = AgentCheck(cluster, mirror, SETTINGS)
    task = asyncio.create_task(check.run())
    path = (await eventually(lambda: checks(api)))[0]
    first = api.objects[path]
    await api.put(path, {**first, **told({"waiting": {"reason": "ErrImagePull", "message": "not found"}})})
    await asyncio.wait_for(check.concluded.wait(), 5)
    assert mirror.check_failure("agent:1") == "ErrImagePull: not found"
    await api.put(path, {**first, **told({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off"}})})
    await asyncio.sleep(0.1)
    assert mirror.check_failure("agent:1") == "ErrImagePull: not found", "the kubelet's two words must not flap"
    await api.put(path, {**first, **told({"terminated": {"exitCode": 1, "message": "crash"}})})
    await eventually(lambda: checks(api) and api.objects[path]["metadata"]["uid"] != first["metadata"]["uid"])
    assert "crash" in mirror.check_failure("agent:1")
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert checks(api) == [], "a check that is broken off leaves no pod"


async def test_an_agent_that_started_elsewhere_ends_the_check(api: Any, cluster: Cluster, eventually: Any) -> None:
    mirror = Mirror()
    task = asyncio.create_task(AgentCheck(cluster, mirror, SETTINGS).run())
    await eventually(lambda: checks(api))
    mirror.prove("agent:1")
    await asyncio.wait_for(task, 5)
    assert checks(api) == []


async def test_a_namespace_that_forbids_the_check_pod_is_told(api: Any, cluster: Cluster) -> None:
    api.refuse = lambda method, path: 403 if method == "POST" else 0
    mirror = Mirror()
    check = AgentCheck(cluster, mirror, SETTINGS)
    task = asyncio.create_task(check.run())
    await asyncio.wait_for(check.concluded.wait(), 5)
    assert "could not be run" in mirror.check_failure("agent:1")
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
