"""What a report holds: observations of paths, per container, with the gaps in the evidence.

All times are seconds since the Unix epoch. All paths are in memory form (see `paths`), absolute, as the container's
root file system names them.
"""

from dataclasses import dataclass, field
from enum import StrEnum

SCHEMA_VERSION = 1


class Kind(StrEnum):
    """How a path was touched. One observation may carry several."""

    READ = "read"
    WRITE = "write"
    CREATE = "create"
    EXECUTE = "execute"
    MAP = "map"
    STAT = "stat"
    READLINK = "readlink"
    LIST = "list"
    CHDIR = "chdir"
    MODIFY = "modify"
    OPEN = "open"
    """Opened for its name alone (O_PATH)."""
    HELD = "held"
    """Found open, mapped or as a directory of a process when recording began."""


class Outcome(StrEnum):
    """What the kernel answered."""

    EXISTS = "exists"
    MISSING = "missing"
    DENIED = "denied"
    FAILED = "failed"
    """Any other error: the path may or may not exist (EMFILE, EINTR, ELOOP …)."""


class GapCode(StrEnum):
    """Why evidence may be incomplete. The one list, from the kernel to the status condition `Complete`."""

    NOT_TRACING = "not_tracing"
    """The agent runs but cannot trace (no BTF, no capability, compile failed)."""
    LATE_START = "late_start"
    """Containers ran before the hooks were attached."""
    AGENT_RESTARTED = "agent_restarted"
    """The agent came back after its pod's containers had started, or could not tell whether it did."""
    LATE_END = "late_end"
    """The pod's containers outlived the agent's last look."""
    UNSEEN_CONTAINER = "unseen_container"
    """The cluster says that a container ran, and its pod's agent has told nothing of it."""
    UNPROFILED_USE = "unprofiled_use"
    """Pods that the profile selects ran the same image without an agent, and no pod like them was recorded since."""
    RECORDS_LOST = "records_lost"
    """A record found no room in the ring buffer and its object was not touched again."""
    CAP_REACHED = "cap_reached"
    """maxUniqueFiles was reached; later paths were counted, not kept."""
    PATH_TRUNCATED = "path_truncated"
    """A path was longer or deeper than the kernel side can carry."""
    PATH_UNREADABLE = "path_unreadable"
    """The name asked for could not be read back from the process's memory."""
    BLIND_SPOT = "blind_spot"
    """A way to use files was seen that the loaded hook set cannot follow."""
    UNRESOLVED_CONTAINER = "unresolved_container"
    """A container's name or image digest could not be learned."""
    UNRESOLVED_POD = "unresolved_pod"
    """A pod has reported whose labels could not be learned: nobody knows which profiles its evidence belongs to."""
    FINAL_REPORT_MISSING = "final_report_missing"
    """The pod ended without its agent's last report."""
    EVIDENCE_LOST = "evidence_lost"
    """The operator's store was replaced, or restored from a backup, while this evidence was only there."""


@dataclass(frozen=True, slots=True)
class Gap:
    """One reason why a report may not hold everything. `container` is empty when the whole pod is meant."""

    code: GapCode
    message: str
    since: float
    count: int = 1
    container: str = ""
    """Container ID."""


@dataclass(slots=True)
class Observation:
    """One path that was asked for, and what became of it."""

    path: str
    """The name asked for: absolute and lexically normal, but for a `..` after a name that may be a link."""
    target: str
    """What it resolved to; empty where the hook saw only the name."""
    outcome: Outcome
    kinds: frozenset[Kind]
    first_seen: float
    last_seen: float
    executable: str = ""
    """The program that first touched it."""
    volume: bool = False
    """The object lies on a mount other than the container's root file system."""
    collapsed: bool = False
    """Stands for what was deleted or lies outside of the container's tree; `target` is not a path of the image."""

    @property
    def key(self) -> tuple[str, str, Outcome]:
        """What makes two observations one."""
        return (self.path, self.target, self.outcome)


