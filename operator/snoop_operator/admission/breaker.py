"""The circuit breaker: an owner whose injected pod does not come up gets its next pods unchanged.

No I/O; time is given, in seconds of any steady clock.

An owner is what makes pods again and again (a ReplicaSet, a Job); a pod that stands alone is its own owner, by name.
Three things speak against an injection that nothing else forbids:

- `agent_unproven`: nobody has seen the agent's image start. One pod of an owner may try it; none if trying has failed.
- `agent_stuck`: a pod of this owner is or was stuck in our container.
- `pod_rejected`: a pod of this owner was injected and never came to be, so something refused it after us.

The memo lives in memory alone, as the webhook may have no side effects: after a restart, or beside another replica, an
owner may meet one more pod of the kind.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from snoop_operator.workload import PodState, Refusal

APPEARANCE = 1.0
"""Seconds within which an injected pod is in our picture of the cluster, or was refused. A ReplicaSet tries again after
5 ms, 10 ms, 20 ms …, so its pods come unchanged about a second later."""
FORGET = 60.0
"""Seconds after which an injection that nothing is known of says nothing any more."""
HOLD = 600.0
"""Seconds for which an owner's pods stay unchanged after a failure that is not to be seen any more."""
_OWNERS = 10_000
_UIDS = 256


@dataclass(slots=True)
class _Owner:
    pending: list[float] = field(default_factory=list)
    """When pods were injected that have not appeared yet, oldest first."""
    appeared: OrderedDict[str, None] = field(default_factory=OrderedDict)
    """UIDs of injected pods that have; bounded."""
    rejected_at: float | None = None
    stuck_at: float | None = None
    stuck: str = ""
    stuck_image: str = ""


def owner_key(namespace: str, owner: str, name: str) -> str:
    """Tell owners apart: by UID, or a pod alone by its name. Empty for a pod alone whose name is yet to be made up."""
    return owner or (f"{namespace}/{name}" if name else "")


class Breaker:
    """Remembers injections by owner. One instance, one thread."""

    def __init__(self) -> None:
        self._owners: OrderedDict[str, _Owner] = OrderedDict()

    def saw(self, pod: PodState, now: float) -> None:
        """Take in an injected pod that exists. Told of every event, a pod that lives for a moment is not missed."""
        if not pod.injected:
            return
        # Of owners that we never injected a pod of since our start there is nothing to remember but trouble.
        key = owner_key(pod.namespace, pod.owner, pod.name)
        owner = self._owners.get(key)
        if owner is None and not pod.agent_trouble:
            return
        self._take(owner or self._owner(key), [pod], now)

    def decide(
        self, key: str, image: str, proven: bool, failure: str, pods: Sequence[PodState], now: float
    ) -> Refusal | None:
        """Say why the owner's next pod stays unchanged; None: inject it.

        `pods`: the owner's, as they are now. `failure`: why the image could not be proven, in the kubelet's words.
        """
        # Nobody can tell what became of an earlier pod of no owner and no name, so none of them tries an image.
        owner = self._owner(key) if key else _Owner()
        injected = [pod for pod in pods if pod.injected]
        self._take(owner, injected, now)
        stuck = _stuck(owner, injected, image, now)
        if stuck:
            return Refusal("agent_stuck", f"Another pod of the same owner is stuck in the agent's container: {stuck}")
        if _rejected(owner, now):
            return Refusal(
                "pod_rejected", "A pod of the same owner was injected and then refused by something after us."
            )
        if proven:
            return None
        if failure:
            return Refusal("agent_unproven", f"The agent's image could not be started: {failure}")
        if injected or owner.pending or not key:
            return Refusal("agent_unproven", "The agent's image has not been seen to start; another pod has to try it.")
        return None

    def note(self, key: str, now: float) -> None:
        """Remember that a pod of the owner was injected. Not for dry runs: no pod follows them."""
        if key:
            self._owner(key).pending.append(now)

    def _owner(self, key: str) -> _Owner:
        owner = self._owners.setdefault(key, _Owner())
        self._owners.move_to_end(key)
        while len(self._owners) > _OWNERS:
            self._owners.popitem(last=False)
        return owner

    @staticmethod
    def _take(owner: _Owner, injected: Sequence[PodState], now: float) -> None:
        for pod in injected:
            if pod.uid not in owner.appeared:
                owner.appeared[pod.uid] = None
                if owner.pending:
                    owner.pending.pop(0)
                # Whatever was refused, pods of this owner come through now.
                owner.rejected_at = None
            if pod.agent_trouble:
                owner.stuck, owner.stuck_at, owner.stuck_image = pod.agent_trouble, now, pod.agent_image
            elif pod.agent_started and pod.agent_image == owner.stuck_image:
                owner.stuck_at = None
        while len(owner.appeared) > max(_UIDS, len(injected)):
            owner.appeared.popitem(last=False)
        overdue = [at for at in owner.pending if APPEARANCE <= now - at < FORGET]
        if overdue:
            owner.rejected_at = now
        owner.pending = [at for at in owner.pending if now - at < APPEARANCE]


def _stuck(owner: _Owner, injected: Sequence[PodState], image: str, now: float) -> str:
    seen = next((pod.agent_trouble for pod in injected if pod.agent_trouble and pod.agent_image == image), "")
    if seen:
        return seen
    # The pod may have been deleted for being stuck; its successor must not meet the same.
    remembered = owner.stuck_at is not None and now - owner.stuck_at < HOLD and owner.stuck_image == image
    return owner.stuck if remembered else ""


def _rejected(owner: _Owner, now: float) -> bool:
    return owner.rejected_at is not None and now - owner.rejected_at < HOLD
