"""From a pod as the API server tells it to the trimmed PodState that the operator keeps. Pure; no I/O."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from snoop_operator import names
from snoop_operator.workload import PodState, Refusal
from snoop_report.model import Identity

_BENIGN = frozenset({"", "ContainerCreating", "PodInitializing"})
"""Reasons for which the kubelet lets any container wait."""
_NEVER_RAN = frozenset({"StartError", "ContainerCannotRun"})
"""Reasons of a container's end that say that its command could not be executed."""
_MOUNTING = 90.0
"""Seconds after its scheduling by which a pod's volumes are usually mounted."""
_WORDS = 400
"""Characters of the kubelet's message that are kept."""


def pod_state(raw: Mapping[str, Any], refusal: Refusal | None = None, now: float = 0.0) -> PodState:
    """Trim a pod. `refusal` says why it carries no sidecar; it is dropped from a pod that does."""
    metadata = raw.get("metadata") or {}
    spec = raw.get("spec") or {}
    status = raw.get("status") or {}
    sidecar = next((one for one in spec.get("initContainers") or [] if one.get("name") == names.CONTAINER), None)
    told: Mapping[str, Any] = next(
        (one for one in status.get("initContainerStatuses") or [] if one.get("name") == names.CONTAINER), {}
    )
    phase = str(status.get("phase") or "Pending")
    terminating = bool(metadata.get("deletionTimestamp"))
    over = terminating or phase in ("Succeeded", "Failed")
    injected = sidecar is not None
    return PodState(
        namespace=str(metadata.get("namespace") or ""),
        name=str(metadata.get("name") or ""),
        uid=str(metadata.get("uid") or ""),
        node=str(spec.get("nodeName") or ""),
        labels=dict(metadata.get("labels") or {}),
        owner=owner_of(raw),
        created_at=seconds(str(metadata.get("creationTimestamp") or "")),
        phase=phase,
        terminating=terminating,
        injected=injected,
        agent_image=str(sidecar.get("image") or "") if sidecar else "",
        agent_started=bool(told.get("started")),
        agent_trouble="" if over or not injected else _trouble(told) or _unmounted(told, status, now),
        agent_finished=injected and over and "terminated" in (told.get("state") or {}),
        agent_restarts=int(told.get("restartCount") or 0),
        refusal=None if injected else refusal,
        ran=_ran(status),
        containers=_identities(spec, status),
        pull_secrets=tuple(str(one["name"]) for one in spec.get("imagePullSecrets") or [] if one.get("name")),
    )


def owner_of(raw: Mapping[str, Any]) -> str:
    """UID of the object that controls the pod (a ReplicaSet, a Job …); empty if it stands alone."""
    references = (raw.get("metadata") or {}).get("ownerReferences") or []
    return next((str(one.get("uid") or "") for one in references if one.get("controller")), "")


def seconds(timestamp: str) -> float:
    """Seconds since the epoch of an RFC 3339 time; 0 if there is none."""
    try:
        return datetime.fromisoformat(timestamp).timestamp() if timestamp else 0.0
    except ValueError:
        return 0.0


def _trouble(told: Mapping[str, Any]) -> str:
    """Say what keeps the sidecar from running, in the kubelet's words."""
    if told.get("started"):
        return ""
    state = told.get("state") or {}
    waiting = state.get("waiting") or {}
    reason = str(waiting.get("reason") or "")
    if waiting and reason not in _BENIGN:
        return _words(reason, waiting.get("message"))
    ended = state.get("terminated")
    if not ended and told.get("restartCount"):
        # Between two attempts: it runs, but its predecessor died before it was ready.
        ended = (told.get("lastState") or {}).get("terminated")
    if ended:
        message = ended.get("message") or f"exit code {ended.get('exitCode')}"
        return _words(str(ended.get("reason") or "Error"), message)
    return ""


def _unmounted(told: Mapping[str, Any], status: Mapping[str, Any], now: float) -> str:
    """Tell of volumes that are not mounted: ours may be why, and the kubelet's words for it are in no status."""
    state = told.get("state") or {}
    conditions = {one.get("type"): one for one in status.get("conditions") or []}
    scheduled = conditions.get("PodScheduled") or {}
    sandbox = conditions.get("PodReadyToStartContainers") or {}
    if "waiting" not in state or scheduled.get("status") != "True" or sandbox.get("status") != "False":
        return ""
    since = seconds(str(scheduled.get("lastTransitionTime") or ""))
    if not since or now - since < _MOUNTING:
        return ""
    paths = f"{names.TRACEFS_DIRECTORY}, {names.BPFFS_DIRECTORY}"
    words = f"the pod's volumes are not mounted; the agent's hostPaths ({paths}) may be why"
    return f"VolumesNotMounted: {words}"


def _words(reason: str, message: object) -> str:
    text = " ".join(str(message or "").split())
    return f"{reason}: {text[:_WORDS]}" if text else reason


def _identities(spec: Mapping[str, Any], status: Mapping[str, Any]) -> dict[str, Identity]:
    images = {one.get("name"): str(one.get("image") or "") for one in _containers(spec)}
    found: dict[str, Identity] = {}
    for told in _statuses(status):
        name = str(told.get("name") or "")
        if name == names.CONTAINER:
            continue
        identity = Identity(
            name=name,
            # The spec's name is what people wrote; the kubelet may report another tag of the same image.
            image=images.get(name) or str(told.get("image") or ""),
            digest=_digest(str(told.get("imageID") or "")),
        )
        previous = ((told.get("lastState") or {}).get("terminated") or {}).get("containerID")
        for reference in (previous, told.get("containerID")):
            container = _identifier(reference)
            if container:
                found[container] = identity
    return found


def _ran(status: Mapping[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    for told in _statuses(status):
        if told.get("name") == names.CONTAINER:
            continue
        now, before = told.get("state") or {}, told.get("lastState") or {}
        ends = [one["terminated"] for one in (before, now) if one.get("terminated")]
        starts = [(one.get("containerID"), one) for one in ends if one.get("reason") not in _NEVER_RAN]
        if now.get("running"):
            starts.append((told.get("containerID"), now["running"]))
        for reference, one in starts:
            container = _identifier(reference)
            started = seconds(str(one.get("startedAt") or ""))
            if container and started:
                found[container] = started
    return found


def _identifier(reference: object) -> str:
    """`containerd://abc…` → `abc…`."""
    return str(reference or "").rpartition("://")[2]


def _containers(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for key in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(key) or []


def _statuses(status: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for key in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
        yield from status.get(key) or []


def _digest(image_id: str) -> str:
    """`sha256:…` of `docker.io/library/nginx@sha256:…` or `docker-pullable://…@sha256:…`; a bare digest as it is."""
    digest = image_id.rpartition("@")[2].rpartition("://")[2]
    return digest if digest.startswith("sha256:") else ""
