"""What the cluster looks like, in memory: fed by watches and lists, read by webhook, ingest and reconciliation.

Pure and synchronous; no I/O. Pods are kept, trimmed, only where a profile could select them and where they carry the
sidecar: the rest of a large cluster costs nothing. `Kind` says what is watched.

Feeding is idempotent and needs no order: an object's older version never overwrites a newer one, and what was deleted
does not come back (watches and lists overlap).
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from snoop_operator.podstate import pod_state
from snoop_operator.profile import InvalidProfileError, Profile, parse
from snoop_operator.workload import PodState, Refusal
from snoop_report.model import Identity

JSON = Mapping[str, Any]
Judge = Callable[[JSON], "Refusal | None"]
"""Why a pod that exists is not injected, given its raw object; None if no profile that is active selects it."""

_GRAVES = 4096
"""UIDs of deleted objects that are remembered, so that a list that is older than the deletion does no harm."""

_MOMENTARY = frozenset({"agent_unproven", "agent_stuck", "pod_rejected"})
_IMAGES = 16
"""Agent images whose proof is remembered: a rollout of the operator knows two."""


class Kind(StrEnum):
    """What is mirrored, by its plural."""

    PROFILES = "snoopprofiles"
    NAMESPACES = "namespaces"
    PODS = "pods"
    LIMIT_RANGES = "limitranges"
    RESOURCE_QUOTAS = "resourcequotas"


@dataclass(frozen=True, slots=True)
class NamespaceState:
    """What admission asks of a namespace."""

    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProfileState:
    """A profile with what it says of itself."""

    body: JSON
    """Metadata and status only; the spec is in `profile`."""
    profile: Profile | None
    error: str = ""
    """Why it cannot be read, if it cannot."""

    @property
    def status(self) -> JSON:
        """Its status as the API server has it."""
        return self.body.get("status") or {}

    @property
    def generation(self) -> int:
        """Number of its spec's version."""
        return int((self.body.get("metadata") or {}).get("generation") or 0)

    @property
    def terminating(self) -> bool:
        """Whether somebody has deleted it."""
        return bool((self.body.get("metadata") or {}).get("deletionTimestamp"))


@dataclass(frozen=True, slots=True)
class _Entry:
    uid: str
    version: int
    value: Any


Key = tuple[str, str]
"""Namespace (empty for a cluster's object) and name."""


@dataclass(frozen=True, slots=True)
class Change:
    """What feeding changed: whose profiles to reconcile, and what the wiring has to do."""

    kind: Kind
    namespace: str
    name: str
    gone: bool = False
    before: Any = None
    after: Any = None


