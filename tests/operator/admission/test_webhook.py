"""The webhook over real HTTP: whatever comes, the pod is admitted, and only a right patch is sent."""

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry

from snoop_operator import names
from snoop_operator.admission import jsonpatch, webhook
from snoop_operator.admission.surroundings import Runtime, View
from snoop_operator.admission.webhook import PodWebhook
from snoop_operator.mirror import Kind, Mirror
from snoop_operator.settings import Settings

Make = Callable[..., Any]
JSON = dict[str, Any]
OWNER = [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "u-rs", "controller": True}]


@dataclass
class World:
    """The webhook, served, over a real mirror."""

    client: TestClient[web.Request, web.Application]
    hook: PodWebhook
    mirror: Mirror
    registry: CollectorRegistry
    version: int = 1
    now: list[float] = field(default_factory=lambda: [0.0])

    def see(self, kind: Kind, body: JSON) -> None:
        self.version += 1
        body = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        self.mirror.see(kind, body)

    async def ask(self, pod: Any, **request: Any) -> JSON:
        asked = {"uid": "r-1", "operation": "CREATE", "kind": {"kind": "Pod"}, "namespace": "shop", "object": pod}
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {**asked, **request}}
        answer = await self.client.post(names.WEBHOOK_PATH, json=review)
        assert answer.status == 200
        body: JSON = await answer.json()
        assert body["apiVersion"] == "admission.k8s.io/v1"
        assert body["kind"] == "AdmissionReview"
        response: JSON = body["response"]
        assert response["uid"] == "r-1"
        assert response["allowed"] is True
        assert "warnings" not in response
        return response

    def counted(self, outcome: str, reason: str) -> float:
        return self.registry.get_sample_value("snoop_admissions_total", {"outcome": outcome, "reason": reason}) or 0.0


@pytest.fixture
async def world(settings: Settings, runtime: Runtime) -> AsyncIterator[World]:
    mirror, registry = Mirror(), CollectorRegistry()
    view: View = mirror
    now = [0.0]
    hook = PodWebhook(view, settings, lambda: runtime, registry, clock=lambda: now[0])
    app = web.Application()
    app.add_routes(hook.routes)
    async with TestClient(TestServer(app)) as client:
        world = World(client, hook, mirror, registry, now=now)
        world.see(Kind.NAMESPACES, {"metadata": {"name": "shop", "uid": "ns"}})
        spec = {"selector": {"matchLabels": {"app": "checkout"}}}
        world.see(Kind.PROFILES, {"metadata": {"name": "p", "namespace": "shop", "uid": "p"}, "spec": spec})
        mirror.prove(settings.agent_image)
        mirror.listed = True
        yield world


def patch_of(response: JSON) -> list[JSON]:
    assert response["patchType"] == "JSONPatch"
    patch: list[JSON] = json.loads(base64.b64decode(response["patch"]))
    return patch


async def test_a_selected_pod_gets_a_patch_that_puts_the_agent_first(world: World, pod: Make) -> None:
    given = pod({"initContainers": [{"name": "migrate", "image": "m"}]})
    response = await world.ask(given)
    patched = jsonpatch.apply(given, patch_of(response))
    assert [one["name"] for one in patched["spec"]["initContainers"]] == [names.CONTAINER, "migrate"]
    assert response["auditAnnotations"] == {"outcome": "injected", "profiles": "p"}
    assert world.counted("injected", "selected") == 1


async def test_a_pod_that_is_left_alone_gets_no_patch_and_the_reason_is_counted(world: World, pod: Make) -> None:
    response = await world.ask(pod(labels={"app": "cart"}))
    assert "patch" not in response
    assert response["auditAnnotations"] == {"outcome": "unchanged", "reason": "no_profile"}
    assert world.counted("unchanged", "no_profile") == 1


@pytest.mark.parametrize(
    "request_",
    [
        {"operation": "UPDATE"},
        {"kind": {"kind": "Deployment"}},
        {"object": None},
        {"subResource": "ephemeralcontainers"},
        {"kind": None},
    ],
)
async def test_what_is_not_a_new_pod_is_let_pass(request_: JSON, world: World, pod: Make) -> None:
    assert "patch" not in await world.ask(pod(), **request_)


