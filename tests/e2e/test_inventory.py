"""What images hold, as the operator tells it from the registry: USED, UNUSED, two versions; and `kubectl snoop`."""

import base64
import contextlib
import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.browser.conftest import Page, browser, chromium  # noqa: F401 - fixtures
from tests.e2e.conftest import (
    SYSTEM,
    Release,
    Space,
    call,
    eventually,
    kill_agent,
    kubectl,
    pushed,
    registry,
    shell_pod,
)

NGINX = "localhost/snoop-example-nginx:latest"
NEXT = "localhost/snoop-test-nginx-next:latest"
JSON = dict[str, Any]
PRIVATE = "198.18.77.1:5001"
"""On this side of the cluster's link (tests/cluster/settings): pods reach it."""
# htpasswd -Bbn person secret
PASSWORDS = "person:$2y$05$rU/y0NT/vWcKvAK0pzrZW.vZ3Dd9gi8o3DEYJ4wLGo6WrWz06oOiC"

pytestmark = pytest.mark.skipif(not registry(), reason="SNOOP_REGISTRY does not say which registry speaks no TLS")


def digest(reference: str) -> str:
    return reference.partition("@")[2]


def weight(image: str) -> tuple[int, int]:
    files, size = call("tests/e2e/images/weigh", image).split()
    return int(files), int(size)


def snoop(space: Space, *arguments: str) -> str:
    """What kubectl snoop prints; it runs as a person does it."""
    return call(".venv/bin/kubectl-snoop", *arguments, "-n", space.name)


def deploy(space: Space, image: str) -> None:
    labels = {"app": "app"}
    container = {"name": "nginx", "image": image, "readinessProbe": {"httpGet": {"path": "/", "port": 80}}}
    space.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web"},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            },
        }
    )
    space.kubectl("rollout", "status", "deployment/web", "--timeout=90s", timeout=100)


def judged(space: Space, wanted: str) -> JSON:
    """Wait until the status has numbers for the image of that digest."""

    def found() -> JSON | None:
        images: list[JSON] = space.status().get("images", [])
        return next((one for one in images if one["digest"] == wanted and "bytesUnused" in one), None)

    return dict(eventually(f"numbers of {wanted}", found, timeout=150) or {})


def columns(space: Space) -> dict[str, str]:
    """The profile's line as a person sees it, by column."""
    head, line = space.kubectl("get", "snoopprofiles").splitlines()
    starts = [match.start() for match in re.finditer(r"\S+", head)]
    ends = [*starts[1:], None]
    return {head[start:end].strip(): line[start:end].strip() for start, end in zip(starts, ends, strict=True)}


