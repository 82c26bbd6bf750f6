import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.image.packages.images import Link, of_files, of_folder

from snoop_image.model import Package
from snoop_image.packages import Dependencies


def manifest(name: str, version: str = "1.0.0", **more: Any) -> str:
    return json.dumps({"name": name, "version": version, **more})


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An application that npm installed from folders."""
    if shutil.which("npm") is None:
        pytest.skip("needs npm")
    top = tmp_path_factory.mktemp("npm")
    local = {
        "leaf-old": manifest("leaf", "1.0.0", bin={"leaf": "cli.js"}),
        "leaf-new": manifest("leaf", "2.0.0"),
        "scoped": manifest("@team/scoped", dependencies={"leaf": "1"}, bundleDependencies=["leaf"]),
        "peer": manifest("peer", peerDependencies={"@team/scoped": "*"}, optionalDependencies={"absent": "file:../no"}),
    }
    for name, text in local.items():
        (top / name / "lib").mkdir(parents=True)
        (top / name / "package.json").write_text(text)
        (top / name / "cli.js").write_text("#!/usr/bin/env node\n")
        (top / name / "lib/package.json").write_text('{"type": "module"}')
    shutil.copytree(top / "leaf-old", top / "scoped/node_modules/leaf")
    needs = {"leaf": "file:../leaf-new", "@team/scoped": "file:../scoped", "peer": "file:../peer"}
    (top / "app").mkdir()
    (top / "app/package.json").write_text(manifest("app", dependencies=needs))
    command = ["npm", "install", "--offline", "--no-audit", "--no-fund", "--install-links", "--omit=optional"]
    subprocess.run(command, cwd=top / "app", check=True, capture_output=True)
    return top


def test_npm_and_snoop_find_the_same_packages(application: Path) -> None:
    packages, notes = of_folder(application, "/app").read()
    assert notes == []
    tree = subprocess.run(["npm", "ls", "--all", "--parseable", "--long"], cwd=application / "app", capture_output=True)
    lines = [line.split(":") for line in tree.stdout.decode().splitlines()[1:]]
    prefix = len(str(application))
    told = {(line[0][prefix:], line[1]) for line in lines if "node_modules" in line[0]}
    assert {(one.database.removesuffix("/package.json"), f"{one.name}@{one.version}") for one in packages} == told
    assert len(told) == 4


def test_a_package_s_files_are_all_below_it_up_to_the_next(application: Path) -> None:
    packages, _ = of_folder(application, "/app").read()
    by_place = {one.database: one for one in packages}
    scoped = by_place["/app/node_modules/@team/scoped/package.json"]
    nested = by_place["/app/node_modules/@team/scoped/node_modules/leaf/package.json"]
    assert (nested.name, nested.version) == ("leaf", "1.0.0")
    assert set(scoped.files) == {
        f"/app/node_modules/@team/scoped/{name}" for name in ("package.json", "cli.js", "lib/package.json")
    }
    assert not set(nested.files) & set(scoped.files)
    assert [path for path in nested.files if path.endswith("node_modules/.bin/leaf")]


def test_a_package_needs_the_nearest_one_of_the_name(application: Path) -> None:
    packages, _ = of_folder(application, "/app").read()
    graph = Dependencies(packages)
    index = {one.database: at for at, one in enumerate(packages)}
    scoped = index["/app/node_modules/@team/scoped/package.json"]
    nested = index["/app/node_modules/@team/scoped/node_modules/leaf/package.json"]
    peer = index["/app/node_modules/peer/package.json"]
    top = index["/app/node_modules/leaf/package.json"]
    assert graph.requirements(scoped) == (nested,)
    assert graph.needed([peer]) == {peer: None, scoped: peer, nested: scoped}
    assert graph.dependents(top) == ()


def test_pnpm_s_links_belong_to_what_they_lead_to() -> None:
    # https://pnpm.io/symlinked-node-modules-structure
    store = "/app/node_modules/.pnpm"
    image = of_files(
        {
            "/app/package.json": manifest("app"),
            f"{store}/foo@1.0.0/node_modules/foo/package.json": manifest("foo", dependencies={"@s/bar": "1"}),
            f"{store}/foo@1.0.0/node_modules/foo/index.js": "",
            f"{store}/foo@1.0.0/node_modules/@s/bar": Link("../../../@s+bar@1.0.0/node_modules/@s/bar"),
            f"{store}/@s+bar@1.0.0/node_modules/@s/bar/package.json": manifest("@s/bar"),
            f"{store}/@s+bar@1.0.0/node_modules/@s/bar/cli.js": "",
            "/app/node_modules/foo": Link(".pnpm/foo@1.0.0/node_modules/foo"),
            "/app/node_modules/.bin/bar": Link("../.pnpm/@s+bar@1.0.0/node_modules/@s/bar/cli.js"),
            "/app/node_modules/dangling": Link("nowhere"),
            "/app/node_modules/.modules.yaml": "",
        }
    )
    found = image.packages()
    assert set(found) == {"foo", "@s/bar"}
    assert "/app/node_modules/foo" in found["foo"].files
    assert {f"{store}/foo@1.0.0/node_modules/@s/bar", "/app/node_modules/.bin/bar"} < set(found["@s/bar"].files)
    packages = list(found.values())
    graph = Dependencies(packages)
    assert set(graph.needed([packages.index(found["foo"])])) == {0, 1}


def test_a_workspace_is_a_package_and_an_application_is_none() -> None:
    image = of_files(
        {
            "/package.json": manifest("root"),
            "/app/package.json": manifest("app"),
            "/app/packages/part/package.json": manifest("part", dependencies={"dep": "1"}),
            "/app/packages/part/index.js": "",
            "/app/packages/part/node_modules/dep/package.json": manifest("dep"),
            "/app/node_modules/part": Link("../packages/part"),
            "/app/node_modules/everything": Link("/"),
        }
    )
    found = image.packages()
    assert set(found) == {"part", "dep"}
    assert set(found["part"].files) == {
        "/app/packages/part/package.json",
        "/app/packages/part/index.js",
        "/app/node_modules/part",
    }


def test_an_alias_is_found_by_its_folder() -> None:
    image = of_files(
        {
            "/a/node_modules/alias/package.json": manifest("real"),
            "/a/node_modules/user/package.json": manifest("user", dependencies={"alias": "npm:real@1"}),
        }
    )
    packages = list(image.packages().values())
    assert image.packages()["real"].provides == ("alias",)
    graph = Dependencies(packages)
    assert graph.requirements([one.name for one in packages].index("user")) == (
        [one.name for one in packages].index("real"),
    )


@pytest.mark.parametrize("text", ["", "{", "[1]", "nul\0", "\xff", "[" * 200_000, "1" * 5000])
def test_a_broken_package_json_is_told_and_the_package_is_there(text: str) -> None:
    packages, notes = of_files({"/a/node_modules/@s/x/package.json": text, "/a/node_modules/@s/x/y.js": ""}).read()
    (one,) = packages
    assert (one.name, one.version, len(one.files)) == ("@s/x", "", 2)
    assert len(notes) == 1


@pytest.mark.parametrize("value", [1, None, [], {"a": 1}, "", "\x1b[2J"])
def test_fields_of_another_kind_are_passed_over(value: object) -> None:
    text = json.dumps({"name": value, "version": value, "dependencies": value, "peerDependencies": [value]})
    packages, _ = of_files({"/a/node_modules/x/package.json": text}).read()
    assert [one for one in packages if not isinstance(one, Package) or not one.version.isprintable()] == []


def test_yarn_s_archives_are_told() -> None:
    assert of_files({"/app/.pnp.cjs": ""}).read()[1] == [
        "/app/.pnp.cjs: Yarn keeps these packages in archives: they were not read"
    ]
