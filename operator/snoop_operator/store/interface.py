"""What a store of evidence does, and the values that it takes and gives. No I/O here.

Evidence belongs to the pod and its containers; profiles are views of it. All times are seconds since the Unix epoch.
Every method raises `StoreError` if the store cannot do it; then nothing of it was done.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from snoop_operator.profile import Profile, Selector
from snoop_operator.workload import PodState
from snoop_report.model import AgentInfo, Delta, Gap, Identity, Report

RETENTION = 7 * 86400.0
"""Seconds that the evidence of ended pods outlives the last profile that selected them."""
FINAL_GRACE = 30.0
"""Seconds after a pod's end within which its agent's last report may still arrive."""
UNSEEN_GRACE = 30.0
"""Seconds after a container's start within which its agent's first word of it may still arrive."""
UNLABELLED_GRACE = 15.0
"""Seconds after a pod's first report within which the cluster's watch usually shows the pod."""


class StoreError(Exception):
    """The store cannot do what was asked; the message is one sentence for the operator's log."""


class StoreInUseError(StoreError):
    """Another process has the store open."""


class StoreTooNewError(StoreError):
    """The store was written by a newer version of this program."""


@dataclass(frozen=True, slots=True)
class PodKey:
    """Who posts: always from the token, never from the body."""

    namespace: str
    name: str
    uid: str
    node: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a delta that is now safe on disk."""

    resend: bool
    """The store lacks something that came before this delta: the agent should send everything."""
    identities: Mapping[str, Identity]
    """Container ID → everything that is known of the pod's containers, also those that its status forgot."""
    files: Mapping[str, int]
    """Container ID → distinct used files, of the containers that the delta names."""
    revision: int = 0
    """The store's, after this delta."""


@dataclass(frozen=True, slots=True)
class ContainerEvidence:
    """One container, counted. `name`, `image` and `digest` are empty while unresolved."""

    id: str
    name: str
    image: str
    digest: str
    files: int
    """Distinct paths in use (`ContainerReport.files`)."""
    events: int
    """Summed over the agent's runs."""
    dropped: int
    started_at: float
    last_seen_at: float
    """When it last appeared in a report; 0: never, the cluster alone tells of it."""
    pods: int = 1
    """How many pods' containers it stands for."""
    version: int = 0
    """Goes up with every new observation of it."""


@dataclass(frozen=True, slots=True)
class PodEvidence:
    """One pod that was injected or has reported, alive or not."""

    uid: str
    namespace: str
    name: str
    node: str
    labels: Mapping[str, str]
    """As at first sight."""
    owner: str
    first_report_at: float
    """0: no report yet."""
    last_report_at: float
    final: bool
    """The newest run of its agent has sent its last report."""
    ended_at: float
    """0: not known to be gone."""
    agent: AgentInfo
    containers: tuple[ContainerEvidence, ...]
    gaps: tuple[Gap, ...]
    """The agent's own and the store's: unresolved containers, a missing final report, evidence that was lost."""
    pods: int = 1
    """How many ended pods it stands for."""


@dataclass(frozen=True, slots=True)
class Unprofiled:
    """A container that ran in pods that a profile selects and that have no agent: one value for all pods alike."""

    name: str
    """Empty, as image and digest: stands for further ones that found no room."""
    image: str
    digest: str
    """Empty: not known."""
    created_at: float
    """When the latest of those pods was made."""
    seen_at: float
    """When it was last seen."""
    reason: str


@dataclass(frozen=True, slots=True)
class ImageEvidence:
    """The union of what the containers of one image used, over all pods of a profile."""

    image: str
    """As the newest of its containers names it."""
    digest: str
    """Empty: not known; then `image` tells images apart."""
    files: int
    first_seen_at: float
    last_new_file_at: float


