"""The webhook configuration: it may never hold up a pod, and what opted out is not even asked about."""

from tests.chart.conftest import NAMESPACE, Render, Rendered

from snoop_operator import names
from snoop_operator.settings import Settings


def test_a_webhook_that_fails_or_hangs_holds_no_pod_up(rendered: Rendered) -> None:
    (webhook,) = rendered.one("MutatingWebhookConfiguration")["webhooks"]
    assert webhook["failurePolicy"] == "Ignore"
    assert webhook["timeoutSeconds"] == 3


def test_it_is_called_again_after_other_injectors_and_has_no_side_effects(rendered: Rendered) -> None:
    (webhook,) = rendered.one("MutatingWebhookConfiguration")["webhooks"]
    assert webhook["reinvocationPolicy"] == "IfNeeded"
    assert webhook["sideEffects"] == "None"
    assert webhook["admissionReviewVersions"] == ["v1"]


def test_it_is_asked_about_new_pods_alone(rendered: Rendered) -> None:
    (webhook,) = rendered.one("MutatingWebhookConfiguration")["webhooks"]
    assert webhook["rules"] == [
        {
            "operations": ["CREATE"],
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "resources": ["pods"],
            "scope": "Namespaced",
        }
    ]
    assert webhook["matchPolicy"] == "Equivalent"


def test_it_is_not_asked_about_the_systems_namespaces_our_own_or_what_opted_out(rendered: Rendered) -> None:
    (webhook,) = rendered.one("MutatingWebhookConfiguration")["webhooks"]
    opted_out = {"key": names.INJECT, "operator": "NotIn", "values": ["false"]}
    assert webhook["namespaceSelector"] == {
        "matchExpressions": [
            {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", NAMESPACE]},
            opted_out,
        ]
    }
    assert webhook["objectSelector"] == {"matchExpressions": [opted_out]}


def test_the_certificate_authority_is_the_operators_to_fill_in(rendered: Rendered) -> None:
    (webhook,) = rendered.one("MutatingWebhookConfiguration")["webhooks"]
    # A caBundle in the chart, even an empty one, would be put back by every helm upgrade.
    assert webhook["clientConfig"] == {
        "service": {"name": "snoop-operator", "namespace": NAMESPACE, "path": names.WEBHOOK_PATH, "port": 443}
    }


def test_more_namespaces_can_be_left_out_for_webhook_and_operator_alike(render: Render) -> None:
    rendered = render({"excludedNamespaces": ["kube-system", "monitoring"]})
    (webhook,) = rendered.one("MutatingWebhookConfiguration")["webhooks"]
    assert webhook["namespaceSelector"]["matchExpressions"][0]["values"] == ["kube-system", "monitoring", NAMESPACE]
    assert rendered.environment["SNOOP_OPERATOR_EXCLUDED_NAMESPACES"] == "kube-system,monitoring"


def test_the_chart_and_the_operators_defaults_name_the_same_objects(rendered: Rendered) -> None:
    settings = Settings(agent_image="x")
    assert rendered.names("MutatingWebhookConfiguration") == [settings.webhook_configuration]
    assert rendered.names("Service") == [settings.service]
    assert rendered.environment["SNOOP_OPERATOR_SECRET"] == settings.secret
