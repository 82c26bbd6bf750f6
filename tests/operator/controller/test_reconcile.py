"""From pod events and reports to a profile's status, over a real store and real HTTP."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from snoop_operator.apiclient import connect
from snoop_operator.cluster import Cluster
from snoop_operator.events import Events
from snoop_operator.ledger import Ledger
from snoop_operator.mirror import Kind, Mirror
from snoop_operator.reconcile import Reconciler
from snoop_operator.store.interface import PodKey, Store
from snoop_operator.store.sql import open_sqlite
from snoop_report.model import ContainerReport, Delta, Observation, Outcome, Report
from snoop_report.model import Kind as Use

PATH = "/apis/snoop.dev/v1alpha1/namespaces/shop/snoopprofiles/web"
SPEC = {"selector": {"matchLabels": {"app": "web"}}}


class World:
    def __init__(self, api: Any, cluster: Cluster, store: Store) -> None:
        self.api, self.store = api, store
        self.mirror = Mirror()
        self.events = Events(cluster, "me", time.time)
        self.ledger = Ledger(store, self.mirror, time.time)
        self.reconciler = Reconciler(self.mirror, store, cluster, self.events, "agent:1", time.time)

    async def profile(self, **body: Any) -> None:
        self.mirror.see(Kind.PROFILES, await self.api.put(PATH, {"spec": SPEC, **body}))

    def pod(self, version: int = 1, **status: Any) -> None:
        raw = {
            "metadata": {
                "namespace": "shop",
                "name": "web-1",
                "uid": "u-1",
                "labels": {"app": "web"},
                "resourceVersion": str(version),
            },
            "spec": {"initContainers": [{"name": "snoop-agent", "image": "agent:1"}], "containers": [{"name": "web"}]},
            "status": {"phase": "Running", **status},
        }
        for change in self.mirror.see(Kind.PODS, raw):
            self.ledger.note(change)

    def bare(self, version: int = 1, *, gone: bool = False) -> None:
        """A pod without an agent whose container runs."""
        state = {"state": {"running": {"startedAt": "2026-01-01T00:00:05Z"}}, "imageID": "nginx@sha256:1"}
        raw = {
            "metadata": {
                "namespace": "shop",
                "name": "web-0",
                "uid": "u-0",
                "labels": {"app": "web"},
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "resourceVersion": str(version),
            },
            "spec": {"containers": [{"name": "web", "image": "nginx:1"}]},
            "status": {
                "phase": "Running",
                "containerStatuses": [{"name": "web", "containerID": "containerd://c0", **state}],
            },
        }
        changes = [self.mirror.forget(Kind.PODS, raw)] if gone else self.mirror.see(Kind.PODS, raw)
        for change in changes:
            assert change is not None
            self.ledger.note(change)

    async def report(self, sequence: int = 1, *paths: str, final: bool = False) -> None:
        now = time.time()
        container = ContainerReport("c1", 1, "/c1", total_events=len(paths))
        for path in paths:
            seen = Observation(path, path, Outcome.EXISTS, frozenset({Use.READ}), now, now)
            container.observations[seen.key] = seen
        report = Report(started_at=now, last_updated_at=now, containers=[container])
        await self.store.accept(
            PodKey("shop", "web-1", "u-1"), Delta("boot", sequence, report, final=final), {}, time.time()
        )

    async def reconcile(self) -> dict[str, Any]:
        await self.reconciler.reconcile(("shop", "web"))
        status: dict[str, Any] = self.api.objects[PATH].get("status") or {}
        return status

    def patches(self) -> int:
        return sum(method == "PATCH" for method, _ in self.api.calls)


@pytest.fixture
async def world(api: Any, tmp_path: Path) -> AsyncIterator[World]:
    cluster, store = Cluster(await connect()), await open_sqlite(tmp_path / "evidence.sqlite")
    yield World(api, cluster, store)
    await store.close()
    await cluster.close()


def condition(status: dict[str, Any], kind: str) -> tuple[str, str]:
    return next((one["status"], one["reason"]) for one in status["conditions"] if one["type"] == kind)


async def test_a_report_turns_up_in_the_status(world: World) -> None:
    await world.profile()
    world.pod()
    await world.ledger.flush()
    await world.report(1, "/etc/passwd", "/bin/sh")
    status = await world.reconcile()
    assert (status["phase"], status["files"], status["display"]["pods"]) == ("Recording", 2, "1/1")
    assert condition(status, "Recording") == ("True", "Recording")


async def test_what_has_not_changed_is_not_written(world: World) -> None:
    await world.profile()
    await world.reconcile()
    assert world.patches() == 1
    await world.reconcile()
    assert world.patches() == 1


async def test_a_profile_that_cannot_be_read_is_told_so(world: World) -> None:
    await world.profile(spec={"selector": {}})
    status = await world.reconcile()
    assert (status["phase"], condition(status, "Ready")) == ("Failed", ("False", "InvalidProfile"))


async def test_a_deleted_profile_is_no_failure(world: World) -> None:
    await world.profile()
    await world.api.remove(PATH)
    await world.reconciler.reconcile(("shop", "web"))


async def test_an_agent_image_that_fails_makes_the_profile_not_ready(world: World) -> None:
    await world.profile()
    world.mirror.doubt("agent:1", "ImagePullBackOff: no such image")
    assert condition(await world.reconcile(), "Ready") == ("False", "AgentImageUnavailable")
    world.mirror.prove("agent:1")
    assert condition(await world.reconcile(), "Ready") == ("True", "Ready")


async def test_a_store_that_is_new_says_that_evidence_was_lost_and_goes_on_saying_it(world: World) -> None:
    await world.profile(status={"storeID": "an-earlier-one", "files": 7, "imageCount": 1})
    assert condition(await world.reconcile(), "Complete") == ("False", "EvidenceLost")
    world.pod()
    await world.ledger.flush()
    await world.report(1, "/etc/passwd")
    assert condition(await world.reconcile(), "Complete") == ("False", "EvidenceLost")


async def test_a_pod_that_ended_while_nobody_watched_is_closed_in_the_books(world: World, eventually: Any) -> None:
    world.pod()
    await world.ledger.flush()
    assert await world.store.open_pods() == {"u-1"}
    later = Ledger(world.store, Mirror(), time.time)
    task = asyncio.create_task(later.run())
    async with asyncio.timeout(5):
        while await world.store.open_pods():  # noqa: ASYNC110 (a store tells nobody)
            await asyncio.sleep(0.02)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_a_finished_jobs_pod_is_ended_though_it_still_exists(world: World) -> None:
    world.pod()
    await world.ledger.flush()
    world.pod(version=2, phase="Succeeded")
    await world.ledger.flush()
    assert await world.store.open_pods() == frozenset()


async def test_a_pod_that_lived_for_a_moment_is_known_by_its_labels(world: World) -> None:
    world.pod()
    raw = {"metadata": {"namespace": "shop", "name": "web-1", "uid": "u-1", "resourceVersion": "2"}}
    change = world.mirror.forget(Kind.PODS, raw)
    assert change is not None
    world.ledger.note(change)
    await world.ledger.flush()
    await world.profile()
    state = world.mirror.profile("shop", "web")
    assert state is not None
    assert state.profile is not None
    evidence = await world.store.evidence(state.profile, time.time())
    assert [(one.name, one.ended_at > 0) for one in evidence.pods] == [("web-1", True)]


async def test_a_pod_without_an_agent_is_remembered_when_it_is_gone(world: World) -> None:
    await world.profile()
    world.bare()
    world.bare(version=2, gone=True)
    await world.ledger.flush()
    state = world.mirror.profile("shop", "web")
    assert state is not None
    assert state.profile is not None
    (use,) = (await world.store.evidence(state.profile, time.time())).unprofiled
    assert (use.name, use.image, use.digest) == ("web", "nginx:1", "sha256:1")
    assert (use.created_at, use.reason) == (1767225600.0, "not_injected")
    assert time.time() - use.seen_at < 5