@dataclass(frozen=True, slots=True)
class ProfileEvidence:
    """What a profile's pods have shown so far, of the containers that the profile wants."""

    store_id: str
    pods: tuple[PodEvidence, ...] = ()
    images: tuple[ImageEvidence, ...] = ()
    """Newest first."""
    files: int = 0
    """Distinct paths over all images."""
    last_new_file_at: float = 0.0
    lost: Gap | None = None
    """`EVIDENCE_LOST` if an earlier store held evidence of this profile."""
    gaps: tuple[Gap, ...] = ()
    """Further ones that are no single pod's."""
    unprofiled: tuple[Unprofiled, ...] = ()


@dataclass(frozen=True, slots=True)
class Pruned:
    """What `prune` removed."""

    pods: int = 0
    paths: int = 0
    folded: int = 0
    """Pods that became part of one that stands for many."""


class Store(Protocol):
    """Evidence of pods. Methods never block the event loop."""

    @property
    def id(self) -> str:
        """Random, made with the store: a change means that what an earlier store held is lost."""

    @property
    def fresh(self) -> bool:
        """Whether this process created the store."""

    async def accept(self, pod: PodKey, delta: Delta, identities: Mapping[str, Identity], now: float) -> Accepted:
        """Add a delta, durably: when this returns, kill -9 and power loss take nothing away.

        (pod UID, boot, sequence) identifies a delta: a replay changes nothing. Unions commute. `identities` is what is
        known of the pod's containers now; it is remembered.
        """

    async def note_pods(self, pods: Iterable[PodState]) -> None:
        """Remember what the cluster says of injected pods: labels (as at first sight), owner, node, container IDs.

        Call it on every pod event: what is unchanged costs nothing. Pods without a sidecar are passed over.
        """

    async def open_pods(self) -> frozenset[str]:
        """UIDs of pods that are not known to have ended: those that the cluster no longer has need `mark_ended`."""

    async def mark_ended(self, pod_uid: str, when: float) -> None:
        """Note that a pod is gone. Unknown pods are passed over; of several times the first counts.

        Without a final report `FINAL_GRACE` seconds later the pod gets the gap `FINAL_REPORT_MISSING`.
        """

    async def note_loss(self, namespace: str, profile: str, previous_store: str, now: float) -> None:
        """Remember that `profile` had evidence in another store. The first time counts."""

    async def note_unprofiled(self, namespace: str, profile: str, uses: Sequence[Unprofiled]) -> None:
        """Remember what ran without an agent in pods that a profile selects, for `RETENTION` after it was last seen."""

    async def evidence(self, profile: Profile, now: float, pod_uids: Collection[str] = ()) -> ProfileEvidence:
        """Sum up the profile's pods: those that its selector matches by their first labels, and `pod_uids`."""

    async def has_inventory(self, digest: str) -> bool:
        """Whether what an image holds is known."""

    async def keep_inventory(self, digest: str, content: bytes, now: float) -> None:
        """Keep what an image holds, as `snoop_image.codec` writes it, while evidence names it. StoreError: no room."""

    async def drop_inventory(self, digest: str) -> None:
        """Forget what an image holds: it cannot be read any more."""

    async def pods(self, namespace: str, selector: Selector, now: float) -> Sequence[PodEvidence]:
        """List the pods that a selector matches, without their observations; `report` has those."""

    async def report(self, pod_uid: str, now: float) -> Report | None:
        """Give a pod's whole evidence, or None if the pod is unknown."""

    async def prune(self, profiles: Sequence[Profile], now: float, retention: float = RETENTION) -> Pruned:
        """Forget ended pods that no profile has selected for `retention` seconds of our watching; fold others.

        What ended longer ago than that and is selected becomes one with its like: files, gaps and counts stay.
        `profiles` must be all profiles of the cluster: never call it before the first listing is complete.
        """

    async def check(self) -> None:
        """StoreError unless the store can be written now (for /readyz)."""

    async def close(self) -> None:
        """Finish what is under way and let go of the file."""
