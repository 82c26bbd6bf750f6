"""The product on a real cluster, installed as its users install it: by the chart, from the images that were built.

`make e2e` brings KUBECONFIG, SNOOP_AGENT_IMAGE and SNOOP_OPERATOR_IMAGE. Each test has a namespace of its own. Evidence
is read where it ends up: in the operator's store, by `snoop-operator report`.
"""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest

from snoop_report.codec import report_from_dict
from snoop_report.model import ContainerReport, Report

ROOT = Path(__file__).parents[2]
SYSTEM = "snoop-system"
AGENT = "snoop-agent"
T = TypeVar("T")
JSON = dict[str, Any]
_NUMBERS = count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


def call(*command: str, text: str | None = None, check: bool = True, timeout: float = 180) -> str:
    """Run a command; its standard output. A failure shows what it said."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=timeout, check=False, cwd=ROOT)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout if check else done.stdout + done.stderr


def kubectl(*arguments: str, **options: Any) -> str:
    return call("kubectl", *arguments, **options)


def get(*arguments: str) -> JSON:
    found: JSON = json.loads(kubectl("get", *arguments, "-o", "json"))
    return found


def eventually(what: str, probe: Callable[[], T], timeout: float = 60, pause: float = 0.3) -> T:
    """Wait until `probe` gives something true, and give that."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            found = probe()
            trouble: object = found
        except (AssertionError, KeyError, IndexError, ValueError) as error:
            found, trouble = None, error  # type: ignore[assignment]
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout:.0f} s still not: {what} (last: {trouble!r})")
        time.sleep(pause)


def helm(*arguments: str) -> str:
    return call("scripts/helm", *arguments, timeout=400)


def image_values(prefix: str, reference: str) -> list[str]:
    if "@" in reference:
        repository, _, digest = reference.partition("@")
        return ["--set", f"{prefix}.repository={repository}", "--set", f"{prefix}.digest={digest}"]
    repository, _, tag = reference.rpartition(":")
    return ["--set", f"{prefix}.repository={repository}", "--set", f"{prefix}.tag={tag}"]


