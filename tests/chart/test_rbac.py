"""What the operator may do, to the letter: a new right has to be written down here, with the code that needs it."""

from typing import Any

from tests.chart.conftest import NAMESPACE, Render, Rendered

Rule = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[str, ...]]


def rules(role: dict[str, Any]) -> set[Rule]:
    """(groups, resources, names, verbs) of each rule."""
    assert not [rule for rule in role["rules"] if "nonResourceURLs" in rule]
    return {
        (
            tuple(rule["apiGroups"]),
            tuple(rule["resources"]),
            tuple(rule.get("resourceNames", ())),
            tuple(sorted(rule["verbs"])),
        )
        for rule in role["rules"]
    }


def test_cluster_wide_the_operator_watches_writes_status_and_events_and_reviews_tokens(rendered: Rendered) -> None:
    assert rules(rendered.one("ClusterRole", "snoop-operator")) == {
        (("snoop.dev",), ("snoopprofiles",), (), ("list", "watch")),
        (("snoop.dev",), ("snoopprofiles/status",), (), ("patch",)),
        (("snoop.dev",), ("snooptickets",), (), ("delete", "get", "list")),
        (("",), ("limitranges", "namespaces", "pods", "resourcequotas"), (), ("list", "watch")),
        (("events.k8s.io",), ("events",), (), ("create",)),
        (("authentication.k8s.io",), ("tokenreviews",), (), ("create",)),
        (
            ("admissionregistration.k8s.io",),
            ("mutatingwebhookconfigurations",),
            ("snoop-operator",),
            ("get", "patch"),
        ),
    }


def test_in_its_own_namespace_it_keeps_one_secret_reads_one_service_and_runs_the_trial_pod(rendered: Rendered) -> None:
    assert rules(rendered.one("Role", "snoop-operator")) == {
        (("",), ("secrets",), ("snoop-operator-tls",), ("get", "update")),
        (("",), ("secrets",), (), ("create",)),
        (("",), ("services",), ("snoop-operator",), ("get",)),
        (("",), ("pods",), (), ("create", "delete", "get")),
    }


def test_the_roles_are_bound_to_the_operators_account_and_to_nobody_else(rendered: Rendered) -> None:
    account = {"kind": "ServiceAccount", "name": "snoop-operator", "namespace": NAMESPACE}
    for kind, role in (("ClusterRoleBinding", "ClusterRole"), ("RoleBinding", "Role")):
        binding = rendered.one(kind, "snoop-operator")
        assert binding["subjects"] == [account]
        assert binding["roleRef"] == {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": role,
            "name": "snoop-operator",
        }
    assert rendered.one("Deployment")["spec"]["template"]["spec"]["serviceAccountName"] == "snoop-operator"


def test_these_are_all_the_roles_there_are(rendered: Rendered) -> None:
    assert sorted(rendered.names("ClusterRole")) == [
        "snoop-operator",
        "snoop-profiles-edit",
        "snoop-profiles-view",
        "snoop-pull-secrets",
    ]
    assert sorted(rendered.names("Role")) == ["snoop-operator", "snoop-reports"]


def test_no_rule_holds_a_wildcard(rendered: Rendered) -> None:
    for role in (one for one in rendered.manifests if one["kind"] in ("ClusterRole", "Role")):
        for rule in role["rules"]:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]


def test_viewers_may_read_profiles_and_only_editors_may_change_them(rendered: Rendered) -> None:
    view, edit = (rendered.one("ClusterRole", f"snoop-profiles-{verb}") for verb in ("view", "edit"))
    to = "rbac.authorization.k8s.io/aggregate-to-"
    assert rules(view) == {
        (("snoop.dev",), ("snoopprofiles",), (), ("get", "list", "watch")),
        (("snoop.dev",), ("snooptickets",), (), ("create",)),
    }
    assert rules(edit) == {
        (("snoop.dev",), ("snoopprofiles",), (), ("create", "delete", "deletecollection", "patch", "update"))
    }
    assert {key for key in view["metadata"]["labels"] if key.startswith(to)} == {f"{to}view", f"{to}edit", f"{to}admin"}
    assert {key for key in edit["metadata"]["labels"] if key.startswith(to)} == {f"{to}edit", f"{to}admin"}


def test_every_account_may_ask_the_operator_and_nothing_else_through_the_proxy(
    rendered: Rendered, render: Render
) -> None:
    assert rules(rendered.one("Role", "snoop-reports")) == {
        (("",), ("services/proxy",), ("https:snoop-operator:https",), ("get",))
    }
    (subject,) = rendered.one("RoleBinding", "snoop-reports")["subjects"]
    assert (subject["kind"], subject["name"]) == ("Group", "system:authenticated")
    assert render({"rbac": {"proxy": False}}).names("Role") == ["snoop-operator"]


def test_aggregation_can_be_left_out(render: Render) -> None:
    assert render({"rbac": {"aggregate": False}}).names("ClusterRole") == ["snoop-pull-secrets", "snoop-operator"]


def test_rights_follow_the_releases_name(render: Render) -> None:
    other = render(release="watch")
    named = {name for _, _, names, _ in rules(other.one("ClusterRole", "watch-snoop-operator")) for name in names}
    named |= {name for _, _, names, _ in rules(other.one("Role", "watch-snoop-operator")) for name in names}
    assert named == {"watch-snoop-operator", "watch-snoop-operator-tls"}


def test_without_the_trial_run_it_may_make_no_pods(render: Render) -> None:
    granted = rules(render({"agent": {"check": False}}).one("Role", "snoop-operator"))
    assert not [rule for rule in granted if rule[1] == ("pods",)]
