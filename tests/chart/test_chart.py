"""The chart as a whole: what it holds, what it refuses, what it leaves behind."""

import json
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.chart.conftest import CHART, KUBERNETES, NAMESPACE, ROOT, Render, Rendered, helm


def test_these_are_all_the_objects_of_a_release(rendered: Rendered) -> None:
    assert Counter(one["kind"] for one in rendered.manifests) == {
        "ClusterRole": 4,
        "ClusterRoleBinding": 1,
        "CustomResourceDefinition": 2,
        "Deployment": 1,
        "MutatingWebhookConfiguration": 1,
        "PersistentVolumeClaim": 1,
        "Role": 2,
        "RoleBinding": 2,
        "Service": 1,
        "ServiceAccount": 1,
    }


def test_nothing_of_a_release_can_be_stuck_when_it_is_removed(rendered: Rendered) -> None:
    for manifest in rendered.manifests:
        assert "finalizers" not in manifest["metadata"]
        assert "helm.sh/hook" not in manifest["metadata"].get("annotations", {})


@pytest.mark.parametrize("name", ["snoopprofile", "snoopticket"])
def test_the_charts_definition_of_a_resource_is_the_projects(name: str) -> None:
    source, copy = ROOT / f"crds/{name}.yaml", CHART / f"files/{name}.yaml"
    assert copy.read_bytes() == source.read_bytes(), "run make chart"


@pytest.mark.parametrize("name", ["snoopprofile", "snoopticket"])
def test_a_definition_is_installed_whole_and_stays_when_the_release_goes(name: str, rendered: Rendered) -> None:
    source = yaml.safe_load((ROOT / f"crds/{name}.yaml").read_text())
    installed = rendered.one("CustomResourceDefinition", f"{name}s.snoop.dev")
    assert installed["spec"] == source["spec"]
    assert installed["metadata"]["name"] == source["metadata"]["name"]
    assert installed["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_the_definition_can_be_left_to_somebody_else(render: Render) -> None:
    assert render({"crds": {"enabled": False}}).names("CustomResourceDefinition") == []


def test_two_releases_share_no_name_but_the_definition(render: Render) -> None:
    def names(release: str) -> set[tuple[str, str]]:
        rendered = render({"crds": {"enabled": False}}, release=release)
        return {(one["kind"], one["metadata"]["name"]) for one in rendered.manifests}

    assert names("snoop").isdisjoint(names("second"))


def test_everything_says_whose_it_is(rendered: Rendered) -> None:
    for manifest in rendered.manifests:
        labels = manifest["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "snoop"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert manifest["metadata"].get("namespace", NAMESPACE) == NAMESPACE


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"agnet": {}}, "agnet"),
        ({"agent": {"image": {"repo": "x"}}}, "repo"),
        ({"agent": {"resources": {"requests": {"cpus": "1"}}}}, "cpus"),
        ({"image": {"digest": "latest"}}, "digest"),
        ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
        ({"persistence": {"enabled": "no"}}, "enabled"),
        ({"retention": "7d"}, "retention"),
        ({"logLevel": "verbose"}, "logLevel"),
        ({"excludedNamespaces": "kube-system"}, "excludedNamespaces"),
        ({"webhook": {"failurePolicy": "Fail"}}, "webhook"),
    ],
)
def test_a_value_that_is_misspelt_or_impossible_is_refused_by_name(template: Any, values: Any, place: str) -> None:
    refused = template(values)
    assert refused.returncode != 0
    assert place in refused.stderr


def test_every_value_has_its_place_in_the_schema_and_its_default() -> None:

    schema = json.loads((CHART / "values.schema.json").read_text())

    def compare(values: dict[str, Any], part: dict[str, Any], place: str) -> None:
        while "$ref" in part:
            part = schema["definitions"][part["$ref"].rpartition("/")[2]]
        if "properties" not in part:
            return
        assert part["additionalProperties"] is False, place
        ours = set(part["properties"]) - {"global"}
        if place not in (
            "resources.requests",
            "resources.limits",
            "agent.resources.requests",
            "agent.resources.limits",
        ):
            assert set(values) == ours, place
        for name, value in values.items():
            if isinstance(value, dict):
                compare(value, part["properties"][name], f"{place}.{name}".lstrip("."))

    compare(yaml.safe_load((CHART / "values.yaml").read_text()), schema, "")


def test_helm_finds_nothing_to_complain_of() -> None:
    done = helm("lint", "--strict", str(CHART), "--namespace", NAMESPACE, *KUBERNETES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_cluster_without_native_sidecars_is_refused(template: Any) -> None:
    refused = template(flags=("--kube-version", "1.28.9"))
    assert refused.returncode != 0
    assert ">=1.29.0" in refused.stderr


def test_the_versions_of_project_and_chart_agree() -> None:

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (project, project)


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("packed")
    done = helm("package", str(CHART), "--destination", str(target))
    assert done.returncode == 0, done.stderr
    (archive,) = target.glob("*.tgz")
    return archive


def test_the_packed_chart_is_complete(packed: Path) -> None:
    done = helm("template", "snoop", str(packed), "--namespace", NAMESPACE, *KUBERNETES)
    assert done.returncode == 0, done.stderr
    assert "kind: CustomResourceDefinition" in done.stdout
