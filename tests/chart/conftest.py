"""Renders the chart with Helm itself and hands out what it would send to the API server."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "snoop"
NAMESPACE = "snoop-system"
# What Helm takes a cluster's version for when it talks to none depends on who built it.
KUBERNETES = ("--kube-version", "1.34.0")

Manifest = dict[str, Any]


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ROOT / "scripts" / "helm", *arguments], capture_output=True, text=True, check=False)


class Rendered:
    """The objects of one rendering."""

    def __init__(self, manifests: list[Manifest]) -> None:
        self.manifests = manifests

    def names(self, kind: str) -> list[str]:
        return [one["metadata"]["name"] for one in self.manifests if one["kind"] == kind]

    def one(self, kind: str, name: str | None = None) -> Manifest:
        found = [
            manifest
            for manifest in self.manifests
            if manifest["kind"] == kind and name in (None, manifest["metadata"]["name"])
        ]
        assert len(found) == 1, f"{len(found)} of kind {kind}, name {name}"
        return found[0]

    @property
    def operator(self) -> Manifest:
        """The operator's container."""
        (container,) = self.one("Deployment")["spec"]["template"]["spec"]["containers"]
        return container

    @property
    def environment(self) -> dict[str, Any]:
        return {one["name"]: one.get("value", one.get("valueFrom")) for one in self.operator["env"]}


Render = Callable[..., Rendered]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `helm template` with values; the answer is Helm's own."""

    def run(values: Manifest | None = None, *, release: str = "snoop", flags: tuple[str, ...] = ()) -> Any:
        path = tmp_path_factory.mktemp("values") / "values.json"
        path.write_text(json.dumps(values or {}))
        return helm(
            "template", release, str(CHART), "--namespace", NAMESPACE, "--values", str(path), *(flags or KUBERNETES)
        )

    return run


@pytest.fixture(scope="session")
def render(template: Callable[..., subprocess.CompletedProcess[str]]) -> Render:
    """Render with values; the test fails with Helm's words if it refuses."""

    def run(values: Manifest | None = None, **options: Any) -> Rendered:
        done = template(values, **options)
        assert done.returncode == 0, done.stderr
        return Rendered([one for one in yaml.safe_load_all(done.stdout) if one])

    return run


@pytest.fixture(scope="session")
def rendered(render: Render) -> Rendered:
    """With the defaults."""
    return render()
