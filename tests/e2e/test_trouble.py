"""When parts are missing, down or lost: apps go on, and what was not seen is said."""

import time
from collections.abc import Iterator

import pytest
from tests.e2e.conftest import (
    SYSTEM,
    Release,
    Space,
    agent_status,
    call,
    deployment,
    eventually,
    get,
    helm,
    injected,
    kill_agent,
    kubectl,
    shell_pod,
)

SLEEP = "while :; do sleep 1; done"


@pytest.fixture
def mended(release: Release) -> Iterator[Release]:
    """A release that the test may break."""
    yield release
    kubectl("-n", SYSTEM, "scale", "deployment/snoop-operator", "--replicas=1", check=False)
    release.install()


def test_while_the_operator_is_down_pods_start_at_once_and_reports_come_later(space: Space, mended: Release) -> None:
    space.profile()
    space.apply(shell_pod("before", "sleep 8; read x < /etc/issue; " + SLEEP))
    space.running("before")
    kubectl("-n", SYSTEM, "scale", "deployment/snoop-operator", "--replicas=0")
    kubectl("-n", SYSTEM, "wait", "--for=delete", "pod", "-l", "app.kubernetes.io/name=snoop", "--timeout=60s")
    began = time.monotonic()
    space.apply(shell_pod("meanwhile", SLEEP))
    space.running("meanwhile")
    assert time.monotonic() - began < 15
    assert not injected(space.pod("meanwhile"))
    time.sleep(8)
    kubectl("-n", SYSTEM, "scale", "deployment/snoop-operator", "--replicas=1")
    kubectl("-n", SYSTEM, "rollout", "status", "deployment/snoop-operator", "--timeout=120s")
    eventually("what was read meanwhile", lambda: "/etc/issue" in space.files("before", "app"), 60)
    told = eventually("the pod that was missed is told", lambda: space.status()["pods"]["skipped"])
    assert told[0]["count"] == 1
    assert space.condition("Complete")["status"] == "False"


def test_with_the_agent_image_missing_the_app_starts_and_it_is_told_why(space: Space, mended: Release) -> None:
    mended.install(agent_image=f"{mended.agent_image.split('@')[0]}:no-such-tag")
    space.apply(
        {
            "apiVersion": "snoop.dev/v1alpha1",
            "kind": "SnoopProfile",
            "metadata": {"name": "profile"},
            "spec": {"selector": {"matchLabels": {"app": "app"}}},
        }
    )
    eventually("the profile is seen", lambda: space.status().get("conditions"))
    space.apply(deployment("app", SLEEP, replicas=3))

    def at_most_one_waits() -> bool:
        ready = [
            pod
            for pod in space.pods("app=app")
            if any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", []))
        ]
        return len(ready) >= 2

    eventually("at most one pod waits", at_most_one_waits, 60)
    ready = eventually(
        "the profile tells why",
        lambda: one if (one := space.condition("Ready"))["status"] == "False" else None,
        60,
    )
    assert ready["reason"] == "AgentImageUnavailable"
    assert "no-such-tag" in ready["message"]


def test_without_btf_the_app_starts_and_the_report_says_that_nothing_was_seen(space: Space, mended: Release) -> None:
    made = call("buildah", "from", "--pull=never", f"localhost/snoop-agent:{_version()}").strip()
    try:
        call("buildah", "config", "--env", "SNOOP_BTF=/no/such/btf", made)
        call("buildah", "commit", "--quiet", made, "localhost/snoop-agent-without-btf:test")
    finally:
        call("buildah", "rm", made)
    image = call("tests/cluster/push", "localhost/snoop-agent-without-btf:test").strip()
    mended.install(agent_image=image)
    space.profile()
    began = time.monotonic()
    space.apply(shell_pod("app", SLEEP))
    pod = space.running("app", 60)
    assert time.monotonic() - began < 45
    assert injected(pod)
    assert agent_status(pod)["restartCount"] == 0
    (gap,) = eventually("the gap is told", lambda: [one for report in space.reports("app") for one in report.gaps])
    assert gap.code == "not_tracing"
    assert "/no/such/btf" in gap.message
    eventually("the profile says so", lambda: space.condition("Complete")["status"] == "False")


