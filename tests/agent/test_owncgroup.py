"""Where a command's own cgroup is made, by what this process's files in /proc say."""

import os
from pathlib import Path

import pytest

from snoop_agent import kernel, owncgroup
from snoop_agent.owncgroup import OwnCgroup, Parent

_V1 = "\n".join(
    (
        "5:cpu,cpuacct:/pod/app",
        "4:cpuset:/pod/app",
        "3:pids:/pod/app",
        "2:freezer:/",
        "1:name=systemd:/pod/app",
    )
)
_V1_MOUNTS = "\n".join(
    (
        "31 23 0:28 / /sys/fs/cgroup ro,relatime - tmpfs tmpfs ro,mode=755",
        "32 31 0:29 / /sys/fs/cgroup/cpuset rw,relatime shared:9 - cgroup cpuset rw,cpuset",
        "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct",
        "34 31 0:31 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd",
        "35 31 0:32 /pod /sys/fs/cgroup/pids rw - cgroup pids rw,pids",
    )
)
_V2_MOUNT = "\n41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw"


def test_version_2_is_preferred_where_it_is_mounted() -> None:
    found = owncgroup.parents(f"{_V1}\n0::/user", _V1_MOUNTS + _V2_MOUNT)
    assert found[0] == Parent("", "/sys/fs/cgroup/unified//user", "/user")


def test_in_pure_version_1_a_controller_is_taken_that_does_nothing_to_its_processes() -> None:
    found = owncgroup.parents(_V1, _V1_MOUNTS)
    assert found[0] == Parent("pids", "/sys/fs/cgroup/pids//app", "/pod/app")
    assert [one.controller for one in found] == ["pids", "cpuacct", "cpu"]


def test_a_hierarchy_that_is_mounted_from_elsewhere_is_no_place() -> None:
    mounts = _V1_MOUNTS.replace(" /pod /sys", " /other /sys")
    assert "pids" not in [one.controller for one in owncgroup.parents(_V1, mounts)]


def test_without_any_mount_there_is_no_place() -> None:
    assert owncgroup.parents("0::/", "31 23 0:28 / / rw - ext4 /dev/vda rw") == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: makes cgroups")
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_it_is_made_joined_and_removed(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    everything = owncgroup.parents(Path("/proc/self/cgroup").read_text(), Path("/proc/self/mountinfo").read_text())
    chosen = [one for one in everything if bool(one.controller) == (version == "v1")]
    if not chosen:
        pytest.skip(f"no cgroup {version} is mounted here")
    monkeypatch.setattr(owncgroup, "parents", lambda *_: chosen)
    mine = OwnCgroup("snoop-test", "-own")
    try:
        child = os.fork()
        if child == 0:
            mine.join()
            os._exit(0 if os.getpid() in mine.members() else 1)
        assert os.waitpid(child, 0)[1] == 0
        place = Path(chosen[0].directory) / mine.name
        assert place.stat().st_ino == mine.identifier
    finally:
        mine.remove()
    assert not place.exists()
    if kernel.BTF_PATH.exists():
        numbers = kernel.Btf.of_running_kernel().enumeration("cgroup_subsys_id")
        assert mine.hierarchy == (numbers[f"{mine.controller}_cgrp_id"] + 1 if mine.controller else 0)
