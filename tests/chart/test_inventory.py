"""Inventories: on unless switched off; pull secrets only where somebody binds the role."""

from collections.abc import Callable
from typing import Any


def _variables(rendered: Any) -> dict[str, str]:
    (container,) = rendered.one("Deployment")["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one.get("value", "") for one in container["env"]}


def test_without_it_nothing_is_asked_of_a_registry(render: Callable[..., Any]) -> None:
    rendered = render({"inventory": {"enabled": False}})
    told = {key: value for key, value in _variables(rendered).items() if "INVENTORY" in key or "PULL_SECRETS" in key}
    assert told == {"SNOOP_OPERATOR_INVENTORY": "false"}
    assert "snoop-pull-secrets" not in rendered.names("ClusterRole")


def test_the_role_for_pull_secrets_is_there_and_bound_to_nobody(render: Callable[..., Any]) -> None:
    rendered = render({})
    role = rendered.one("ClusterRole", "snoop-pull-secrets")
    assert role["rules"] == [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
    assert not any("aggregate" in label for label in role["metadata"]["labels"])
    bound = [one["roleRef"]["name"] for one in rendered.manifests if one["kind"].endswith("RoleBinding")]
    assert "snoop-pull-secrets" not in bound
    assert _variables(rendered)["SNOOP_OPERATOR_PULL_SECRETS_ROLE"] == "snoop-pull-secrets"


def test_registries_without_tls_and_a_ca_of_their_own_can_be_named(render: Callable[..., Any]) -> None:
    rendered = render(
        {"inventory": {"enabled": True, "plainHTTP": ["registry:5000", "other"], "caConfigMap": "ca", "memory": "1Gi"}}
    )
    told = _variables(rendered)
    assert told["SNOOP_OPERATOR_INVENTORY_PLAIN_HTTP"] == "registry:5000,other"
    assert told["SNOOP_OPERATOR_INVENTORY_MEMORY"] == "1Gi"
    pod = rendered.one("Deployment")["spec"]["template"]["spec"]
    (mount,) = [one for one in pod["containers"][0]["volumeMounts"] if one["name"] == "registries"]
    assert told["SNOOP_OPERATOR_INVENTORY_CA_FILE"] == f"{mount['mountPath']}/ca.crt"
    (volume,) = [one for one in pod["volumes"] if one["name"] == "registries"]
    assert volume["configMap"] == {"name": "ca"}