@dataclass(slots=True)
class ContainerReport:
    """What one container touched. `id` is the runtime's container ID, or the cgroup's name where there is none."""

    id: str
    cgroup_id: int
    cgroup_path: str
    name: str = ""
    image: str = ""
    digest: str = ""
    total_events: int = 0
    dropped_events: int = 0
    started_at: float = 0.0
    observations: dict[tuple[str, str, Outcome], Observation] = field(default_factory=dict)

    @property
    def files(self) -> list[str]:
        """Sorted union of asked and resolved paths of operations that succeeded."""
        found: set[str] = set()
        for seen in self.observations.values():
            if seen.outcome is Outcome.EXISTS:
                if seen.path:
                    found.add(seen.path)
                if seen.target and not seen.collapsed:
                    found.add(seen.target)
        return sorted(found)

    @property
    def missing(self) -> list[str]:
        """Sorted paths that were asked for and were not there."""
        return sorted({seen.path for seen in self.observations.values() if seen.outcome is Outcome.MISSING})


@dataclass(slots=True)
class AgentInfo:
    """Who recorded, and how it was attached."""

    version: str = ""
    kernel: str = ""
    hooks: str = ""
    """Hook set: `syscalls` or `vfs`; empty while not tracing."""
    attach: str = ""
    """Way of attaching: `tracepoint`, `raw_tp`, `tp_btf` or `fexit`."""


@dataclass(slots=True)
class Report:
    """A pod's evidence, or one command's."""

    pod_name: str = ""
    namespace: str = ""
    pod_uid: str = ""
    node: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    started_at: float = 0.0
    last_updated_at: float = 0.0
    containers: list[ContainerReport] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    exclude: tuple[str, ...] = ()
    """Path prefixes that were not recorded: of what begins so, nothing is known."""
    max_unique_files: int = 0
    """Paths kept per container at most; 0: unbounded."""
    agent: AgentInfo = field(default_factory=AgentInfo)
    schema_version: int = SCHEMA_VERSION

    @property
    def total_events(self) -> int:
        """Every operation of every container that was seen, repeats included."""
        return sum(container.total_events for container in self.containers)

    @property
    def dropped_events(self) -> int:
        """Records for which the kernel found no room."""
        return sum(container.dropped_events for container in self.containers)

    @property
    def complete(self) -> bool:
        """Whether nothing is known to be missing."""
        return not self.gaps


@dataclass(slots=True)
class Delta:
    """What an agent posts: the observations that are new since its last acknowledged post.

    Counters and gaps are absolute, so replays and retries change nothing. (pod UID, `boot`, `sequence`) identifies a
    delta; the pod's UID comes from the token, never from the body.
    """

    boot: str
    """Names this run of the agent."""
    sequence: int
    """1, 2, 3 … within `boot`."""
    report: Report
    full: bool = False
    """One part of everything known, not only what is new."""
    final: bool = False
    """The agent is ending; nothing will follow under this `boot`."""
    full_since: int = 0
    """If `full`: the sequence of the first part. Everything is there once all from that one on are, to the last."""
    more: bool = False
    """If `full`: further parts follow."""
    store: str = ""
    """ID of the store that the agent last had an acknowledgement from."""
    revision: int = 0
    """Highest revision of that store that was acknowledged: a store that is behind it was restored from a backup."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What an agent cannot know of its container."""

    name: str
    image: str
    digest: str


@dataclass(slots=True)
class Acknowledgement:
    """What the operator answers to a delta."""

    sequence: int
    store: str
    """The store's ID; a change means that the operator has lost what it knew."""
    resend: bool = False
    """Please send everything again (`full`)."""
    containers: dict[str, Identity] = field(default_factory=dict)
    """By container ID."""
    ca_bundle: str = ""
    """PEM certificates to trust from now on; empty: no change."""
    revision: int = 0
    """The store's: it grows with each delta taken."""
