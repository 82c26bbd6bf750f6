"""What a decision about a pod rests on beside the pod: values, and the Protocol of whoever holds them. Pure; no I/O."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from snoop_operator.profile import Profile
from snoop_operator.workload import PodState

JSON = Mapping[str, Any]


class NamespaceMeta(Protocol):
    """What is known of a namespace."""

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels."""

    @property
    def annotations(self) -> Mapping[str, str]:
        """Its annotations."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Everything in a pod's namespace that bears on its injection."""

    namespace: str
    meta: NamespaceMeta | None
    """None: not seen yet, so nothing can be promised about it."""
    profiles: Sequence[Profile] = ()
    """All of the namespace."""
    limit_ranges: Sequence[JSON] = ()
    """LimitRange objects, at least their metadata.name and spec."""
    resource_quotas: Sequence[JSON] = ()
    """ResourceQuota objects, at least their metadata.name, spec and status."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """What becomes known only while the operator runs."""

    ca_bundle: str
    """PEM; empty while there is no certificate, and then nothing is injected."""
    operator_address: str = ""
    """The Service's cluster IP; empty if it has none (agents then need the cluster's DNS)."""
    native_sidecars: bool = True
    """Whether the API server keeps `restartPolicy: Always` of init containers (Kubernetes 1.29, KEP-753)."""
    version: str = ""
    """The operator's."""


class View(Protocol):
    """The cluster as last seen, in memory: what the webhook may ask. None of it waits."""

    listed: bool
    """Whether the first listing of everything is complete."""

    def profiles(self, namespace: str) -> Sequence[Profile]:
        """List the valid profiles of a namespace."""

    def namespace(self, name: str) -> NamespaceMeta | None:
        """Labels and annotations of a namespace, if it has been seen."""

    def limit_ranges(self, namespace: str) -> Sequence[JSON]:
        """List its LimitRange objects."""

    def resource_quotas(self, namespace: str) -> Sequence[JSON]:
        """List its ResourceQuota objects."""

    def pods_of_owner(self, owner: str, namespace: str) -> Sequence[PodState]:
        """List the pods that exist whose controlling owner has this UID."""

    def pods(self, namespace: str) -> Iterable[PodState]:
        """List a namespace's pods, as far as they are kept."""

    def proven(self, image: str) -> bool:
        """Whether an agent of this image has started in this cluster."""

    def check_failure(self, image: str) -> str:
        """Say why the proof of this agent image failed, in the kubelet's words; empty while it has not."""


def surroundings(view: View, namespace: str) -> Surroundings:
    """Collect what `view` knows of a namespace."""
    return Surroundings(
        namespace=namespace,
        meta=view.namespace(namespace),
        profiles=view.profiles(namespace),
        limit_ranges=view.limit_ranges(namespace),
        resource_quotas=view.resource_quotas(namespace),
    )
