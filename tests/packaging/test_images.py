"""What the Dockerfiles rely on. That the images run is shown by tests/e2e, which uses them."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted([*ROOT.glob("Dockerfile.*"), *ROOT.glob("examples/*/Dockerfile")])
# What kubernetes.aio.client offers without the generated classes, which Dockerfile.operator leaves out.
UNGENERATED = {"ApiClient", "ApiException", "Configuration", "rest"}


def pins(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return {canonicalize_name(one): version for one, version in re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", text, re.M)}


def test_the_operator_uses_nothing_of_the_kubernetes_client_that_its_image_leaves_out() -> None:
    used: set[str] = set()
    for path in sorted((ROOT / "operator" / "snoop_operator").rglob("*.py")):
        tree = ast.parse(path.read_text())
        aliases: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("kubernetes"):
                if (node.module or "").endswith("client"):
                    used |= {one.name for one in node.names}
                aliases |= {one.asname or one.name for one in node.names if one.name == "client"}
            elif isinstance(node, ast.Import):
                assert not [one for one in node.names if one.name.startswith("kubernetes")], (
                    f"{path}: use from … import"
                )
        aliases |= {
            node.target.id
            for node in ast.walk(tree)
            if isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and isinstance(node.value, ast.Name)
            and node.value.id in aliases
        }
        used |= {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases
        }
    assert used, "the operator does not use kubernetes.aio.client any more: drop this test and the dependency"
    assert used <= UNGENERATED


@pytest.mark.parametrize(("extra", "file"), [("agent", "agent"), ("operator", "operator"), ("dev", "dev")])
def test_the_pinned_versions_are_ones_that_the_project_asks_for(extra: str, file: str) -> None:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"][extra]
    pinned = pins(file)
    for requirement in map(Requirement, asked):
        name = canonicalize_name(requirement.name)
        assert name in pinned, f"{requirement.name} is not in requirements/{file}.txt: run make lock"
        assert requirement.specifier.contains(pinned[name], prereleases=True), f"{name}: run make lock"


@pytest.mark.parametrize("name", ["build", "agent", "operator", "dev"])
def test_every_pin_has_hashes_and_names_no_index(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    assert "://" not in text
    blocks = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.M)[1:]
    assert blocks
    for block in blocks:
        assert "--hash=sha256:" in block, block.splitlines()[0]


def shipped(dockerfile: str) -> str:
    """The last stage, and those that it is built upon."""
    stages = re.split(r"^FROM ", dockerfile, flags=re.M)[1:]
    named = {match[1]: stage for stage in stages if (match := re.match(r"\S+ AS (\S+)\n", stage))}
    found = stages[-1]
    while (base := named.get(found.split(None, 1)[0])) is not None:
        found = base + found
    return found


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_dockerfile_leaves_no_caches_and_no_address_of_where_it_was_built(path: Path) -> None:
    text = path.read_text()
    assert "://" not in text
    final = shipped(text)
    assert "rm -rf /var/lib/apt/lists/*" in final
    assert "--no-install-recommends" in final
    assert "pip" not in re.sub(r"^#.*$", "", final, flags=re.M)


def test_the_operator_runs_as_the_user_that_the_chart_says() -> None:
    text = (ROOT / "Dockerfile.operator").read_text()
    deployment = (ROOT / "charts" / "snoop" / "templates" / "deployment.yaml").read_text()
    (user,) = re.findall(r"^USER (\d+):\1$", text, re.M)
    assert f"runAsUser: {user}" in deployment


def test_the_context_holds_all_that_is_copied_and_nothing_else() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied: set[str] = set()
    for name in ("agent", "operator"):
        text = (ROOT / f"Dockerfile.{name}").read_text()
        for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.M):
            copied |= {source.partition("/")[0] for source in sources.split()}
    assert copied == allowed
