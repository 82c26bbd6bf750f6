"""Pods in which the agent's image is a container as any other, recorded by an agent beside it.

    slim_agent.py NAMESPACE IMAGE

For `scripts/slim-agent`. Applies a profile; runs the agent in all its ways: attached in each way, alone and sharing,
started again, without rights, without an operator; asks of it what a kubelet and people ask; ends the pods. What the
image used is then the evidence of the profile `agent`. Containers of IMAGE give the agents something to see.
"""

import copy
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from snoop_operator.names import AUDIENCE

JSON = dict[str, Any]
LABEL = "snoop-agent-itself"
PINS = "/sys/fs/bpf/snoop"
METRICS_PORT = 9100
NOWHERE = "192.0.2.1"
"""TEST-NET-1 (RFC 5737): nobody answers there."""
LOAD = "trap 'exit 0' TERM; while :; do cat /etc/hostname; ls -l /usr/bin >/dev/null; sleep 1 & wait $!; done"


class Namespace:
    """Where the pods are."""

    def __init__(self, name: str) -> None:
        self.name = name

    def kubectl(self, *arguments: str, text: str | None = None, check: bool = True) -> str:
        """Run kubectl; SystemExit with what it said if it fails."""
        command = ["kubectl", "--namespace", self.name, *arguments]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=180)
        if check and done.returncode:
            raise SystemExit(f"slim-agent: {' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def apply(self, *objects: JSON) -> None:
        """Apply objects."""
        for one in objects:
            self.kubectl("apply", "--filename", "-", text=json.dumps(one))

    def get(self, *arguments: str) -> JSON:
        """Get an object."""
        found: JSON = json.loads(self.kubectl("get", *arguments, "--output", "json"))
        return found


def wait(what: str, probe: Callable[[], object], seconds: float = 90.0) -> None:
    """Wait until `probe` is true; SystemExit if it never is."""
    until = time.monotonic() + seconds
    while not probe():
        if time.monotonic() > until:
            raise SystemExit(f"slim-agent: after {seconds:.0f} s still not: {what}")
        time.sleep(0.5)


def profile(name: str, label: str) -> JSON:
    """Shape a profile of the pods with a label."""
    return {
        "apiVersion": "snoop.dev/v1alpha1",
        "kind": "SnoopProfile",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": label}}, "reportInterval": "5s"},
    }


def load(image: str) -> JSON:
    """Shape a container that uses files."""
    return {"name": "load", "image": image, "command": ["/bin/sh", "-c", LOAD]}


def pod(name: str, label: str, *containers: JSON, volumes: list[JSON] | None = None) -> JSON:
    """Shape a pod."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": label}},
        "spec": {"terminationGracePeriodSeconds": 20, "containers": list(containers), "volumes": volumes or []},
    }


def renamed(sidecar: JSON, volumes: list[JSON]) -> tuple[JSON, list[JSON]]:
    """Make an ordinary container of the sidecar, with volumes of its own.

    Its token is another pod's: the operator takes a report for the pod whose token it comes with, and of these pods it
    is to hear from their own agents alone.
    """
    container = {key: value for key, value in copy.deepcopy(sidecar).items() if key not in ("restartPolicy", "ports")}
    container["name"] = "agent"
    container["resources"] = {"limits": {"memory": "256Mi"}}
    wanted = {mount["name"] for mount in container["volumeMounts"]}
    own = [{**one, "name": f"own-{one['name']}"} for one in copy.deepcopy(volumes) if one["name"] in wanted]
    own = [{"name": one["name"], "secret": {"secretName": "token"}} if "projected" in one else one for one in own]
    known = {one["name"] for one in own}
    for mount in container["volumeMounts"]:
        mount["name"] = f"own-{mount['name']}"
    container["volumeMounts"] = [mount for mount in container["volumeMounts"] if mount["name"] in known]
    return container, own


def told(container: JSON, **variables: str) -> JSON:
    """Give the container other variables."""
    changed = copy.deepcopy(container)
    changed["env"] = [one for one in changed["env"] if one["name"] not in variables]
    changed["env"] += [{"name": name, "value": value} for name, value in variables.items()]
    return changed


def scenarios(container: JSON, volumes: list[JSON], image: str) -> list[JSON]:
    """Shape one pod for each way in which the agent is used."""
    bpffs = {"name": "own-bpffs", "hostPath": {"path": "/sys/fs/bpf", "type": ""}}
    sharing = told(container, SNOOP_PINS=PINS)
    sharing["volumeMounts"].append({"name": "own-bpffs", "mountPath": "/sys/fs/bpf"})
    powerless = copy.deepcopy(container)
    powerless["securityContext"]["capabilities"].pop("add")
    measured = told(container, SNOOP_METRICS_ADDR=f":{METRICS_PORT}", SNOOP_LOG_LEVEL="debug")
    wrong = told(container, SNOOP_CA_BUNDLE="no certificate")
    ways: dict[str, JSON] = {
        "auto": measured,
        "fexit": told(container, SNOOP_ATTACH="fexit"),
        "tracepoint": told(container, SNOOP_ATTACH="tracepoint"),
        "raw-tp": told(container, SNOOP_ATTACH="raw_tp"),
        "shared": sharing,
        "shared-next": told(sharing, SNOOP_ATTACH="tracepoint"),
        "powerless": powerless,
        "nobody-answers": told(container, SNOOP_OPERATOR_ADDRESS=NOWHERE),
        "not-trusted": wrong,
    }
    return [
        pod(name, LABEL, one, load(image), volumes=[*volumes, *([bpffs] if name.startswith("shared") else [])])
        for name, one in ways.items()
    ]


def ask(space: Namespace, name: str) -> None:
    """Do what a kubelet and people do with a running agent."""
    for command in (
        ["snoop-agent", "--version"],
        ["snoop-agent", "--help"],
        ["snoop-agent", "check"],
        ["snoop-agent", "-no-such-flag"],
        ["cat", "/data/snoop-report.json"],
        ["ls", "-l", "/data"],
        ["sh", "-c", "echo it has a shell"],
    ):
        space.kubectl("exec", name, "--container", "agent", "--", *command, check=False)


def scrape(space: Namespace, name: str) -> None:
    """Read what Prometheus reads."""
    address = space.get("pod", name)["status"]["podIP"]
    for path in ("metrics", "healthz", "readyz", "nothing"):
        try:
            with urllib.request.urlopen(f"http://{address}:{METRICS_PORT}/{path}", timeout=5) as answer:
                answer.read()
        except urllib.error.HTTPError as error:
            error.close()


def restarts(space: Namespace, name: str) -> int:
    """Count how often the agent of a pod was started again."""
    (found,) = [one for one in space.get("pod", name)["status"]["containerStatuses"] if one["name"] == "agent"]
    return int(found["restartCount"])


def lent_token(space: Namespace, pod_name: str) -> JSON:
    """Make a Secret of a token that is bound to a pod."""
    bound = ("--bound-object-kind", "Pod", "--bound-object-name", pod_name, "--audience", AUDIENCE)
    token = space.kubectl("create", "token", "default", *bound, "--duration", "1h").strip()
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token"}, "stringData": {"token": token}}


def ready(space: Namespace, names: list[str]) -> None:
    """Wait until pods run; a container that cannot work is ready all the same, later."""
    space.kubectl("wait", "--for=condition=Ready", *(f"pod/{name}" for name in names), "--timeout=180s")


def main() -> None:
    """Run all of it."""
    (_, namespace, image) = sys.argv
    space = Namespace(namespace)
    space.apply(profile("template", "template"), profile("agent", LABEL))
    space.kubectl("wait", "--for=condition=Ready", "snoopprofile/template", "snoopprofile/agent", "--timeout=60s")
    # What the operator injects is what is wanted: one pod shows it.
    space.apply(pod("template", "template", load(image)))
    ready(space, ["template"])
    space.apply(lent_token(space, "template"))
    injected = space.get("pod", "template")["spec"]
    container, volumes = renamed(injected["initContainers"][0], injected["volumes"])
    pods = {one["metadata"]["name"]: one for one in scenarios(container, volumes, image)}
    for some in ([name for name in pods if name != "shared-next"], ["shared-next"]):
        space.apply(*(pods[name] for name in some))
        ready(space, [name for name in some if name != "powerless"])
    time.sleep(15)
    for name in pods:
        ask(space, name)
    scrape(space, "auto")
    for name in ("auto", "shared"):
        space.kubectl("exec", name, "--container", "agent", "--", "sh", "-c", "kill 1")
        wait(f"{name}: the agent starts again", lambda name=name: restarts(space, name) > 0)  # type: ignore[misc]
    ready(space, ["auto", "shared"])
    time.sleep(15)
    space.kubectl("delete", "pod", *pods, "template")


if __name__ == "__main__":
    main()
