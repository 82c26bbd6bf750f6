"""Proves that the agent image can be pulled and starts, with one short-lived pod in the operator's own namespace.

Nobody's pod should wait for an image that does not exist. Until it is proven, by this pod or by any injected pod whose
agent started, admission injects with care. What the kubelet says of a failure ends up in the profiles' conditions.
"""

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Protocol

from snoop_operator import names
from snoop_operator.admission.sidecar import SECURITY_CONTEXT
from snoop_operator.apiclient import JSON, ClusterError, ConflictError, NotFoundError
from snoop_operator.mirror import Mirror
from snoop_operator.settings import Settings

log = logging.getLogger(__name__)

_POLL = 1.0
_LIFE = 180.0
"""Seconds after which a check pod is given up and made anew: on another node, perhaps."""
_SLOW = 45.0
"""Seconds without a word from the kubelet after which we say that it waits."""
_RETRIES = (15.0, 30.0, 60.0, 120.0, 300.0)
_BENIGN = frozenset({"", "ContainerCreating", "PodInitializing"})


_PULL = ("ErrImagePull", "ImagePullBackOff")
"""Two words of the kubelet for one failure, which take turns: the first is kept, or every status would flap."""


class PodAPI(Protocol):
    """What is asked of the cluster (see `cluster`)."""

    async def get_pod(self, namespace: str, name: str) -> JSON:
        """Read a pod."""

    async def create_pod(self, namespace: str, pod: JSON) -> JSON:
        """Make a pod."""

    async def delete_pod(self, namespace: str, name: str) -> None:
        """Remove a pod at once."""


