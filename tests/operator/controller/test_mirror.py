"""The picture of the cluster, fed in any order."""

from typing import Any

from snoop_operator.mirror import Kind, Mirror
from snoop_operator.workload import Refusal

DIGEST = "sha256:" + "a" * 64


def profile(namespace: str = "shop", name: str = "web", version: int = 1, **extra: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": namespace, "name": name, "uid": f"p-{name}", "resourceVersion": str(version)},
        "spec": {"selector": {"matchLabels": {"app": "web"}}},
        **extra,
    }


def pod(name: str = "web-1", version: int = 1, injected: bool = False, **extra: Any) -> dict[str, Any]:
    sidecar = [{"name": "snoop-agent", "image": "agent:1"}] if injected else []
    references = [{"uid": "rs-1", "controller": True}]
    metadata = {"namespace": "shop", "name": name, "uid": f"u-{name}", "ownerReferences": references}
    metadata.update(extra.pop("metadata", {}))
    return {
        "metadata": {**metadata, "resourceVersion": str(version)},
        "spec": {"initContainers": sidecar, "containers": [{"name": "web"}]},
        **extra,
    }


def status(identifier: str, **told: Any) -> dict[str, Any]:
    one = {"name": "web", "containerID": f"containerd://{identifier}", "imageID": f"x@{DIGEST}", **told}
    return {"containerStatuses": [one]}


def test_pods_are_kept_only_where_a_profile_could_select_them_or_the_sidecar_is() -> None:
    mirror = Mirror()
    assert mirror.see(Kind.PODS, pod()) == []
    mirror.see(Kind.PODS, pod("other", injected=True))
    mirror.see(Kind.PROFILES, profile())
    mirror.see(Kind.PODS, pod())
    assert {one.name for one in mirror.pods("shop")} == {"web-1", "other"}


def test_with_the_last_profile_go_the_pods_that_it_kept() -> None:
    mirror = Mirror()
    mirror.see(Kind.PROFILES, profile())
    mirror.see(Kind.PODS, pod())
    mirror.see(Kind.PODS, pod("other", injected=True))
    mirror.forget(Kind.PROFILES, profile())
    assert [one.name for one in mirror.pods("shop")] == ["other"]
    assert mirror.profiled_namespaces() == []


def test_an_older_version_does_not_overwrite_a_newer_one() -> None:
    mirror = Mirror()
    mirror.see(Kind.PROFILES, profile(version=5, status={"phase": "Recording"}))
    assert mirror.see(Kind.PROFILES, profile(version=4, status={"phase": "Pending"})) == []
    state = mirror.profile("shop", "web")
    assert state is not None
    assert state.status == {"phase": "Recording"}


def test_what_was_deleted_does_not_come_back_with_an_older_list() -> None:
    mirror = Mirror()
    mirror.see(Kind.PROFILES, profile(version=5))
    mirror.forget(Kind.PROFILES, profile(version=6))
    mirror.see(Kind.PROFILES, profile(version=5))
    assert mirror.profile_keys() == []


def test_a_whole_list_drops_what_vanished_unseen_but_not_what_is_newer() -> None:
    mirror = Mirror()
    mirror.see(Kind.PROFILES, profile(name="vanished", version=5))
    mirror.see(Kind.PROFILES, profile(name="stays", version=6))
    mirror.see(Kind.PROFILES, profile(name="newer", version=11))
    changes = mirror.settle(Kind.PROFILES, {"p-stays"}, 10)
    assert [(one.name, one.gone) for one in changes] == [("vanished", True)]
    assert {name for _, name in mirror.profile_keys()} == {"stays", "newer"}


def test_the_next_pod_of_a_stateful_set_ends_the_one_before_it() -> None:
    mirror = Mirror()
    mirror.see(Kind.PODS, pod("db-0", injected=True, metadata={"uid": "first"}))
    changes = mirror.see(Kind.PODS, pod("db-0", version=2, injected=True, metadata={"uid": "second"}))
    assert [(one.gone, (one.before if one.gone else one.after).uid) for one in changes] == [
        (True, "first"),
        (False, "second"),
    ]
    # Workers of two objects keep no order between them: the first one's last words may come now.
    assert mirror.see(Kind.PODS, pod("db-0", version=1, injected=True, metadata={"uid": "first"})) == []
    assert mirror.forget(Kind.PODS, pod("db-0", version=3, injected=True, metadata={"uid": "first"})) is None
    assert mirror.pod_by_uid("second") is not None


