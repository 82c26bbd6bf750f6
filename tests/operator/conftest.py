"""An API server to test against: real HTTP, resource versions, watches and conflicts; no admission, no validation."""

import asyncio
import copy
import json
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

JSON = dict[str, Any]

_KINDS = {
    ("", "v1"): ["namespaces", "pods", "limitranges", "resourcequotas", "secrets", "services"],
    ("snoop.dev", "v1alpha1"): ["snoopprofiles"],
    ("events.k8s.io", "v1"): ["events"],
    ("admissionregistration.k8s.io", "v1"): ["mutatingwebhookconfigurations"],
}
_CLUSTER_WIDE = {"namespaces", "mutatingwebhookconfigurations"}


class APIServer:
    """Objects by path. `calls` tells what was asked; `refuse` makes it fail."""

    def __init__(self) -> None:
        self.objects: dict[str, JSON] = {}
        self.calls: list[tuple[str, str]] = []
        self.tokens: dict[str, JSON] = {}
        self.refuse: Callable[[str, str], int] = lambda method, path: 0
        self._epoch = 0
        self._version = 100
        self._log: list[tuple[int, str, str, JSON]] = []
        self._news = asyncio.Condition()
        self.url = ""

    def app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 24)
        app.router.add_route("*", "/{path:.*}", self._serve)
        return app

    async def put(self, path: str, body: JSON) -> JSON:
        """Create or replace an object as the cluster itself would."""
        fresh = copy.deepcopy(body)
        known = self.objects.get(path)
        self._version += 1
        metadata = fresh.setdefault("metadata", {})
        metadata["name"] = path.rpartition("/")[2]
        if "/namespaces/" in path and not path.endswith(f"/namespaces/{metadata['name']}"):
            metadata["namespace"] = path.split("/namespaces/")[1].split("/")[0]
        metadata["uid"] = known["metadata"]["uid"] if known else metadata.get("uid") or str(uuid.uuid4())
        metadata.setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
        metadata["resourceVersion"] = str(self._version)
        if known is not None and known.get("spec") != fresh.get("spec"):
            metadata["generation"] = known["metadata"].get("generation", 1) + 1
        else:
            metadata.setdefault("generation", 1)
        self.objects[path] = fresh
        await self._publish("MODIFIED" if known else "ADDED", path, fresh)
        return fresh

    async def remove(self, path: str, quietly: bool = False) -> JSON:
        """Delete an object; `quietly` as if it happened while the watch was away."""
        self._version += 1
        body = self.objects.pop(path)
        body["metadata"]["resourceVersion"] = str(self._version)
        if not quietly:
            await self._publish("DELETED", path, body)
        return body

    async def expire(self) -> None:
        """End every watch with 410, as after a long absence."""
        async with self._news:
            self._epoch += 1
            self._news.notify_all()

    async def _publish(self, kind: str, path: str, body: JSON) -> None:
        async with self._news:
            self._log.append((self._version, kind, path, copy.deepcopy(body)))
            self._news.notify_all()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        path = "/" + request.match_info["path"]
        self.calls.append((request.method, path))
        status = self.refuse(request.method, path)
        if status:
            return _status(status, "Refused", "the test says so")
        if request.method == "GET":
            return await self._get(request, path)
        body = json.loads(await request.read() or b"{}")
        if path.endswith("/tokenreviews"):
            told = self.tokens.get(body["spec"]["token"], {"authenticated": False})
            return web.json_response({**body, "status": told})
        if request.method == "POST":
            target = f"{path}/{body['metadata']['name']}"
            if target in self.objects:
                return _status(409, "AlreadyExists", f"{target} already exists")
            return web.json_response(await self.put(target, body), status=201)
        target = path.removesuffix("/status")
        known = self.objects.get(target)
        if known is None:
            return _status(404, "NotFound", f"{target} not found")
        if request.method == "DELETE":
            return web.json_response(await self.remove(target))
        if request.method == "PUT":
            if body["metadata"].get("resourceVersion") != known["metadata"]["resourceVersion"]:
                return _status(409, "Conflict", "the object has been modified")
            return web.json_response(await self.put(target, body))
        patched = copy.deepcopy(known)
        for step in body:
            if not _apply(patched, step):
                return _status(422, "Invalid", f"test failed: {step['path']}")
        return web.json_response(known if patched == known else await self.put(target, patched))

    async def _get(self, request: web.Request, path: str) -> web.StreamResponse:
        if path == "/version":
            return web.json_response({"major": "1", "minor": "34", "gitVersion": "v1.34.0"})
        discovery = _discovery(path)
        if discovery is not None:
            return web.json_response(discovery)
        if path in self.objects:
            return web.json_response(self.objects[path])
        if not any(path.endswith(f"/{plural}") for plurals in _KINDS.values() for plural in plurals):
            return _status(404, "NotFound", f"{path} not found")
        if request.query.get("watch"):
            return await self._watch(request, path)
        found = [body for key, body in sorted(self.objects.items()) if _within(key, path)]
        for term in filter(None, request.query.get("labelSelector", "").split(",")):
            label, _, value = term.partition("=")
            found = [one for one in found if (one["metadata"].get("labels") or {}).get(label) == value]
        start = int(request.query.get("continue") or 0)
        limit = int(request.query.get("limit") or 0) or len(found) or 1
        metadata: JSON = {"resourceVersion": str(self._version)}
        if start + limit < len(found):
            metadata["continue"] = str(start + limit)
        return web.json_response({"kind": "List", "metadata": metadata, "items": found[start : start + limit]})

    async def _watch(self, request: web.Request, path: str) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_type = "application/json"
        await response.prepare(request)
        since = int(request.query.get("resourceVersion") or 0)
        epoch = self._epoch
        while True:
            async with self._news:
                if epoch != self._epoch:
                    error = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}
                    await response.write(json.dumps(error).encode() + b"\n")
                    return response
                news = [one for one in self._log if one[0] > since and _within(one[2], path)]
                if not news:
                    await self._news.wait()
                    continue
            for version, kind, _, body in news:
                since = version
                await response.write(json.dumps({"type": kind, "object": body}).encode() + b"\n")


