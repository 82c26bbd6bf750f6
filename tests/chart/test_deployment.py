"""The operator's Deployment: rights, storage, probes, and settings that the operator really reads."""

from typing import Any

import pytest
from tests.chart.conftest import NAMESPACE, Render, Rendered

from snoop_operator import settings


def pod(rendered: Rendered) -> dict[str, Any]:
    spec = rendered.one("Deployment")["spec"]["template"]["spec"]
    assert isinstance(spec, dict)
    return spec


def load(rendered: Rendered) -> settings.Settings:
    """What the operator makes of the variables that the chart gives it."""
    environment = {
        key: value
        if isinstance(value, str)
        else {"metadata.namespace": NAMESPACE}.get(value["fieldRef"]["fieldPath"], "pod-1")
        for key, value in rendered.environment.items()
    }
    return settings.load([], environment)


def test_it_runs_as_nobody_in_particular_with_nothing_to_write_on_and_no_capability(rendered: Rendered) -> None:
    assert pod(rendered)["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert rendered.operator["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_one_process_owns_the_store(rendered: Rendered) -> None:
    spec = rendered.one("Deployment")["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate"}


def test_the_evidence_lies_on_a_claim_that_outlives_the_release(rendered: Rendered) -> None:
    claim = rendered.one("PersistentVolumeClaim")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert claim["spec"] == {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    (volume,) = [one for one in pod(rendered)["volumes"] if one["name"] == "data"]
    assert volume["persistentVolumeClaim"] == {"claimName": claim["metadata"]["name"]}
    (mount,) = [one for one in rendered.operator["volumeMounts"] if one["name"] == "data"]
    assert mount["mountPath"] == str(load(rendered).data_directory)


def test_without_persistence_the_evidence_lives_as_long_as_the_pod(render: Render) -> None:
    rendered = render({"persistence": {"enabled": False}})
    assert rendered.names("PersistentVolumeClaim") == []
    assert {"name": "data", "emptyDir": {}} in pod(rendered)["volumes"]


@pytest.mark.parametrize(
    ("values", "claims", "name"),
    [
        ({"existingClaim": "mine"}, [], "mine"),
        ({"storageClass": "fast", "size": "5Gi", "keep": False}, ["snoop-operator"], "snoop-operator"),
    ],
)
def test_the_claim_can_be_ones_own_or_of_another_class(render: Render, values: Any, claims: Any, name: str) -> None:
    rendered = render({"persistence": values})
    assert rendered.names("PersistentVolumeClaim") == claims
    (volume,) = [one for one in pod(rendered)["volumes"] if one["name"] == "data"]
    assert volume["persistentVolumeClaim"] == {"claimName": name}
    for claim in (one for one in rendered.manifests if one["kind"] == "PersistentVolumeClaim"):
        assert claim["spec"]["storageClassName"] == "fast"
        assert "annotations" not in claim["metadata"]


def test_health_is_asked_on_the_plain_port_and_readiness_apart(rendered: Rendered) -> None:
    ports = {one["name"]: one["containerPort"] for one in rendered.operator["ports"]}
    told = load(rendered)
    assert ports == {"https": told.tls_port, "http": told.http_port}
    for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        assert rendered.operator[probe]["httpGet"] == {"path": path, "port": "http"}


def test_the_service_answers_on_443_and_reaches_the_operator(rendered: Rendered) -> None:
    service = rendered.one("Service")
    assert [(one["port"], one["targetPort"]) for one in service["spec"]["ports"]] == [(443, "https")]
    labels = rendered.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()


def test_every_variable_is_one_that_the_operator_reads_and_the_defaults_agree(rendered: Rendered) -> None:
    flags = set(settings.Settings.__dataclass_fields__)
    ours = {key for key in rendered.environment if key.startswith(settings.ENV_PREFIX)}
    assert {key.removeprefix(settings.ENV_PREFIX).lower() for key in ours} <= flags
    told = load(rendered)
    assert told == settings.Settings(agent_image=told.agent_image, pod_name="pod-1")


def test_values_reach_the_operator(render: Render) -> None:
    told = load(
        render(
            {
                "registry": "registry.example.com/platform/",
                "agent": {
                    "image": {"digest": "sha256:" + "0" * 64, "pullPolicy": "Always"},
                    "resources": {"requests": {"cpu": "10m"}, "limits": {"cpu": 1, "memory": "256Mi"}},
                    "check": False,
                },
                "retention": "24h",
                "logLevel": "debug",
                "runtimeClasses": ["runc"],
            }
        )
    )
    assert told.agent_image == "registry.example.com/platform/snoop-agent@sha256:" + "0" * 64
    assert told.agent_image_pull_policy == "Always"
    assert told.agent_requests == {"cpu": "10m", "memory": "64Mi"}
    assert told.agent_limits == {"cpu": "1", "memory": "256Mi"}
    assert not told.agent_check
    assert told.retention == 86_400
    assert (told.log_level, told.runtime_classes) == ("debug", ("runc",))


def test_images_are_named_by_registry_repository_and_tag_or_digest(render: Render) -> None:
    assert render().operator["image"] == "snoop-operator:0.1.0"
    assert render({"image": {"tag": "1.2"}}).operator["image"] == "snoop-operator:1.2"
    pinned = render({"registry": "r.example:5000", "image": {"tag": "1.2", "digest": "sha256:" + "a" * 64}})
    assert pinned.operator["image"] == "r.example:5000/snoop-operator@sha256:" + "a" * 64


def test_neighbouring_services_cannot_pose_as_settings(rendered: Rendered) -> None:
    assert pod(rendered)["enableServiceLinks"] is False


def test_the_operator_is_not_profiled_itself(rendered: Rendered) -> None:
    assert rendered.one("Deployment")["spec"]["template"]["metadata"]["labels"]["snoop.dev/inject"] == "false"


def test_only_the_operators_pod_is_given_the_accounts_token(rendered: Rendered) -> None:
    assert rendered.one("ServiceAccount")["automountServiceAccountToken"] is False
    assert pod(rendered)["automountServiceAccountToken"] is True


def test_an_account_of_ones_own_can_be_used(render: Render, template: Any) -> None:
    rendered = render({"serviceAccount": {"create": False, "name": "mine"}})
    assert rendered.names("ServiceAccount") == []
    assert pod(rendered)["serviceAccountName"] == "mine"
    refused = template({"serviceAccount": {"create": False}})
    assert "serviceAccount.name is needed" in refused.stderr


def test_where_it_runs_can_be_chosen(render: Render) -> None:
    chosen = {
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "infra", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "system-cluster-critical",
        "imagePullSecrets": [{"name": "pull"}],
    }
    assert chosen.items() <= pod(render(chosen)).items()


def test_the_trial_run_pulls_with_the_secrets_that_the_operator_is_pulled_with(render: Render) -> None:
    rendered = render({"imagePullSecrets": [{"name": "one"}, {"name": "two"}]})
    assert pod(rendered)["imagePullSecrets"] == [{"name": "one"}, {"name": "two"}]
    assert load(rendered).agent_image_pull_secrets == ("one", "two")
