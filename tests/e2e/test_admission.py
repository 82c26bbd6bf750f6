"""Who is profiled and who is not, and that profiling never holds a pod up."""

import pytest
from tests.e2e.conftest import Space, deployment, eventually, injected, kubectl, shell_pod

SLEEP = "while :; do sleep 1; done"


def test_a_pod_opts_out(space: Space) -> None:
    space.profile()
    space.apply(
        shell_pod("label", SLEEP, labels={"app": "app", "snoop.dev/inject": "false"}),
        shell_pod("unselected", SLEEP, labels={"app": "else"}),
    )
    annotated = shell_pod("annotation", SLEEP)
    annotated["metadata"]["annotations"] = {"snoop.dev/inject": "false"}
    space.apply(annotated)
    for name in ("label", "annotation", "unselected"):
        assert not injected(space.pod(name))
    told = eventually("status tells why", lambda: space.status()["pods"]["skipped"])
    assert sum(one["count"] for one in told) == 2


def test_a_namespace_opts_out(space: Space) -> None:
    kubectl("label", "namespace", space.name, "snoop.dev/inject=false")
    space.profile()
    space.apply(shell_pod("app", SLEEP))
    assert not injected(space.pod("app"))
    eventually("status tells why", lambda: space.status()["pods"]["skipped"])


def test_a_namespace_that_enforces_restricted_gets_its_pods_and_the_profile_says_so(space: Space) -> None:
    kubectl("label", "namespace", space.name, "pod-security.kubernetes.io/enforce=restricted")
    space.profile()
    made = deployment("app", SLEEP, replicas=2)
    spec = made["spec"]["template"]["spec"]
    spec["securityContext"] = {
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    spec["containers"][0]["securityContext"] = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    space.apply(made)
    space.kubectl("rollout", "status", "deployment/app", "--timeout=60s")
    assert not any(injected(pod) for pod in space.pods("app=app"))
    (skipped,) = eventually("status tells why", lambda: space.status()["pods"]["skipped"])
    assert skipped["reason"] == "pod_security"
    assert skipped["count"] == 2
    assert "restricted" in skipped["message"]
    assert space.condition("Complete")["status"] != "True"


def test_a_deleted_profile_injects_no_more_and_leaves_nothing_stuck(space: Space) -> None:
    space.profile()
    space.apply(deployment("app", SLEEP))
    space.kubectl("rollout", "status", "deployment/app", "--timeout=90s")
    assert all(injected(pod) for pod in space.pods("app=app"))
    assert "finalizers" not in space.get("snoopprofile", "profile")["metadata"]
    space.kubectl("delete", "snoopprofile", "profile", "--timeout=10s")

    def new_pod_is_plain() -> bool:
        space.kubectl("delete", "pods", "-l", "app=app", "--wait", "--grace-period=1")
        space.kubectl("rollout", "status", "deployment/app", "--timeout=60s")
        return not any(injected(pod) for pod in space.pods("app=app") if "deletionTimestamp" not in pod["metadata"])

    eventually("new pods are plain", new_pod_is_plain, 60)


def test_two_profiles_on_one_pod_share_one_sidecar(space: Space) -> None:
    space.profile("one", exclude=["/proc/", "/etc/"])
    space.profile("two", exclude=["/proc/", "/usr/"])
    space.apply(shell_pod("app", "cat /etc/issue; " + SLEEP))
    pod = space.running("app")
    assert len([one for one in pod["spec"]["initContainers"] if one["name"] == "snoop-agent"]) == 1
    # What one of them wants is recorded: exclusions intersect.
    eventually("both kinds of file", lambda: {"/etc/issue", "/usr/bin/cat"} <= space.files("app", "app"))
    for name in ("one", "two"):
        space.kubectl("wait", "--for=condition=Recording", f"snoopprofile/{name}", "--timeout=30s")


def test_a_paused_profile_injects_nothing(space: Space) -> None:
    space.profile(paused=True)
    space.apply(shell_pod("app", SLEEP))
    assert not injected(space.pod("app"))
    assert space.status()["phase"] == "Paused"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({}, "spec.selector"),
        ({"selector": {}}, "selector"),
        ({"selector": {"matchLabels": {}}}, "selector"),
        ({"selector": {"matchLabels": {"a b": "c"}}}, "selector"),
        ({"selector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}, "values"),
        ({"selector": {"matchLabels": {"a": "b"}}, "reportInterval": "soon"}, "reportInterval"),
        ({"selector": {"matchLabels": {"a": "b"}}, "exclude": ["relative"]}, "exclude"),
        ({"selector": {"matchLabels": {"a": "b"}}, "maxUniqueFiles": -1}, "maxUniqueFiles"),
    ],
)
def test_a_bad_profile_is_refused_with_a_clear_message(space: Space, spec: dict[str, object], words: str) -> None:
    import json

    bad = {
        "apiVersion": "snoop.dev/v1alpha1",
        "kind": "SnoopProfile",
        "metadata": {"name": "bad"},
        "spec": spec,
    }
    told = space.kubectl("apply", "-f", "-", text=json.dumps(bad), check=False)
    assert "created" not in told
    assert words in told