@dataclass
class Release:
    """The installed chart."""

    operator_image: str
    agent_image: str

    def install(self, *more: str, agent_image: str = "", wait: bool = True) -> None:
        waiting = ["--wait", "--timeout", "3m"] if wait else []
        helm(
            *("upgrade", "--install", "snoop", "charts/snoop", "-n", SYSTEM, "--create-namespace", *waiting),
            *image_values("image", self.operator_image),
            *image_values("agent.image", agent_image or self.agent_image),
            *(["--set", f"inventory.plainHTTP={{{registry()}}}"] if registry() else []),
            *more,
        )

    def operator(self) -> str:
        """Name of the operator's pod."""
        pods = get("pods", "-n", SYSTEM, "-l", "app.kubernetes.io/name=snoop")["items"]
        (name,) = [pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        return str(name)


def registry() -> str:
    """The registry of this machine's own cluster, which speaks no TLS; empty if the cluster is somebody's."""
    return os.environ.get("SNOOP_REGISTRY", "")


def _wanted(variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        pytest.fail(f"{variable} is not set: run make e2e, which builds and pushes the images")
    return value


@pytest.fixture(scope="session")
def release() -> Iterator[Release]:
    installed = Release(_wanted("SNOOP_OPERATOR_IMAGE"), _wanted("SNOOP_AGENT_IMAGE"))
    installed.install()
    yield installed
    helm("uninstall", "snoop", "-n", SYSTEM, "--wait", "--ignore-not-found")
    kubectl("delete", "namespace", SYSTEM, "--wait=false", "--ignore-not-found")


@dataclass
class Space:
    """A namespace for one test."""

    name: str
    made: list[str] = field(default_factory=list)

    def apply(self, *objects: JSON) -> None:
        for one in objects:
            self.kubectl("apply", "-f", "-", text=json.dumps(one))

    def kubectl(self, *arguments: str, **options: Any) -> str:
        return kubectl("-n", self.name, *arguments, **options)

    def get(self, *arguments: str) -> JSON:
        return get("-n", self.name, *arguments)

    def pod(self, name: str) -> JSON:
        return self.get("pod", name)

    def pods(self, selector: str) -> list[JSON]:
        items: list[JSON] = self.get("pods", "-l", selector)["items"]
        return items

    def running(self, name: str, timeout: float = 60) -> JSON:
        """Wait until the pod's containers are ready."""
        self.kubectl("wait", "--for=condition=Ready", f"pod/{name}", f"--timeout={timeout:.0f}s")
        return self.pod(name)

    def profile(self, name: str = "profile", labels: dict[str, str] | None = None, **spec: Any) -> None:
        """Apply a profile and wait until the operator has seen it."""
        self.apply(
            {
                "apiVersion": "snoop.dev/v1alpha1",
                "kind": "SnoopProfile",
                "metadata": {"name": name},
                "spec": {"selector": {"matchLabels": labels or {"app": "app"}}, "reportInterval": "5s", **spec},
            }
        )
        self.kubectl("wait", "--for=condition=Ready", f"snoopprofile/{name}", "--timeout=60s")

    def status(self, name: str = "profile") -> JSON:
        found: JSON = self.get("snoopprofile", name).get("status", {})
        return found

    def condition(self, kind: str, name: str = "profile") -> JSON:
        (found,) = [one for one in self.status(name)["conditions"] if one["type"] == kind]
        return dict(found)

    def reports(self, pod: str = "") -> list[Report]:
        """Every report that the operator's store has of this namespace, or of one pod."""
        text = kubectl(
            *("exec", "-n", SYSTEM, "deployment/snoop-operator", "--"),
            *("snoop-operator", "report", "-n", self.name, *([pod] if pod else [])),
            check=False,
        )
        found, at, decoder = [], 0, json.JSONDecoder()
        while (start := text.find("{", at)) >= 0 and "no pod of that name" not in text:
            document, at = decoder.raw_decode(text, start)
            found.append(report_from_dict(document))
        return found

    def containers(self, pod: str = "") -> list[ContainerReport]:
        return [container for report in self.reports(pod) for container in report.containers]

    def files(self, pod: str = "", container: str = "") -> set[str]:
        """Paths in use, as the store has them."""
        return {
            path for found in self.containers(pod) if not container or found.name == container for path in found.files
        }


@pytest.fixture
def space(release: Release, request: pytest.FixtureRequest) -> Iterator[Space]:
    name = f"e2e-{os.getpid()}-{next(_NUMBERS)}"
    kubectl("create", "namespace", name)
    space = Space(name)
    yield space
    failed = getattr(request.node, "failed", False)
    if failed:
        print(space.kubectl("get", "pods,snoopprofiles,events", "-o", "wide", check=False))
        print(kubectl("-n", SYSTEM, "logs", "deployment/snoop-operator", "--tail=40", check=False))
    space.kubectl("delete", "pods", "--all", "--grace-period=0", "--force", "--wait=false", check=False)
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.when == "call" and report.failed:  # type: ignore[attr-defined]
        item.failed = True  # type: ignore[attr-defined]
    return report


def shell_pod(name: str, script: str, *, labels: dict[str, str] | None = None, **spec: Any) -> JSON:
    """A pod with one container `app` that runs a script; `spec` is merged in, `container` into the container."""
    container = {
        "name": "app",
        "image": "debian:bookworm-slim",
        "command": ["/bin/sh", "-c", script],
        **spec.pop("container", {}),
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels if labels is not None else {"app": "app"}},
        "spec": {"terminationGracePeriodSeconds": 10, "containers": [container], **spec},
    }


def deployment(name: str, script: str, replicas: int = 1) -> JSON:
    pod = shell_pod(name, script)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "app"}},
            "template": {"metadata": {"labels": {"app": "app"}}, "spec": pod["spec"]},
        },
    }


def injected(pod: JSON) -> bool:
    return any(one["name"] == AGENT for one in pod["spec"].get("initContainers", []))


def agent_status(pod: JSON) -> JSON:
    (found,) = [one for one in pod["status"]["initContainerStatuses"] if one["name"] == AGENT]
    return dict(found)


def kill_agent(pod: JSON) -> None:
    """End the agent with SIGKILL, from the node, as its OOM killer would. A PID 1 cannot be killed from within."""
    container = agent_status(pod)["containerID"].partition("://")[2]
    tasks = call("tests/cluster/enter", "ctr", "-n", "k8s.io", "task", "ls")
    (pid,) = [line.split()[1] for line in tasks.splitlines() if line.startswith(container)]
    call("tests/cluster/enter", "kill", "-9", pid)


def pushed(local: str) -> str:
    """Push an image of this machine to the cluster; the reference that its pods can use."""
    return call("tests/cluster/push", local, timeout=300).strip().splitlines()[-1]


@pytest.fixture(scope="session", autouse=True)
def debian_image() -> str:
    """`debian:bookworm-slim` in the cluster's registry."""
    return pushed("debian:bookworm-slim")


@pytest.fixture(scope="session")
def nginx_image() -> str:
    """Debian's nginx, by digest."""
    call("scripts/images", "nginx", timeout=600)
    return pushed("localhost/snoop-example-nginx:latest")


@pytest.fixture(scope="session")
def python_image() -> str:
    """An image that has a Python: the operator's own."""
    return _wanted("SNOOP_OPERATOR_IMAGE")