def test_containers_that_the_status_forgot_are_remembered() -> None:
    mirror = Mirror()
    for version, identifier in enumerate(["c1", "c2", "c3"], 1):
        mirror.see(Kind.PODS, pod(version=version, injected=True, status=status(identifier)))
    assert set(mirror.identities("u-web-1")) == {"c1", "c2", "c3"}


def test_an_image_changed_in_place_does_not_rename_the_container_before_it() -> None:
    mirror = Mirror()
    mirror.see(Kind.PODS, pod(version=1, injected=True, status=status("c1")))
    other = "sha256:" + "b" * 64
    last = {"terminated": {"containerID": "containerd://c1"}}
    mirror.see(Kind.PODS, pod(version=2, injected=True, status=status("c2", imageID=f"x@{other}", lastState=last)))
    known = mirror.identities("u-web-1")
    assert (known["c1"].digest, known["c2"].digest) == (DIGEST, other)


def test_an_invalid_profile_is_kept_with_its_error_and_injects_nothing() -> None:
    mirror = Mirror()
    mirror.see(Kind.PROFILES, {**profile(), "spec": {"selector": {}}})
    state = mirror.profile("shop", "web")
    assert state is not None
    assert state.profile is None
    assert "selector" in state.error
    assert mirror.profiles("shop") == []


def test_a_profile_that_is_being_deleted_injects_nothing() -> None:
    mirror = Mirror()
    raw = profile()
    raw["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    mirror.see(Kind.PROFILES, raw)
    assert mirror.profiles("shop") == []


def test_an_agent_that_started_proves_its_image_for_good() -> None:
    mirror = Mirror()
    mirror.doubt("agent:1", "ImagePullBackOff")
    assert mirror.check_failure("agent:1") == "ImagePullBackOff"
    told = {"initContainerStatuses": [{"name": "snoop-agent", "started": True}]}
    mirror.see(Kind.PODS, pod(injected=True, status=told))
    mirror.doubt("agent:1", "the node is full")
    assert mirror.proven("agent:1")
    assert mirror.check_failure("agent:1") == ""
    assert not mirror.proven("agent:2")


def test_pods_are_judged_only_without_a_sidecar() -> None:
    refusal = Refusal("opted_out", "the pod opted out")
    mirror = Mirror(lambda raw: refusal)
    mirror.see(Kind.PROFILES, profile())
    mirror.see(Kind.PODS, pod())
    mirror.see(Kind.PODS, pod("other", injected=True))
    assert [(one.name, one.refusal) for one in mirror.pods("shop")] == [("web-1", refusal), ("other", None)]


def test_pods_are_found_by_owner_and_lost_with_their_end() -> None:
    mirror = Mirror()
    mirror.see(Kind.PODS, pod(injected=True))
    assert [one.name for one in mirror.pods_of_owner("rs-1", "shop")] == ["web-1"]
    assert mirror.pods_of_owner("rs-1", "elsewhere") == []
    mirror.forget(Kind.PODS, pod(version=2, injected=True))
    assert mirror.pods_of_owner("rs-1", "shop") == []


def test_the_circuit_breakers_reason_outlives_its_healing() -> None:
    refusal = Refusal("agent_stuck", "another one is stuck")
    mirror = Mirror(lambda raw: refusal)
    mirror.see(Kind.PROFILES, profile())
    mirror.see(Kind.PODS, pod())
    refusal = Refusal("created_before", "nothing speaks against it now")
    mirror.see(Kind.PODS, pod(version=2))
    assert [one.refusal.code for one in mirror.pods("shop") if one.refusal] == ["agent_stuck"]
    refusal = Refusal("opted_out", "the pod opted out since")
    mirror.see(Kind.PODS, pod(version=3))
    assert [one.refusal.code for one in mirror.pods("shop") if one.refusal] == ["opted_out"]
