"""What a tracer tells the rest of the agent: the values, and the interface. No I/O, no kernel.

`tracer` fills it from a ring buffer; tests fill it from a script. `recorder` and `sidecar` know nothing else of
tracing.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from snoop_report.model import Gap


class Event(NamedTuple):
    """The first touch of a (container, object, kind), decoded from struct snoop_record (bpf/snoop.h)."""

    container: int
    """Cgroup ID."""
    kinds: int
    """Bits of `wire`: READ, WRITE …"""
    error: int
    """0, or the negative errno."""
    flags: int
    """Bits of `wire`: RESOLVED, VOLUME …"""
    time_ns: int
    """CLOCK_BOOTTIME."""
    dev: int
    ino: int
    mount: int
    mode: int
    tgid: int
    """In the initial PID namespace."""
    asked: bytes
    """The name as the process wrote it."""
    base: bytes
    """Where `asked` starts, as an absolute path: the root directory of the process if `asked` is absolute, else its
    working directory or the descriptor's. Empty: unknown."""
    target: bytes
    """What it resolved to, as an absolute path. Empty where only the name was seen."""
    executable: bytes
    """The program, as an absolute path."""
    below: int = -1
    """How many names `base` lies below the process's root directory. -1: it is that one, or unknown."""


class NewContainer(NamedTuple):
    """A container's cgroup was seen for the first time. Not ordered with that container's events."""

    container: int
    """Cgroup ID."""
    cgroup_path: bytes
    """Absolute, from the hierarchy's root."""
    time_ns: int
    """CLOCK_BOOTTIME."""


class Counters(NamedTuple):
    """Of one container, summed over the CPUs. They only grow."""

    events: int
    """Operations seen, repeats included."""
    records: int
    """Left the kernel."""
    lost: int
    """Found no room in the ring."""
    runtime: int
    """The container runtime's own, before the container's first exec."""


class Tracer(Protocol):
    """A pod being traced."""

    @property
    def hooks(self) -> str:
        """Hook set: `syscalls` or `vfs`."""

    @property
    def attach(self) -> str:
        """Way of attaching: `tracepoint`, `raw_tp`, `tp_btf` or `fexit`."""

    @property
    def shared(self) -> bool:
        """Whether the programs are the node's, for all its agents."""

    @property
    def skipped(self) -> int:
        """Runs of the programs that the kernel skipped (`recursion_misses`), as of the last `gaps`."""

    def poll(self, timeout_s: float) -> list[Event | NewContainer]:
        """Wait up to `timeout_s` seconds for records and return what there is, at most some thousands at once.

        Empty: the time is over, or a signal came (EINTR): return, so that SIGTERM is not kept waiting. With 0 it
        never waits.
        """

    def counters(self) -> Mapping[int, Counters]:
        """Counters by cgroup ID."""

    def gaps(self) -> list[Gap]:
        """Tell what this way of tracing is known to have missed. `Gap.container`, if set, is a cgroup ID in decimal."""

    def alive(self) -> set[int]:
        """Cgroup IDs of the pod's containers that hold processes, without the agent's own and the sandbox."""

    def sweep(self) -> None:
        """Let what their processes hold come as records of kind HELD. What was used before and let go stays unseen."""

    def close(self) -> None:
        """Detach and free everything."""
