import pytest

from snoop_agent.cgroups import Cgroup, created_before, identify

ID = "0123456789abcdef" * 4
OTHER = "f" * 64


@pytest.mark.parametrize(
    "path",
    [
        f"/kubepods/burstable/pod5c5a/{ID}",
        f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod5c5a.slice/cri-containerd-{ID}.scope",
        f"/kubepods.slice/kubepods-pod5c5a.slice/crio-{ID}.scope",
        f"/kubepods.slice/kubepods-pod5c5a.slice/crio-{ID}.scope/container",
        f"/kubepods/besteffort/pod5c5a/crio-{ID}",
        f"/docker/{ID}",
        f"/system.slice/docker-{ID}.scope",
        f"/machine.slice/libpod-{ID}.scope/container",
        f"/system.slice/nerdctl-{ID}.scope",
        f"/system.slice/containerd.service/kubepods-burstable-pod5c5a.slice:cri-containerd:{ID}",
        f"/docker/{OTHER}/docker/{ID}",
    ],
)
def test_the_containers_id_is_found_in_every_runtimes_path(path: str) -> None:
    assert identify(path) == Cgroup(ID, monitor=False)


@pytest.mark.parametrize("name", [f"crio-conmon-{ID}.scope", f"libpod-conmon-{ID}.scope", f"crio-conmon-{ID}"])
def test_the_runtimes_monitor_is_no_container(name: str) -> None:
    assert identify(f"/kubepods.slice/kubepods-pod5c5a.slice/{name}").monitor


@pytest.mark.parametrize(
    ("path", "name"),
    [("/lxc/web", "web"), ("/", "/"), ("/pod1/" + "a" * 63, "a" * 63), ("/pod1/" + "A" * 64, "A" * 64)],
)
def test_without_an_id_the_cgroups_own_name_serves(path: str, name: str) -> None:
    assert identify(path) == Cgroup(name, monitor=False)


def test_cgroup_ids_grow() -> None:
    assert created_before(7, 1 << 32)
    assert not created_before(8, 8)
