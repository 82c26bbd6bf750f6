"""Which container a cgroup is: its runtime's ID, from the cgroup's path. Pure.

Runtimes name a container's cgroup after its ID: `<id>` (cgroupfs driver, containerd, Docker, CRI-O), or
`<prefix>-<id>.scope` (systemd driver: cri-containerd-, crio-, docker-, libpod-, nerdctl-). CRI-O with crun and Podman
may put the processes one level below (`crio-<id>.scope/container`). A containerd that was given systemd's form with the
cgroupfs driver leaves `<slice>:cri-containerd:<id>`.

The pod's sandbox (pause) is a sibling of the same form; no name tells it apart. It need not be: a sandbox is started
before any container of its pod, so it has run and fallen asleep before the agent exists, and touches nothing after.
Cgroup IDs grow in the order of creation (kernfs, fs/kernfs/dir.c: an ever-growing counter), so `created_before` can
tell who was there before the agent: what still leaves records then is no sandbox but a container that we attached to
late.
"""

import re
from typing import NamedTuple

_CONTAINER = re.compile(r"(?:.*[:-])?(?P<id>[0-9a-f]{64})(?:\.scope)?")
_MONITOR = re.compile(r"(?:crio|libpod)-conmon-[0-9a-f]{64}(?:\.scope)?")


class Cgroup(NamedTuple):
    """What a cgroup's path says."""

    container: str
    """Container ID; the cgroup's own name where no ID is in the path."""
    monitor: bool
    """Holds the runtime's monitor (conmon), a process of the machine and of no container."""


def identify(path: str) -> Cgroup:
    """Read a container's cgroup path (absolute, from the hierarchy's root).

    >>> identify("/kubepods/pod7/" + "a" * 64).container == "a" * 64
    True
    >>> identify("/lxc/web")
    Cgroup(container='web', monitor=False)
    """
    names = [name for name in path.split("/") if name]
    if any(_MONITOR.fullmatch(name) for name in names):
        return Cgroup(names[-1], monitor=True)
    for name in reversed(names):
        found = _CONTAINER.fullmatch(name)
        if found:
            return Cgroup(found["id"], monitor=False)
    return Cgroup(names[-1] if names else "/", monitor=False)


def created_before(cgroup: int, other: int) -> bool:
    """Whether `cgroup` is older than `other`, both cgroup v2 IDs of one boot of the machine."""
    return cgroup < other