@pytest.mark.parametrize(
    "broken",
    [
        {"spec": None},
        {"spec": {"containers": "none"}},
        {"spec": {"containers": [None]}},
        {"spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": "lots"}}}]}},
        {"spec": {"volumes": [1], "containers": []}},
        {"metadata": []},
        {"metadata": {"labels": ["app"]}},
    ],
)
async def test_a_pod_that_makes_no_sense_is_admitted_unchanged(broken: JSON, world: World, pod: Make) -> None:
    response = await world.ask({**pod(), **broken})
    assert "patch" not in response
    assert response["auditAnnotations"]["outcome"] in ("error", "unchanged")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"request": 1}', b'{"request": {}}', b"[" * 100_000])
async def test_garbage_is_answered_with_400_which_the_api_server_ignores(body: bytes, world: World) -> None:
    answer = await world.client.post(names.WEBHOOK_PATH, data=body)
    assert answer.status == 400
    assert world.counted("error", "bad_review") == 1


async def test_a_review_larger_than_any_pod_is_not_read(world: World) -> None:
    answer = await world.client.post(names.WEBHOOK_PATH, data=io.BytesIO(b" " * (webhook.BODY_LIMIT + 1)))
    assert answer.status == 413

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(80):
            yield b" " * 65_536

    answer = await world.client.post(names.WEBHOOK_PATH, data=endless())
    assert answer.status == 413
    assert world.counted("error", "too_large") == 2


async def test_a_review_that_does_not_arrive_is_given_up_in_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "BUDGET", 0.05)

    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(1)
        yield b"}"

    answer = await world.client.post(names.WEBHOOK_PATH, data=slow())
    assert answer.status == 408
    assert world.counted("error", "slow_body") == 1


async def test_before_the_cluster_has_been_listed_nothing_is_injected(world: World, pod: Make) -> None:
    world.mirror.listed = False
    assert (await world.ask(pod()))["auditAnnotations"]["reason"] == "operator_not_ready"


async def test_one_pod_of_an_owner_tries_an_unproven_image_and_a_dry_run_does_not_count(
    world: World, pod: Make, settings: Settings, runtime: Runtime
) -> None:
    world.hook._view = fresh = Mirror()
    world.mirror = fresh
    world.see(Kind.NAMESPACES, {"metadata": {"name": "shop", "uid": "ns"}})
    spec = {"selector": {"matchLabels": {"app": "checkout"}}}
    world.see(Kind.PROFILES, {"metadata": {"name": "p", "namespace": "shop", "uid": "p"}, "spec": spec})
    fresh.listed = True
    given = pod(ownerReferences=OWNER)
    assert "patch" in await world.ask(given, dryRun=True)
    first = await world.ask(given)
    assert (await world.ask(given))["auditAnnotations"]["reason"] == "agent_unproven"
    # The one that tries it is asked about again after another injector's turn.
    again = await world.ask(jsonpatch.apply(given, patch_of(first)))
    assert again["auditAnnotations"]["outcome"] == "injected"
    judged = world.hook.judge(pod(ownerReferences=OWNER, namespace="shop"))
    assert judged is not None
    assert judged.code == "agent_unproven"


async def test_an_owner_whose_pods_are_refused_after_us_gets_them_unchanged(world: World, pod: Make) -> None:
    given = pod(ownerReferences=OWNER)
    assert "patch" in await world.ask(given)
    world.now[0] = 1.5
    assert (await world.ask(given))["auditAnnotations"]["reason"] == "pod_rejected"


async def test_a_pod_that_comes_back_from_another_injector_is_renewed_and_not_counted_again(
    world: World, pod: Make
) -> None:
    given = pod(ownerReferences=OWNER)
    injected = jsonpatch.apply(given, patch_of(await world.ask(given)))
    assert "patch" not in await world.ask(injected)
    injected["spec"]["initContainers"].insert(0, {"name": "mesh", "image": "mesh:1"})
    moved = jsonpatch.apply(injected, patch_of(await world.ask(injected)))
    assert moved["spec"]["initContainers"][0]["name"] == names.CONTAINER
    assert world.counted("injected", "renewed") == 2


async def test_a_pod_from_before_the_profile_is_told_that_it_came_too_early(world: World, pod: Make) -> None:
    judged = world.hook.judge(pod(namespace="shop"))
    assert judged is not None
    assert judged.code == "created_before"
    assert world.hook.judge(pod(namespace="shop", labels={"app": "cart"})) is None


async def test_a_fault_of_ours_admits_the_pod_unchanged(
    world: World, pod: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(world.hook, "_runtime", lambda: 1 / 0)
    response = await world.ask(pod())
    assert response["auditAnnotations"] == {"outcome": "error", "reason": "ZeroDivisionError"}
    assert world.counted("error", "internal_error") == 1
    assert "admitted unchanged" in caplog.text