async def test_two_versions_of_nginx_are_weighed_side_by_side_and_what_changed_is_told(
    space: Space,
    nginx_image: str,
    browser: Page,  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    space.profile()
    deploy(space, nginx_image)
    first = judged(space, digest(nginx_image))
    files, size = weight(NGINX)
    assert (first["filesTotal"], first["bytesTotal"]) == (files, size)
    program = int(call("tests/e2e/images/weigh", NGINX, "/usr/sbin/nginx"))
    assert program < first["bytesUsed"] < size / 2
    assert first["bytesUsed"] + first["bytesUnused"] == size
    assert first["unusedPackages"] > 0
    told = columns(space)
    assert re.fullmatch(r"[0-9.]+ MiB", told["USED"])
    assert re.fullmatch(r"[0-9.]+ MiB", told["UNUSED"])
    assert space.condition("Inventoried")["status"] == "True"

    call("tests/e2e/images/next", NGINX, NEXT)
    following = pushed(NEXT)
    deploy(space, following)
    second = judged(space, digest(following))
    assert (second["filesTotal"], second["bytesTotal"]) == weight(NEXT)
    assert second["bytesTotal"] - size >= 1 << 20
    # The old version stays, with what is known of it.
    assert {one["digest"] for one in space.status()["images"]} == {digest(nginx_image), digest(following)}
    assert judged(space, digest(nginx_image))["bytesTotal"] == size

    changed = snoop(space, "diff", "profile", "--images", "--plain-http", registry())
    assert "+ package snoop-extra [deb] 1.0  (unused; 1.0 MiB)" in changed
    assert f"- image {nginx_image}: {files} files" in changed
    assert "only in that of B, " in changed
    one, other = (f"profile@{digest(image)[:20]}" for image in (following, nginx_image))
    back = json.loads(
        snoop(space, "diff", one, other, "--images", "--plain-http", registry(), "-o", "json"),
    )
    assert [package["name"] for package in back["images"]["packages"] if package["b"] is None] == ["snoop-extra"]
    assert "/usr/share/snoop-extra/weight" in back["images"]["files_only_a"]

    verdict = json.loads(
        snoop(space, "analyze", "profile", "--image", nginx_image, "--plain-http", registry(), "-o", "json")
    )
    assert verdict["unused_bytes"] <= first["bytesUnused"]

    page = tmp_path / "report.html"
    page.write_text(snoop(space, "report", "profile", "-o", "html"))
    await browser.open(page)
    shown = str(await browser.run("document.body.innerText"))
    assert f"{space.name}/web-" in shown
    assert "complete" in shown
    assert "nginx" in shown
    assert browser.errors == []
    assert browser.requests == [page.as_uri()]


def test_on_incomplete_evidence_nothing_is_called_unused(space: Space, nginx_image: str) -> None:
    space.profile()
    deploy(space, nginx_image)
    judged(space, digest(nginx_image))
    (pod,) = space.pods("app=app")
    kill_agent(pod)
    eventually("a gap", lambda: space.condition("Complete")["status"] == "False", timeout=60)
    (image,) = space.status()["images"]
    assert "bytesUnused" not in image
    assert "unusedPackages" not in image
    assert image["bytesUsed"] > 0
    assert columns(space)["UNUSED"] == "incomplete"


def test_a_registry_that_cannot_be_reached_is_a_condition_and_recording_goes_on(space: Space) -> None:
    # The node has the image; its name leads the operator to a registry that there is not.
    call("tests/cluster/push", "debian:bookworm-slim", "other.invalid/debian:bookworm-slim", timeout=300)
    space.profile()
    space.apply(
        shell_pod("app", "cat /etc/hostname; sleep 600", container={"image": "other.invalid/debian:bookworm-slim"})
    )
    space.running("app")
    eventually("a reason", lambda: space.condition("Inventoried")["status"] == "False", timeout=60)
    told = space.condition("Inventoried")
    assert told["reason"] == "InventoryFailed"
    assert "other.invalid" in told["message"]
    assert "snoop analyze" in told["message"]
    assert space.condition("Recording")["status"] == "True"
    assert space.condition("Complete")["status"] == "True"
    eventually("its files", lambda: "/usr/bin/cat" in space.files("app"))
    shown = columns(space)
    assert (shown["USED"], shown["UNUSED"]) == ("", "")
    said = kubectl("-n", SYSTEM, "logs", "deployment/snoop-operator", "--since=60s")
    # It backs off: one line a minute at most.
    assert said.count("image not judged image=other.invalid") <= 1


@contextlib.contextmanager
def private_registry(folder: Path) -> Iterator[None]:
    """A registry that asks for a password."""
    program = shutil.which("docker-registry")
    assert program, "docker-registry is wanted: make e2e"
    (folder / "passwords").write_text(PASSWORDS)
    whole = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "auth": {"htpasswd": {"realm": "test", "path": str(folder / "passwords")}},
        "http": {"addr": PRIVATE},
    }
    (folder / "config.yml").write_text(json.dumps(whole))
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen([program, "serve", str(folder / "config.yml")], stdout=log, stderr=log) as process,
    ):
        try:
            eventually("the private registry listens", lambda: _listens(PRIVATE), timeout=20)
            yield
        finally:
            process.terminate()


def _listens(address: str) -> bool:
    host, port = address.split(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
        return True
    return False


def test_a_pull_secret_is_read_only_where_somebody_grants_it(
    space: Space, release: Release, nginx_image: str, tmp_path: Path
) -> None:
    with private_registry(tmp_path):
        # The node gets the image from the cluster's own registry, whatever the name; the operator goes by the name.
        copy = ("skopeo", "copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false")
        name = nginx_image.partition("/")[2].partition("@")[0]
        private = f"{PRIVATE}/{name}@{digest(nginx_image)}"
        target = f"docker://{PRIVATE}/{name}:private"
        call(*copy, "--preserve-digests", "--dest-creds=person:secret", f"docker://{nginx_image}", target)
        # As this operator has it already, one with an empty store is wanted.
        release.install(
            "--set", f"inventory.plainHTTP={{{registry()},{PRIVATE}}}", "--set", "persistence.enabled=false"
        )
        try:
            auth = {PRIVATE: {"auth": base64.b64encode(b"person:secret").decode()}}
            secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pull"}}
            content = {"stringData": {".dockerconfigjson": json.dumps({"auths": auth})}}
            space.apply({**secret, "type": "kubernetes.io/dockerconfigjson", **content})
            space.profile()
            space.apply(
                shell_pod("app", "sleep 600", container={"image": private}, imagePullSecrets=[{"name": "pull"}])
            )
            space.running("app")
            eventually("a reason", lambda: space.condition("Inventoried")["status"] == "False")
            told = space.condition("Inventoried")
            assert told["reason"] == "PullSecretDenied"
            assert "ClusterRole snoop-pull-secrets" in told["message"]
            space.kubectl(
                *("create", "rolebinding", "pulls", "--clusterrole=snoop-pull-secrets"),
                f"--serviceaccount={SYSTEM}:snoop-operator",
            )
            # The next try is after a minute.
            assert judged(space, digest(nginx_image))["bytesUsed"] > 0
        finally:
            release.install()