def _within(key: str, path: str) -> bool:
    """Whether the object at `key` is in the list at `path`, which may span namespaces."""
    parent = key.rpartition("/")[0]
    if parent == path:
        return True
    plural = path.rpartition("/")[2]
    root = path.removesuffix(f"/{plural}")
    return plural not in _CLUSTER_WIDE and parent.startswith(f"{root}/namespaces/") and parent.endswith(f"/{plural}")


def _discovery(path: str) -> JSON | None:
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        groups = []
        for group, version in _KINDS:
            named = {"groupVersion": f"{group}/{version}", "version": version}
            groups.append({"name": group, "versions": [named], "preferredVersion": named})
        return {"kind": "APIGroupList", "groups": [one for one in groups if one["name"]]}
    for (group, version), plurals in _KINDS.items():
        if path == (f"/apis/{group}/{version}" if group else f"/api/{version}"):
            resources = [
                {
                    "name": plural,
                    "singularName": plural[:-1],
                    "kind": plural[:-1].title(),
                    "namespaced": plural not in _CLUSTER_WIDE,
                    "verbs": ["list", "watch", "get", "patch"],
                }
                for plural in plurals
            ]
            return {"kind": "APIResourceList", "groupVersion": f"{group}/{version}".strip("/"), "resources": resources}
    return None


def _apply(document: JSON, step: JSON) -> bool:
    *parents, last = step["path"].strip("/").split("/")
    target: Any = document
    for name in parents:
        target = target[int(name)] if isinstance(target, list) else target.setdefault(name, {})
    if step["op"] == "test":
        return bool(target.get(last) == step["value"])
    target[last] = step["value"]
    return True


def _status(code: int, reason: str, message: str) -> web.Response:
    body = {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}
    return web.json_response(body, status=code)


@pytest.fixture
async def api(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[APIServer]:
    """An API server that KUBECONFIG points to."""
    served = APIServer()
    server = TestServer(served.app())
    await server.start_server(shutdown_timeout=0.1)
    served.url = str(server.make_url("")).rstrip("/")
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": served.url}}],
        "users": [{"name": "test", "user": {"token": "secret"}}],
    }
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(file))
    yield served
    await server.close()


async def eventually(check: Callable[[], Any], seconds: float = 5.0) -> Any:
    """Wait until `check` gives something true, and return it."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while True:
        found = check()
        if found:
            return found
        if loop.time() > until:
            raise AssertionError("it did not happen in time")
        await asyncio.sleep(0.02)


@pytest.fixture(name="eventually")
def _eventually() -> Callable[..., Any]:
    return eventually
