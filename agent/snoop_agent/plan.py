"""What to compile, as a value. No I/O."""

from dataclasses import dataclass

from snoop_agent import wire

CONTAINERS = 128
"""Of one agent, counted apart: what comes beyond is counted together, and what is lost of it is the pod's gap."""
ATTACH_TRACEPOINT, ATTACH_RAW, ATTACH_VFS = "tracepoint", "raw_tp", "fexit"
READ_BY_CALLS, READ_BY_TYPES, READ_BY_CASTS = READINGS = ("calls", "types", "casts")
"""How programs read kernel memory: all of it by a helper's calls; what the current task leads to by typed pointers
(5.15 on); or everything by plain loads, after bpf_rdonly_cast (6.2 on)."""
_FRONT = 4096
"""256 KiB: 30,000 objects; what is looked up in more costs twice as much (docs/performance.md)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to compile."""

    attach: str
    """`tracepoint`, `raw_tp` or `fexit`."""
    ring_pages: int = 1024
    """Of 4 KiB; a power of two."""
    seen_entries: int = 262144
    """Objects remembered as seen, a power of two; beyond, one is forgotten for another, and may be reported again."""
    targets: int = 64
    """Cgroups traced at once, at most."""
    walk_max: int = 512
    """Path components and mounts on the way up in one program; a walk takes up to four. Fewer are verified sooner."""
    strict: bool = False
    """Rather fail than lack a hook."""
    maps: bool = False
    """Listen to the optional calls (mmap) too."""

    @property
    def back(self) -> int:
        """How many cache lines of objects that is: a power of two."""
        return max(1, self.seen_entries // wire.BUCKET)

    @property
    def front(self) -> int:
        """How many more come first, close together: a power of two."""
        return min(self.back, _FRONT)

    @property
    def buckets(self) -> int:
        """How many that are."""
        return self.front + self.back
