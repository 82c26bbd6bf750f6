"""Which inventories and verdicts are due, one after the other. What fails is tried again, and holds up nothing."""

import asyncio
import base64
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from snoop_operator.apiclient import JSON, ClusterError, DeniedError
from snoop_operator.events import Clock
from snoop_operator.inventories.child import Child, WorkError
from snoop_operator.inventories.findings import Findings, Known, Trouble
from snoop_operator.profile import Profile
from snoop_operator.rollup import MAX_IMAGES
from snoop_operator.settings import Settings
from snoop_operator.store.interface import ImageEvidence, ProfileEvidence, Store, StoreError
from snoop_operator.workload import PodState

log = logging.getLogger(__name__)

JUDGE_EVERY = 60.0
"""Seconds between two verdicts on one image of a profile, at least: evidence comes every second."""
_FETCH_SECONDS = 900.0
_JUDGE_SECONDS = 300.0
_FIRST_RETRY = 60.0
_LAST_RETRY = 3600.0
_FORGOTTEN = 300.0
"""Seconds after which what no reconciliation has asked for is dropped: its profile or its evidence is gone."""
_SECRETS = 16
"""Pull secrets that are read for one image."""

Key = tuple[str, str, str]
"""Namespace, profile, digest."""


class SecretsAPI(Protocol):
    """Where pull secrets are (see `cluster`)."""

    async def get_secret(self, namespace: str, name: str) -> JSON:
        """Read a Secret. DeniedError unless somebody bound us the role for it."""


@dataclass(frozen=True, slots=True)
class _Job:
    """A verdict that is wanted."""

    key: Key
    image: str
    pods: tuple[str, ...]
    """UIDs, of those whose evidence counts."""
    secrets: tuple[str, ...]
    evidence: object
    """Another one: there is more to judge by."""
    asked_at: float


@dataclass(slots=True)
class _Record:
    """What became of a job."""

    result: Findings | Trouble
    evidence: object
    due: float
    """When to look again, at the earliest."""
    failures: int = 0


