"""Who is left alone, and what is said of it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from snoop_operator.admission import eligibility, injection
from snoop_operator.admission.surroundings import Runtime
from snoop_operator.settings import Settings
from snoop_operator.workload import Refusal

Make = Callable[..., Any]


def codes(refusals: list[Refusal]) -> list[str]:
    return [one.code for one in refusals]


def test_a_plain_pod_of_a_profile_is_injected(pod: Make, around: Make, settings: Settings) -> None:
    assert eligibility.refusals(pod(), around(), settings) == []


@pytest.mark.parametrize("value", ["false", "False"])
@pytest.mark.parametrize("where", ["labels", "annotations"])
def test_an_opt_out_of_the_pod_comes_before_every_other_reason(
    where: str, value: str, pod: Make, around: Make, settings: Settings
) -> None:
    held = {"app": "checkout", "snoop.dev/inject": value}
    found = eligibility.refusals(pod({"hostUsers": False}, **{where: held}), around(namespace="kube-system"), settings)
    assert found[0].code == "opted_out"


@pytest.mark.parametrize("where", ["labels", "annotations"])
def test_an_opt_out_of_the_namespace_wins_over_a_pod_that_says_true(
    where: str, pod: Make, around: Make, settings: Settings
) -> None:
    wants = pod(labels={"app": "checkout", "snoop.dev/inject": "true"})
    found = eligibility.refusals(wants, around(**{where: {"snoop.dev/inject": "false"}}), settings)
    assert codes(found) == ["namespace_opted_out"]


@pytest.mark.parametrize("namespace", ["kube-system", "snoop-system"])
def test_the_cluster_s_and_our_own_namespace_are_left_alone(
    namespace: str, pod: Make, around: Make, settings: Settings
) -> None:
    assert codes(eligibility.refusals(pod(), around(namespace=namespace), settings)) == ["excluded_namespace"]


def test_a_pod_that_no_profile_selects_is_told_from_one_whose_profiles_are_paused(
    pod: Make, around: Make, profile: Make, settings: Settings
) -> None:
    assert codes(eligibility.refusals(pod(labels={"app": "cart"}), around(), settings)) == ["no_profile"]
    paused = around(profiles=[profile(paused=True)])
    assert codes(eligibility.refusals(pod(), paused, settings)) == ["paused"]
    one_active = around(profiles=[profile(paused=True), profile("other")])
    assert eligibility.refusals(pod(), one_active, settings) == []


def test_a_profile_of_containers_that_the_pod_has_not_needs_no_agent(
    pod: Make, around: Make, profile: Make, settings: Settings
) -> None:
    elsewhere = around(profiles=[profile(containers={"include": ["sidecar"]})])
    assert codes(eligibility.refusals(pod(), elsewhere, settings)) == ["no_container"]
    init = pod({"initContainers": [{"name": "sidecar", "image": "x"}]})
    assert eligibility.refusals(init, elsewhere, settings) == []


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"os": {"name": "windows"}}, "windows"),
        ({"nodeSelector": {"kubernetes.io/os": "windows"}}, "windows"),
        ({"nodeSelector": {"type": "virtual-kubelet"}}, "virtual_node"),
        ({"schedulerName": "fargate-scheduler"}, "virtual_node"),
        ({"hostUsers": False}, "user_namespace"),
        ({"runtimeClassName": "gvisor"}, "sandboxed_runtime"),
        ({"runtimeClassName": "kata-qemu"}, "sandboxed_runtime"),
        ({"runtimeClassName": "fast"}, "unknown_runtime_class"),
        ({"resources": {"limits": {"cpu": "1"}}}, "pod_level_resources"),
        ({"initContainers": [{"name": "snoop-agent", "image": "x"}]}, "name_clash"),
        ({"volumes": [{"name": "snoop-data", "emptyDir": {}}]}, "name_clash"),
    ],
)
def test_a_pod_that_we_would_break_or_could_not_see_is_left_alone(
    spec: dict[str, Any], code: str, pod: Make, around: Make, settings: Settings
) -> None:
    assert codes(eligibility.refusals(pod(spec), around(), settings)) == [code]


@pytest.mark.parametrize(
    "spec",
    [
        {"hostNetwork": True},
        {"hostPID": True},
        {"shareProcessNamespace": True},
        {"hostUsers": True},
        {"runtimeClassName": "nvidia"},
        {"nodeSelector": {"kubernetes.io/os": "linux"}},
        {"containers": [{"name": "app", "image": "x", "securityContext": {"privileged": True}}]},
    ],
)
def test_what_does_not_hinder_the_agent_is_no_reason(
    spec: dict[str, Any], pod: Make, around: Make, settings: Settings
) -> None:
    assert eligibility.refusals(pod(spec), around(), settings) == []


def test_an_administrator_can_vouch_for_a_runtime_class(pod: Make, around: Make, settings: Settings) -> None:
    vouched = replace(settings, runtime_classes=("fast*",))
    assert eligibility.refusals(pod({"runtimeClassName": "fast-io"}), around(), vouched) == []


@pytest.mark.parametrize("annotation", [{"kubernetes.io/config.mirror": "x"}, {"kubernetes.io/config.source": "file"}])
def test_static_pods_are_left_alone(annotation: dict[str, str], pod: Make, around: Make, settings: Settings) -> None:
    assert codes(eligibility.refusals(pod(annotations=annotation), around(), settings)) == ["static_pod"]


@pytest.mark.parametrize(
    ("level", "refused"), [("privileged", False), ("baseline", True), ("restricted", True), ("x", True)]
)
def test_a_namespace_that_would_reject_the_patched_pod_is_left_alone(
    level: str, refused: bool, pod: Make, around: Make, settings: Settings
) -> None:
    enforcing = around(labels={"pod-security.kubernetes.io/enforce": level})
    assert codes(eligibility.refusals(pod(), enforcing, settings)) == (["pod_security"] if refused else [])
    warning = around(labels={"pod-security.kubernetes.io/warn": level})
    assert eligibility.refusals(pod(), warning, settings) == []


def test_a_namespace_that_is_not_known_yet_promises_nothing(pod: Make, around: Make, settings: Settings) -> None:
    assert codes(eligibility.refusals(pod(), around(known=False), settings)) == ["namespace_unknown"]


def test_without_native_sidecars_or_a_certificate_nothing_is_injected(
    pod: Make, around: Make, settings: Settings, runtime: Runtime
) -> None:
    for missing, code in (
        ({"native_sidecars": False}, "no_native_sidecars"),
        ({"ca_bundle": ""}, "operator_not_ready"),
    ):
        decision = injection.decide(pod(), around(), settings, replace(runtime, **missing))
        assert isinstance(decision, Refusal)
        assert decision.code == code


def test_every_reason_is_a_code_and_a_sentence(pod: Make, around: Make, settings: Settings) -> None:
    worst = pod(
        {
            "hostUsers": False,
            "runtimeClassName": "kata",
            "os": {"name": "windows"},
            "resources": {"limits": {"cpu": "1"}},
            "schedulerName": "fargate-scheduler",
            "containers": [{"name": "snoop-agent", "image": "x"}],
        },
        annotations={"kubernetes.io/config.mirror": "x", "snoop.dev/inject": "false"},
    )
    surrounded = around(namespace="kube-system", labels={"pod-security.kubernetes.io/enforce": "baseline"})
    found = eligibility.refusals(worst, surrounded, settings)
    assert len(found) >= 9
    for refusal in found:
        assert refusal.code.replace("_", "").isalpha()
        assert refusal.code.islower()
        assert refusal.message[0].isupper()
        assert refusal.message.endswith(".")


def test_a_malformed_quota_leaves_the_pod_alone_rather_than_failing(
    pod: Make, around: Make, settings: Settings, runtime: Runtime
) -> None:
    broken = around(resource_quotas=[{"spec": {"hard": {"limits.cpu": "much"}}}])
    decision = injection.decide(
        pod({"containers": [{"name": "app", "resources": {"limits": {"cpu": 1, "memory": "1Gi"}}}]}),
        broken,
        settings,
        runtime,
    )
    assert isinstance(decision, Refusal)
    assert decision.code == "unreadable_pod"
