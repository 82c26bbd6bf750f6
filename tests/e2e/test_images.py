"""Images as Alpine and distroless make them, and `kubectl debug`: every file is reported, and nothing else."""

from typing import Any

import pytest
from tests.e2e.conftest import Space, call, eventually, injected, pushed

from snoop_report.model import ContainerReport, GapCode, Report

LOADER = "/lib/ld-musl-x86_64.so.1"
SHELL = {"/bin/sh", "/bin/busybox"}
MUSL = {
    *("/usr/bin/app", LOADER, "/usr/lib/libpart.so"),
    *("/etc/app/opened", "/etc/app/stated", "/etc/app/link", "/etc/app/probed", "/etc/app/parts"),
    *("/srv", "/srv/relative", "/tmp/made"),
}
MUSL_MISSING = {
    *("/etc/app/not-there", "/etc/app/not-there-either"),
    # The loader's search for libpart.so.
    *("/etc/ld-musl-x86_64.path", "/lib/libpart.so", "/usr/local/lib/libpart.so"),
}
STATIC = {"/app", "/etc/app/config.yaml", "/etc/app/stated", "/etc/app/link", "/etc/app/parts"}
STATIC_MISSING = {"/etc/app/not-there"}


@pytest.fixture(scope="module")
def images() -> dict[str, str]:
    """Name → reference in the cluster's registry."""
    call("tests/e2e/images/build", timeout=600)
    return {name: pushed(f"localhost/snoop-test-{name}:latest") for name in ("musl", "static")}


def pod(image: str, *command: str) -> dict[str, Any]:
    container: dict[str, Any] = {"name": "app", "image": image}
    if command:
        container["command"] = list(command)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "app", "labels": {"app": "app"}},
        "spec": {"terminationGracePeriodSeconds": 10, "containers": [container]},
    }


def known(space: Space, container: str, path: str) -> ContainerReport:
    """Wait until the container's report holds `path`."""

    def found() -> ContainerReport | None:
        return next((one for one in space.containers("app") if one.name == container and path in one.files), None)

    found_now = eventually(f"{path} in the report of {container}", found)
    assert isinstance(found_now, ContainerReport)
    return found_now


def ended(space: Space) -> Report:
    """Delete the pod, and wait for its last report."""
    space.kubectl("delete", "pod", "app", "--wait")
    known(space, "app", "/etc/app/last")
    (report,) = space.reports("app")
    return report


def test_an_alpine_like_container_is_fully_reported(space: Space, images: dict[str, str]) -> None:
    space.profile()
    space.apply(pod(images["musl"], "/bin/sh", "-c", "exec /usr/bin/app"))
    assert injected(space.running("app"))
    found = known(space, "app", "/tmp/made")
    assert set(found.files) == SHELL | MUSL
    assert set(found.missing) == MUSL_MISSING
    assert found.digest == images["musl"].partition("@")[2]
    report = ended(space)
    assert [one.name for one in report.containers] == ["app"]
    assert set(report.containers[0].files) == SHELL | MUSL | {"/etc/app/last"}
    assert report.gaps == []
    assert report.exclude == ("/dev/", "/proc/", "/sys/")


def test_a_distroless_like_container_is_fully_reported(space: Space, images: dict[str, str]) -> None:
    space.profile()
    space.apply(pod(images["static"]))
    assert injected(space.running("app"))
    found = known(space, "app", "/etc/app/parts")
    assert set(found.files) == STATIC
    assert set(found.missing) == STATIC_MISSING
    report = ended(space)
    assert set(report.containers[0].files) == STATIC | {"/etc/app/last"}
    assert report.gaps == []


@pytest.mark.parametrize("target", ["", "app"], ids=["own-pids", "shared-pids"])
def test_a_debug_container_is_one_of_its_own_by_name(space: Space, images: dict[str, str], target: str) -> None:
    """Both by itself and in the PID namespace of the container that it debugs, whose files it sees in /proc."""
    space.profile()
    space.apply(pod(images["static"]))
    space.running("app")
    known(space, "app", "/etc/app/parts")
    look = "cat /etc/app/probed; cat /proc/1/root/etc/app/unused; cat /srv/relative; while :; do sleep 1; done"
    sharing = [f"--target={target}"] if target else []
    space.kubectl(
        *("debug", "app", f"--image={images['musl']}", "-c", "debugger", "--profile=general", *sharing),
        *("--attach=false", "--", "/bin/sh", "-c", look),
    )
    found = known(space, "debugger", "/srv/relative")
    # Debian's busybox runs its own commands by /proc/self/exe. PID 1's root is the debugger's own, or another's.
    own = {"/etc/app/probed", "/srv/relative"} | (set() if target else {"/etc/app/unused"})
    assert set(found.files) == SHELL | own
    assert found.missing == []
    (app,) = [one for one in space.containers("app") if one.name == "app"]
    assert set(app.files) == STATIC
    assert found.digest == images["musl"].partition("@")[2]
    (report,) = space.reports("app")
    # The other container's file was used by a name that only /proc has, and its own image's report lacks it.
    assert {gap.code for gap in report.gaps} == ({GapCode.BLIND_SPOT} if target else set())