class Mirror:
    """The picture. One instance, one thread."""

    def __init__(self, judge: Judge = lambda raw: None, clock: Callable[[], float] = time.time) -> None:
        self.judge = judge
        self._clock = clock
        self._entries: dict[Kind, dict[Key, _Entry]] = {kind: {} for kind in Kind}
        self._by_namespace: dict[Kind, dict[str, dict[str, Any]]] = {kind: {} for kind in Kind}
        self._pods_by_uid: dict[str, Key] = {}
        self._graves: OrderedDict[str, None] = OrderedDict()
        self._pods_by_owner: dict[str, set[Key]] = {}
        self._checks: OrderedDict[str, str] = OrderedDict()
        self.listed = False
        """Whether the first whole list of everything has been fed."""

    # Feeding.

    def see(self, kind: Kind, raw: JSON) -> list[Change]:
        """Take an object in. Returns what changed: nothing if it is old news, or not kept."""
        metadata = raw.get("metadata") or {}
        key = (str(metadata.get("namespace") or ""), str(metadata.get("name") or ""))
        uid, version = str(metadata.get("uid") or ""), int(metadata.get("resourceVersion") or 0)
        known = self._entries[kind].get(key)
        if uid in self._graves or (known is not None and known.version > version):
            return []
        changes = []
        if known is not None and known.uid != uid:
            # A StatefulSet's next pod has the name of the last one, whose deletion may be told later.
            changes.append(self._remove(kind, key))
            known = None
        before = known.value if known is not None else None
        after = self._value(kind, raw, before)
        if after is not None:
            self._put(kind, key, _Entry(uid, version, after))
            if before != after:
                changes.append(Change(kind, *key, before=before, after=after))
        return changes

    def forget(self, kind: Kind, raw: JSON) -> Change | None:
        """Take an object's deletion in."""
        metadata = raw.get("metadata") or {}
        key = (str(metadata.get("namespace") or ""), str(metadata.get("name") or ""))
        uid = str(metadata.get("uid") or "")
        self._bury(uid)
        known = self._entries[kind].get(key)
        if known is None or known.uid != uid:
            return None
        return self._remove(kind, key)

    def settle(
        self,
        kind: Kind,
        seen: Collection[str],
        version: int,
        covers: Callable[[str, Any], bool] = lambda namespace, value: True,
    ) -> list[Change]:
        """Drop what a list, now fed in whole, did not hold (UIDs in `seen`) and what is not newer than it.

        A watch that was broken for long tells no deletions. `covers` says what the list would have held, by namespace
        and value.
        """
        stale = [
            key
            for key, entry in self._entries[kind].items()
            if entry.uid not in seen and entry.version <= version and covers(key[0], entry.value)
        ]
        return [self._remove(kind, key) for key in stale]

    def prove(self, image: str) -> None:
        """Remember that an agent of `image` has started somewhere in this cluster."""
        self._check(image, "")

    def doubt(self, image: str, words: str) -> None:
        """Remember that the check pod of `image` failed, in the kubelet's words. A proof outlives it."""
        if not self.proven(image):
            self._check(image, words)

    # Reading.

    def profiles(self, namespace: str) -> list[Profile]:
        """Return the valid profiles of a namespace, by name."""
        states = self._by_namespace[Kind.PROFILES].get(namespace, {})
        return [state.profile for _, state in sorted(states.items()) if state.profile is not None]

    def profile(self, namespace: str, name: str) -> ProfileState | None:
        """One profile."""
        return self._by_namespace[Kind.PROFILES].get(namespace, {}).get(name)

    def profile_keys(self) -> list[Key]:
        """Namespace and name of every profile."""
        return list(self._entries[Kind.PROFILES])

    def has_profiles(self, namespace: str) -> bool:
        """Whether a namespace holds a profile."""
        return namespace in self._by_namespace[Kind.PROFILES]

    def profiled_namespaces(self) -> list[str]:
        """Namespaces that hold a profile."""
        return list(self._by_namespace[Kind.PROFILES])

    def namespace(self, name: str) -> NamespaceState | None:
        """Return a namespace; None if it is not known (yet)."""
        return self._by_namespace[Kind.NAMESPACES].get("", {}).get(name)

    def limit_ranges(self, namespace: str) -> Sequence[JSON]:
        """Return a namespace's limit ranges, raw."""
        return list(self._by_namespace[Kind.LIMIT_RANGES].get(namespace, {}).values())

    def resource_quotas(self, namespace: str) -> Sequence[JSON]:
        """Return a namespace's quotas, raw, with their status."""
        return list(self._by_namespace[Kind.RESOURCE_QUOTAS].get(namespace, {}).values())

    def pods(self, namespace: str) -> Iterable[PodState]:
        """Return a namespace's pods, those that are kept."""
        return list(self._by_namespace[Kind.PODS].get(namespace, {}).values())

    def pod(self, namespace: str, name: str) -> PodState | None:
        """Find a pod by name."""
        return self._by_namespace[Kind.PODS].get(namespace, {}).get(name)

    def pod_by_uid(self, uid: str) -> PodState | None:
        """Find a pod by UID."""
        key = self._pods_by_uid.get(uid)
        return self._entries[Kind.PODS][key].value if key is not None else None

    def injected_pods(self) -> list[PodState]:
        """Every pod of the cluster that carries the sidecar."""
        return [entry.value for entry in self._entries[Kind.PODS].values() if entry.value.injected]

    def pods_of_owner(self, owner: str, namespace: str) -> list[PodState]:
        """Return the pods that are kept of one controlling owner, by its UID."""
        found = [self._entries[Kind.PODS][key].value for key in self._pods_by_owner.get(owner, ())]
        return [pod for pod in found if pod.namespace == namespace]

    def identities(self, pod_uid: str) -> Mapping[str, Identity]:
        """Container ID → identity, as far as the pod's status has told since this process started."""
        pod = self.pod_by_uid(pod_uid)
        return pod.containers if pod is not None else {}

    def proven(self, image: str) -> bool:
        """Whether the agent `image` is known to be pulled and started in this cluster."""
        return self._checks.get(image) == ""

    def check_failure(self, image: str) -> str:
        """Say why the check pod of `image` failed, in the kubelet's words; empty while it has not."""
        return self._checks.get(image, "")

    # Inside.

    def _value(self, kind: Kind, raw: JSON, before: Any) -> Any:
        metadata = raw.get("metadata") or {}
        if kind is Kind.PODS:
            return self._pod(raw, before)
        if kind is Kind.PROFILES:
            return _profile(raw)
        if kind is Kind.NAMESPACES:
            return NamespaceState(
                labels=dict(metadata.get("labels") or {}),
                annotations=dict(metadata.get("annotations") or {}),
            )
        return {
            "metadata": {"name": metadata.get("name"), "namespace": metadata.get("namespace")},
            "spec": raw.get("spec") or {},
            "status": raw.get("status") or {},
        }

    def _pod(self, raw: JSON, before: PodState | None) -> PodState | None:
        state = pod_state(raw, now=self._clock())
        if not state.injected:
            if not self.has_profiles(state.namespace):
                return None
            state = replace(state, refusal=_first_reason(before, self.judge(raw)))
        elif state.agent_started:
            self.prove(state.agent_image)
        if before is not None and before.containers:
            # A restart makes the API server forget the container before the last one; its evidence stays.
            # What was said first of a container is kept: an image changed in place must not rename its predecessor.
            known = {key: one for key, one in before.containers.items() if one.digest}
            state = replace(state, containers={**state.containers, **known})
        return state

    def _put(self, kind: Kind, key: Key, entry: _Entry) -> None:
        if kind is Kind.PODS:
            self._unindex(key)
            self._pods_by_uid[entry.uid] = key
            if entry.value.owner:
                self._pods_by_owner.setdefault(entry.value.owner, set()).add(key)
        self._entries[kind][key] = entry
        self._by_namespace[kind].setdefault(key[0], {})[key[1]] = entry.value

    def _unindex(self, key: Key) -> None:
        known = self._entries[Kind.PODS].get(key)
        if known is None:
            return
        self._pods_by_uid.pop(known.uid, None)
        siblings = self._pods_by_owner.get(known.value.owner, set())
        siblings.discard(key)
        if not siblings:
            self._pods_by_owner.pop(known.value.owner, None)

    def _remove(self, kind: Kind, key: Key) -> Change:
        entry = self._drop(kind, key)
        self._bury(entry.uid)
        if kind is Kind.PROFILES and not self.has_profiles(key[0]):
            for pod in self.pods(key[0]):
                if not pod.injected:
                    self._drop(Kind.PODS, (pod.namespace, pod.name))
        return Change(kind, *key, gone=True, before=entry.value)

    def _drop(self, kind: Kind, key: Key) -> _Entry:
        if kind is Kind.PODS:
            self._unindex(key)
        entry = self._entries[kind].pop(key)
        held = self._by_namespace[kind][key[0]]
        del held[key[1]]
        if not held:
            del self._by_namespace[kind][key[0]]
        return entry

    def _check(self, image: str, failure: str) -> None:
        if image:
            self._checks[image] = failure
            self._checks.move_to_end(image)
            while len(self._checks) > _IMAGES:
                self._checks.popitem(last=False)

    def _bury(self, uid: str) -> None:
        self._graves[uid] = None
        while len(self._graves) > _GRAVES:
            self._graves.popitem(last=False)


def _first_reason(before: PodState | None, refusal: Refusal | None) -> Refusal | None:
    """Keep what the circuit breaker said when the pod was made: once it has healed, it says it no more."""
    known = before.refusal if before is not None else None
    if known is not None and known.code in _MOMENTARY and refusal is not None and refusal.code == "created_before":
        return known
    return refusal


def _profile(raw: JSON) -> ProfileState:
    metadata = raw.get("metadata") or {}
    kept = ("name", "namespace", "uid", "generation", "creationTimestamp", "deletionTimestamp")
    body = {"metadata": {key: metadata.get(key) for key in kept}, "status": raw.get("status") or {}}
    if metadata.get("deletionTimestamp"):
        return ProfileState(body, None, "it is being deleted")
    try:
        return ProfileState(body, parse(raw))
    except InvalidProfileError as error:
        return ProfileState(body, None, str(error))
