"""What is to be traced: a pod's cgroup, found from where this process lives, or a command's own."""

from dataclasses import dataclass

from snoop_agent import kernel


@dataclass(frozen=True, slots=True)
class Place:
    """One cgroup on the way from a process's own to the hierarchy's root."""

    identifier: int
    name: str


@dataclass(frozen=True, slots=True)
class Subject:
    """What to trace."""

    cgroup: int
    """ID of the cgroup: a pod's, or a command's own."""
    level: int
    """Its depth below the hierarchy's root."""
    own: int = 0
    """ID of the agent's own container, never recorded."""
    whole: bool = False
    """The cgroup is one container, not a pod of them."""
    waiting: bool = False
    """Nothing counts before the first exec in it."""
    keep_root: bool = False
    """The root directory at the first exec is where paths end."""
    runtime: int = 0
    """Mount namespace (a kernel address) of the container runtime, whose doings do not count. 0: unknown."""
    runtime_root: int = 0
    """And its root directory."""


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where this process lives, in one cgroup hierarchy."""

    hierarchy: int
    """0: cgroup v2; N + 1: that of v1's controller N."""
    places: list[Place]
    """From its own cgroup to the root."""
    runtime: int
    """Mount namespace of whoever started its container. 0: nobody above it lives in another one."""
    runtime_root: int = 0
    """And their root directory."""
    root: int = 0
    """The hierarchy itself (a kernel address)."""


def pod_subject(here: Whereabouts, pod_uid: str) -> Subject:
    """Find the pod's cgroup above this process: the one that carries its UID, else the container's parent.

    Drivers write the UID as `pod<uid>` (cgroupfs) or `kubepods-…-pod<uid with _>.slice` (systemd).
    """
    places, depth = here.places, len(here.places) - 1
    marks = {f"pod{pod_uid}", f"pod{pod_uid.replace('-', '_')}"} if pod_uid else set()
    found = next((at for at, place in enumerate(places) if any(mark in place.name for mark in marks)), 1)
    if depth < 2 or found == 0:
        raise kernel.KernelError("this container's cgroup has no pod above it: is the agent running in a pod?")
    return Subject(
        cgroup=places[found].identifier,
        level=depth - found,
        own=places[found - 1].identifier,
        runtime=here.runtime,
        runtime_root=here.runtime_root,
    )