def _version() -> str:
    return call("sed", "-n", 's/^version = "\\(.*\\)"$/\\1/p', "pyproject.toml").strip()


def test_a_lost_store_is_told_and_the_living_send_everything_again(space: Space, mended: Release) -> None:
    space.profile()
    space.apply(
        shell_pod("dead", "read x < /etc/passwd; " + SLEEP), shell_pod("alive", "read x < /etc/issue; " + SLEEP)
    )
    space.running("dead")
    space.running("alive")
    eventually("both reported", lambda: space.files("dead") and space.files("alive"))
    space.kubectl("delete", "pod", "dead", "--wait")
    eventually("status has both", lambda: space.status()["files"] > 5 and space.status().get("storeID"))
    kubectl("exec", "-n", SYSTEM, "deployment/snoop-operator", "--", "python3", "-c", _FORGET)
    kubectl("-n", SYSTEM, "delete", "pod", mended.operator(), "--wait")
    kubectl("-n", SYSTEM, "rollout", "status", "deployment/snoop-operator", "--timeout=120s")
    eventually("the living sent all again", lambda: "/etc/issue" in space.files("alive", "app"), 60)
    assert not space.files("dead")
    told = eventually(
        "the profile says so",
        lambda: one if (one := space.condition("Complete"))["reason"] == "EvidenceLost" else None,
        60,
    )
    assert told["status"] == "False"


_FORGET = "import glob, os; [os.unlink(name) for name in glob.glob('/var/lib/snoop/evidence.sqlite*')]"


def test_an_agent_that_is_killed_comes_back_and_says_so(space: Space) -> None:
    space.profile()
    space.apply(shell_pod("app", "while :; do sleep 0.2; done"))
    space.running("app")
    eventually("a report", lambda: space.files("app"))
    # As its own PID 1 it cannot be killed from within; the test plays the node's OOM killer.
    kill_agent(space.pod("app"))
    eventually(
        "it is back",
        lambda: agent_status(space.pod("app"))["restartCount"] == 1 and agent_status(space.pod("app")).get("started"),
        60,
    )
    eventually(
        "it says so", lambda: "agent_restarted" in {gap.code for one in space.reports("app") for gap in one.gaps}
    )
    assert space.pod("app")["status"]["containerStatuses"][0]["restartCount"] == 0


def test_certificates_are_renewed_without_a_restart_and_running_agents_follow(space: Space, release: Release) -> None:
    space.profile()
    space.apply(shell_pod("app", "sleep 20; read x < /etc/issue; " + SLEEP))
    space.running("app")
    eventually("a report", lambda: space.files("app"))
    before = get("secret", "-n", SYSTEM, "snoop-operator-tls")["data"]
    restarts = _operator_restarts()
    # A new CA is what deleting the Secret brings: the harshest rotation there is.
    kubectl("delete", "secret", "-n", SYSTEM, "snoop-operator-tls")
    after = eventually("a new Secret", lambda: get("secret", "-n", SYSTEM, "snoop-operator-tls")["data"], 90)
    assert after.keys() == before.keys()
    eventually("the running agent still delivers", lambda: "/etc/issue" in space.files("app", "app"), 60)
    space.apply(shell_pod("later", SLEEP))
    assert injected(space.running("later"))
    assert _operator_restarts() == restarts


def _operator_restarts() -> int:
    pods = get("pods", "-n", SYSTEM, "-l", "app.kubernetes.io/name=snoop")["items"]
    return sum(status["restartCount"] for pod in pods for status in pod["status"]["containerStatuses"])


def test_helm_uninstall_leaves_no_webhook_and_nothing_stuck(space: Space, mended: Release) -> None:
    space.profile()
    helm("uninstall", "snoop", "-n", SYSTEM, "--wait")
    hooks = get("mutatingwebhookconfigurations")["items"]
    assert not [one for one in hooks if "snoop" in one["metadata"]["name"]]
    assert get("crd", "snoopprofiles.snoop.dev")["metadata"]["name"]
    space.apply(shell_pod("app", SLEEP))
    assert not injected(space.running("app"))
    space.kubectl("delete", "snoopprofile", "profile", "--timeout=10s")
    kinds = kubectl("get", "clusterroles,clusterrolebindings", "-o", "name")
    assert "snoop" not in kinds
    # The evidence is kept, and found again.
    mended.install()
