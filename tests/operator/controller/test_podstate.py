"""What a raw pod is trimmed to."""

from typing import Any

import pytest

from snoop_operator.podstate import pod_state
from snoop_report.model import Identity

DIGEST = "sha256:" + "a" * 64


def pod(status: dict[str, Any] | None = None, injected: bool = True, **metadata: Any) -> dict[str, Any]:
    sidecar = [{"name": "snoop-agent", "image": "agent:1", "restartPolicy": "Always"}] if injected else []
    return {
        "metadata": {"namespace": "shop", "name": "web-1", "uid": "u-1", "labels": {"app": "web"}, **metadata},
        "spec": {"nodeName": "n-1", "initContainers": sidecar, "containers": [{"name": "web", "image": "nginx:1.27"}]},
        "status": {"phase": "Pending", **(status or {})},
    }


def agent(**told: Any) -> dict[str, Any]:
    return {"initContainerStatuses": [{"name": "snoop-agent", **told}]}


def test_the_controlling_owner_is_found_among_several() -> None:
    references = [{"uid": "a"}, {"uid": "b", "controller": True}]
    assert pod_state(pod(ownerReferences=references)).owner == "b"


def test_an_agent_whose_startup_probe_passed_has_started() -> None:
    assert pod_state(pod(agent(started=True, state={"running": {}}))).agent_started


@pytest.mark.parametrize(
    ("told", "trouble"),
    [
        ({"state": {"waiting": {"reason": "ContainerCreating"}}}, ""),
        ({"state": {"waiting": {"reason": "PodInitializing"}}}, ""),
        (
            {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such\nimage"}}},
            "ImagePullBackOff: no such image",
        ),
        ({"state": {"terminated": {"reason": "Error", "exitCode": 3}}}, "Error: exit code 3"),
        (
            {
                "state": {"running": {}},
                "restartCount": 1,
                "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}},
            },
            "OOMKilled: exit code 137",
        ),
        (
            {
                "state": {"running": {}},
                "started": True,
                "restartCount": 4,
                "lastState": {"terminated": {"reason": "Error", "exitCode": 1}},
            },
            "",
        ),
    ],
)
def test_what_the_kubelet_says_of_a_stuck_agent_is_kept(told: dict[str, Any], trouble: str) -> None:
    assert pod_state(pod(agent(**told))).agent_trouble == trouble


def test_an_agent_that_ended_with_its_pod_is_no_trouble() -> None:
    ended = agent(state={"terminated": {"reason": "Error", "exitCode": 143}})
    state = pod_state(pod({**ended, "phase": "Succeeded"}))
    assert (state.agent_trouble, state.agent_finished) == ("", True)


def test_containers_are_named_as_people_wrote_them_with_the_digest_that_runs() -> None:
    told = {
        "name": "web",
        "containerID": "containerd://c2",
        "image": "registry/other-tag:9",
        "imageID": f"docker.io/library/nginx@{DIGEST}",
        "lastState": {"terminated": {"containerID": "containerd://c1"}},
    }
    state = pod_state(pod({"containerStatuses": [told]}))
    web = Identity("web", "nginx:1.27", DIGEST)
    assert state.containers == {"c1": web, "c2": web}


def test_containers_have_run_if_their_command_could_be_executed() -> None:
    start = "1970-01-01T00:01:40Z"

    def told(name: str, reason: str = "Completed", **state: Any) -> dict[str, Any]:
        before = {"terminated": {"containerID": f"containerd://{name}0", "reason": reason, "startedAt": start}}
        return {"name": name, "containerID": f"containerd://{name}1", "state": state, "lastState": before}

    statuses = [
        told("a", running={"startedAt": start}),
        told("b", waiting={"reason": "CrashLoopBackOff"}),
        told("c", "StartError", terminated={"containerID": "containerd://c1", "reason": "Error", "startedAt": start}),
        {"name": "d", "state": {"waiting": {"reason": "ImagePullBackOff"}}},
    ]
    agents = agent(containerID="containerd://x", state={"running": {"startedAt": start}}, restartCount=2)
    state = pod_state(pod({"containerStatuses": statuses, **agents}))
    assert state.ran == dict.fromkeys(("a0", "a1", "b0", "c1"), 100.0)
    assert state.agent_restarts == 2


def test_an_image_without_a_digest_gets_none_invented() -> None:
    told = {"name": "web", "containerID": "docker://c1", "imageID": "docker://nginx:latest"}
    assert pod_state(pod({"containerStatuses": [told]})).containers["c1"].digest == ""


def test_our_own_container_is_not_among_the_profiled() -> None:
    assert pod_state(pod(agent(containerID="containerd://c9"))).containers == {}


@pytest.mark.parametrize(
    ("now", "mounted", "stuck"), [(50, "False", False), (200, "False", True), (200, "True", False)]
)
def test_volumes_that_are_not_mounted_in_time_are_trouble(now: float, mounted: str, stuck: bool) -> None:
    conditions = [
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": "1970-01-01T00:00:10Z"},
        {"type": "PodReadyToStartContainers", "status": mounted},
    ]
    waiting = agent(state={"waiting": {"reason": "PodInitializing"}})
    trouble = pod_state(pod({**waiting, "conditions": conditions}), now=now).agent_trouble
    assert trouble.startswith("VolumesNotMounted") is stuck