class Outcome(Enum):
    """What a check pod shows."""

    WAITING = auto()
    FAILING = auto()
    """Not started; the kubelet tries again by itself."""
    FAILED = auto()
    PROVEN = auto()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check pod shows, with the words for it."""

    outcome: Outcome
    message: str = ""


class AgentCheck:
    """Runs the check until the image is proven. `concluded` is set at the first verdict, good or bad."""

    def __init__(self, api: PodAPI, mirror: Mirror, settings: Settings) -> None:
        self._api = api
        self._mirror = mirror
        self._settings = settings
        self._image = settings.agent_image
        self._name = f"snoop-agent-check-{hashlib.sha256(self._image.encode()).hexdigest()[:8]}"
        self.concluded = asyncio.Event()

    async def run(self) -> None:
        """Check, and check again later, until the image is proven; then return."""
        attempt = 0
        while not self._mirror.proven(self._image):
            try:
                await self._once()
            except ClusterError as error:
                self._doubt(f"the check pod could not be run: {error}")
            finally:
                await self._remove()
            if not self._mirror.proven(self._image):
                await self._pause(_RETRIES[min(attempt, len(_RETRIES) - 1)])
                attempt += 1
        self.concluded.set()
        log.info("agent image proven image=%s", self._image)

    async def _once(self) -> None:
        await self._remove()
        try:
            await self._api.create_pod(self._settings.namespace, await self._pod())
        except ConflictError:
            return  # The last one is still going away.
        loop = asyncio.get_running_loop()
        started = loop.time()
        while (waited := loop.time() - started) < _LIFE and not self._mirror.proven(self._image):
            await asyncio.sleep(_POLL)
            verdict = judge(await self._api.get_pod(self._settings.namespace, self._name), waited)
            if verdict.outcome is Outcome.PROVEN:
                self._mirror.prove(self._image)
            elif verdict.outcome is not Outcome.WAITING:
                self._doubt(verdict.message)
            if verdict.outcome is Outcome.FAILED:
                return

    async def _pause(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        # An injected pod may prove the image meanwhile; the mirror is a plain picture and wakes nobody.
        while loop.time() < until and not self._mirror.proven(self._image):  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(_POLL)

    async def _pod(self) -> JSON:
        owner = None
        if self._settings.pod_name:
            own = await self._api.get_pod(self._settings.namespace, self._settings.pod_name)
            owner = str(own["metadata"]["uid"])
        return check_pod(self._settings, self._name, owner)

    async def _remove(self) -> None:
        try:
            await self._api.delete_pod(self._settings.namespace, self._name)
        except NotFoundError:
            pass
        except ClusterError as error:
            log.warning("check pod not removed name=%s error=%s", self._name, error)

    def _doubt(self, words: str) -> None:
        known = self._mirror.check_failure(self._image)
        if known != words and not (known.startswith(_PULL) and words.startswith(_PULL)):
            log.warning("agent image not proven image=%s error=%s", self._image, words)
            self._mirror.doubt(self._image, words)
        self.concluded.set()


def check_pod(settings: Settings, name: str, owner: str | None) -> JSON:
    """Shape the check pod: the agent as it is injected, with `check` for an argument. `owner`: our own pod's UID."""
    metadata: JSON = {
        "name": name,
        "namespace": settings.namespace,
        "labels": {"app.kubernetes.io/name": "snoop-agent-check", names.INJECT: "false"},
    }
    if owner is not None:
        # With its owner gone (helm uninstall, a crash) the pod is garbage.
        metadata["ownerReferences"] = [
            {"apiVersion": "v1", "kind": "Pod", "name": settings.pod_name, "uid": owner, "controller": False}
        ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": int(_LIFE),
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "imagePullSecrets": [{"name": name} for name in settings.agent_image_pull_secrets],
            "containers": [
                {
                    "name": names.CONTAINER,
                    "image": settings.agent_image,
                    "imagePullPolicy": settings.agent_image_pull_policy,
                    "args": ["check"],
                    "resources": {"requests": dict(settings.agent_requests), "limits": dict(settings.agent_limits)},
                    "securityContext": dict(SECURITY_CONTEXT),
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                    "volumeMounts": [
                        {"name": names.DATA_VOLUME, "mountPath": names.DATA_DIRECTORY},
                        {"name": names.TRACEFS_VOLUME, "mountPath": names.TRACEFS_DIRECTORY, "readOnly": True},
                    ],
                }
            ],
            "volumes": [
                {"name": names.DATA_VOLUME, "emptyDir": {"sizeLimit": "256Mi"}},
                {
                    "name": names.TRACEFS_VOLUME,
                    "hostPath": {"path": names.TRACEFS_DIRECTORY, "type": "Directory"},
                },
            ],
        },
    }


def judge(pod: Mapping[str, Any], waited: float) -> Verdict:
    """Read a check pod that was made `waited` seconds ago."""
    status = pod.get("status") or {}
    told: Mapping[str, Any] = next(iter(status.get("containerStatuses") or []), {})
    state = told.get("state") or {}
    ended = state.get("terminated")
    if ended is not None:
        if ended.get("exitCode") == 0:
            return Verdict(Outcome.PROVEN)
        said = " ".join(str(ended.get("message") or "").split())[-300:]
        reason = ended.get("reason") or "Error"
        return Verdict(Outcome.FAILED, f"{reason}: exit code {ended.get('exitCode')}" + (f": {said}" if said else ""))
    if status.get("phase") == "Failed":
        return Verdict(Outcome.FAILED, f"{status.get('reason') or 'Failed'}: {status.get('message') or ''}".strip())
    waiting = state.get("waiting") or {}
    reason = str(waiting.get("reason") or "")
    if reason not in _BENIGN:
        return Verdict(Outcome.FAILING, f"{reason}: {waiting.get('message') or ''}".rstrip(": "))
    if waited < _SLOW or "running" in state:
        return Verdict(Outcome.WAITING)
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return Verdict(Outcome.FAILING, f"{condition.get('reason')}: {condition.get('message')}")
    return Verdict(Outcome.FAILING, f"{reason or 'Pending'}: not started after {waited:.0f} s (image or volumes)")