class Inventories:
    """Keeps the verdicts on the images of all profiles. For one event loop."""

    def __init__(
        self,
        store: Store,
        file: Path,
        api: SecretsAPI,
        settings: Settings,
        on_news: Callable[[str, str], None],
        clock: Clock,
    ) -> None:
        self._store, self._file, self._api, self._settings = store, file, api, settings
        self._on_news = on_news
        self._clock = clock
        self._child = Child(settings.work_directory, settings.inventory_memory)
        self._jobs: dict[Key, _Job] = {}
        self._records: dict[Key, _Record] = {}
        self._wake = asyncio.Event()

    def look(self, profile: Profile, evidence: ProfileEvidence, pods: Sequence[PodState]) -> Known:
        """Say what is known of a profile's images; what is not gets due. `pods` are all of the namespace."""
        found: dict[str, Findings | Trouble] = {}
        unrecorded: dict[str, int] = {}
        if profile.inventory_source == "None":
            return Known()
        for image in evidence.images[:MAX_IMAGES]:
            if not image.digest:
                continue
            job = _job(profile, image, evidence, pods, self._clock())
            self._jobs[job.key] = job
            record = self._records.get(job.key)
            if record is not None:
                found[image.digest] = record.result
            if record is None or record.evidence != job.evidence:
                self._wake.set()
            strangers = [
                pod
                for pod in pods
                if not pod.injected
                and not profile.selector.matches(pod.labels)
                and any(one.digest == image.digest for one in pod.containers.values())
            ]
            if strangers:
                unrecorded[image.digest] = len(strangers)
        return Known(found, unrecorded)

    async def run(self) -> None:
        """Work for ever, one image at a time."""
        while True:
            self._wake.clear()
            job, pause = self._next()
            if job is not None:
                await self.work(job)
                continue
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
                # Several profiles are looked at in a row; and what is not due yet must not wake us in a loop.
                await asyncio.sleep(0.5)
            except TimeoutError:
                continue

    def _next(self) -> tuple[_Job | None, float]:
        now = self._clock()
        for key in [key for key, job in self._jobs.items() if now - job.asked_at > _FORGOTTEN]:
            del self._jobs[key]
            self._records.pop(key, None)
        pause = _FORGOTTEN
        for key, job in self._jobs.items():
            record = self._records.get(key)
            if record is None:
                return job, 0.0
            if record.failures or record.evidence != job.evidence:
                if record.due <= now:
                    return job, 0.0
                pause = min(pause, record.due - now)
        return None, pause

    async def work(self, job: _Job) -> None:
        """Fetch what an image holds, if that is not known yet, and judge it."""
        before = self._records.get(job.key)
        result: Findings | Trouble
        try:
            trouble = await self._fetch(job)
            result = trouble or await self._judge(job)
        except StoreError as error:
            result = Trouble("StoreFailed", f"{job.image}: {error}")
        except OSError as error:
            result = Trouble("Failed", f"{job.image}: the process that reads images does not start: {error}")
        failures = 0
        pause = JUDGE_EVERY
        if isinstance(result, Trouble):
            failures = (before.failures if before else 0) + 1
            pause = min(_FIRST_RETRY * 2.0 ** min(failures - 1, 10), _LAST_RETRY)
            log.warning("image not judged image=%s digest=%s error=%s", job.image, job.key[2], result.message)
        self._records[job.key] = _Record(result, job.evidence, self._clock() + pause, failures)
        if before is None or before.result != result:
            self._on_news(*job.key[:2])

    async def _fetch(self, job: _Job) -> Trouble | None:
        digest = job.key[2]
        if await self._store.has_inventory(digest):
            return None
        secrets, denied = await self._secrets(job)
        task = {
            "do": "fetch",
            "image": job.image,
            "digest": digest,
            "secrets": secrets,
            "plain_http": self._settings.inventory_plain_http,
            "ca_file": str(self._settings.inventory_ca_file or ""),
            "seconds": _FETCH_SECONDS,
        }
        try:
            content = await self._child.run(task, _FETCH_SECONDS)
        except WorkError as error:
            if denied:
                role = f"ClusterRole {self._settings.pull_secrets_role}"
                words = f"{job.image}: {error}; {denied}: grant it by a RoleBinding of the {role} in {job.key[0]}"
                return Trouble("PullSecretDenied", words)
            hint = ""
            if "has no sha256:" in str(error):
                hint = "; an image that was loaded onto the node without a registry is known there by another digest"
            return Trouble(error.reason, f"{job.image}: {error}{hint}")
        await self._store.keep_inventory(digest, content, self._clock())
        log.info("inventory fetched image=%s digest=%s bytes=%d", job.image, digest, len(content))
        return None

    async def _judge(self, job: _Job) -> Findings | Trouble:
        digest = job.key[2]
        task = {"do": "judge", "digest": digest, "store": str(self._file), "pods": job.pods, "now": self._clock()}
        try:
            answer: Mapping[str, Any] = json.loads(await self._child.run(task, _JUDGE_SECONDS))
        except WorkError as error:
            if error.reason == "Damaged":
                await self._store.drop_inventory(digest)
            return Trouble(error.reason, f"{job.image}: {error}")
        return Findings(**answer)

    async def _secrets(self, job: _Job) -> tuple[list[tuple[str, str]], str]:
        """Read an image's pull secrets: name and content in base64; and say which could not be read."""
        found: list[tuple[str, str]] = []
        denied = ""
        for name in job.secrets[:_SECRETS]:
            try:
                secret = await self._api.get_secret(job.key[0], name)
            except DeniedError:
                denied = denied or f"the operator may not read the pull secret {name}"
                continue
            except ClusterError as error:
                # A pod may name one that does not exist; the kubelet passes over it as well.
                log.info("pull secret not read namespace=%s name=%s error=%s", job.key[0], name, error)
                continue
            held = secret.get("data") or {}
            content = held.get(".dockerconfigjson") or held.get(".dockercfg")
            if isinstance(content, str) and _is_base64(content):
                found.append((f"pull secret {name}", content))
        return found, denied


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        return False
    return True


def _job(
    profile: Profile, image: ImageEvidence, evidence: ProfileEvidence, pods: Sequence[PodState], now: float
) -> _Job:
    # All containers of the image count, those that the profile leaves out as well: what they use is used.
    told = [pod for pod in evidence.pods if any(one.digest == image.digest for one in pod.containers)]
    state = tuple(
        (
            pod.uid,
            tuple((one.id, one.version) for one in pod.containers if one.digest == image.digest),
            tuple(sorted((gap.code.value, gap.container) for gap in pod.gaps)),
        )
        for pod in told
    )
    secrets: dict[str, None] = {}
    if profile.inventory_pull_secrets == "Inherit":
        for pod in pods:
            if any(one.digest == image.digest for one in pod.containers.values()):
                secrets.update(dict.fromkeys(pod.pull_secrets))
    uids = tuple(pod.uid for pod in told)
    return _Job((profile.namespace, profile.name, image.digest), image.image, uids, tuple(secrets), state, now)
