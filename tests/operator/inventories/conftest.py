"""A registry that speaks as the distribution API does, an image in it, and evidence about it in a real store."""

import base64
import hashlib
import http.server
import io
import json
import tarfile
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from snoop_operator.apiclient import DeniedError, NotFoundError
from snoop_operator.inventories.findings import Known
from snoop_operator.inventories.keeper import Inventories
from snoop_operator.profile import Profile, Selector
from snoop_operator.settings import Settings
from snoop_operator.store.interface import PodKey
from snoop_operator.store.sql import SqlStore, open_sqlite
from snoop_operator.workload import PodState
from snoop_report.model import AgentInfo, ContainerReport, Delta, Gap, Identity, Kind, Observation, Outcome, Report

USED, UNUSED = "/srv/app/used.txt", "/srv/app/unused.txt"
PACKAGE = "Package: idle\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n\n"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def layer(files: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name.lstrip("/"))
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


class Registry:
    """Serves blobs and manifests; with a password if one is set."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.content: dict[str, tuple[str, bytes]] = {}
        self.password = ""
        self.asked: list[str] = []
        self.broken = False

    def push(self, files: dict[str, bytes], *, index: bool = False) -> str:
        """Put an image in; gives the digest by which a node would know it."""
        tar = layer(files)
        config = json.dumps(
            {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest_of(tar)]}}
        ).encode()
        kind = "application/vnd.oci.image.manifest.v1+json"
        manifest = {
            "schemaVersion": 2,
            "mediaType": kind,
            "config": self._blob("application/vnd.oci.image.config.v1+json", config),
            "layers": [self._blob("application/vnd.oci.image.layer.v1.tar", tar)],
        }
        told = self._manifest(kind, manifest)
        if not index:
            return str(told["digest"])
        kind = "application/vnd.oci.image.index.v1+json"
        named = [{**told, "platform": {"architecture": one, "os": "linux"}} for one in ("amd64", "arm64")]
        return str(self._manifest(kind, {"schemaVersion": 2, "mediaType": kind, "manifests": named})["digest"])

    def _blob(self, kind: str, content: bytes) -> dict[str, Any]:
        digest = digest_of(content)
        self.content[f"/v2/app/blobs/{digest}"] = ("application/octet-stream", content)
        return {"mediaType": kind, "digest": digest, "size": len(content)}

    def _manifest(self, kind: str, document: dict[str, Any]) -> dict[str, Any]:
        content = json.dumps(document).encode()
        digest = digest_of(content)
        self.content[f"/v2/app/manifests/{digest}"] = (kind, content)
        return {"mediaType": kind, "digest": digest, "size": len(content)}


@pytest.fixture
def registry() -> Iterator[Registry]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
            pass

        def do_GET(self) -> None:
            made.asked.append(self.path)
            known = "Basic " + base64.b64encode(f"person:{made.password}".encode()).decode()
            if made.password and self.headers.get("Authorization") != known:
                self.reply(401, "application/json", b"{}", {"WWW-Authenticate": 'Basic realm="test"'})
            elif made.broken or self.path not in made.content:
                self.reply(404, "application/json", b'{"errors":[{"code":"UNKNOWN","message":"unknown"}]}')
            else:
                self.reply(200, *made.content[self.path])

        def reply(self, status: int, kind: str, body: bytes, more: dict[str, str] | None = None) -> None:
            self.send_response(status)
            headers = {"Content-Type": kind, "Content-Length": str(len(body)), **(more or {})}
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made = Registry(f"127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield made
        server.shutdown()
        thread.join()


class Secrets:
    """The API server's Secrets, which may be granted or not."""

    def __init__(self) -> None:
        self.held: dict[str, dict[str, Any]] = {}
        self.granted = True

    def add(self, name: str, host: str, password: str) -> None:
        auth = base64.b64encode(f"person:{password}".encode()).decode()
        content = json.dumps({"auths": {host: {"auth": auth}}}).encode()
        self.held[name] = {"data": {".dockerconfigjson": base64.b64encode(content).decode()}}

    async def get_secret(self, namespace: str, name: str) -> dict[str, Any]:
        if not self.granted:
            raise DeniedError(f"GET {namespace}/{name}: 403", 403)
        if name not in self.held:
            raise NotFoundError(f"GET {namespace}/{name}: 404", 404)
        return self.held[name]


class World:
    """An image in a registry, pods that ran it, and what is made of both."""

    def __init__(self, store: SqlStore, folder: Path, registry: Registry) -> None:
        self.store, self.registry = store, registry
        self.now = 1000.0
        self.secrets = Secrets()
        self.news: list[tuple[str, str]] = []
        self.profile = Profile("shop", "web", "p1", 1, Selector((("app", "web"),)))
        self.pods: list[PodState] = []
        self.files = {
            USED: b"u" * 1000,
            UNUSED: b"n" * 5000,
            "/var/lib/dpkg/status": PACKAGE.encode(),
            "/var/lib/dpkg/info/idle.list": f"{UNUSED}\n".encode(),
        }
        self.digest = ""
        settings = Settings(agent_image="agent", work_directory=folder / "work", inventory=True)
        self.settings = settings
        self.inventories = Inventories(
            store, folder / "evidence.sqlite", self.secrets, settings, lambda *key: self.news.append(key), self.clock
        )

    def clock(self) -> float:
        return self.now

    @property
    def image(self) -> str:
        return f"{self.registry.host}/app:1"

    async def report(self, uid: str, *paths: str, gaps: tuple[Gap, ...] = (), sequence: int = 1) -> None:
        container = ContainerReport(f"c-{uid}", 7, f"/c-{uid}", started_at=90.0)
        for path in paths:
            seen = Observation(path, path, Outcome.EXISTS, frozenset({Kind.READ}), 100.0, 100.0)
            container.observations[seen.key] = seen
        agent = AgentInfo("0.1.0", "6.1", "vfs", "fexit")
        report = Report(started_at=90.0, containers=[container], gaps=list(gaps), agent=agent)
        known = {container.id: Identity("web", self.image, self.digest)}
        pod = PodState(
            "shop", uid, uid, "n", {"app": "web"}, phase="Running", injected=True, containers=known,
            pull_secrets=("pull",),
        )  # fmt: skip
        self.pods = [*(one for one in self.pods if one.uid != uid), pod]
        await self.store.note_pods([pod])
        key = PodKey("shop", uid, uid, "n")
        await self.store.accept(key, Delta("b", sequence, report, sequence == 1, False, 1), known, self.now)

    async def look(self) -> Known:
        evidence = await self.store.evidence(self.profile, self.now, [pod.uid for pod in self.pods])
        return self.inventories.look(self.profile, evidence, self.pods)

    async def work(self) -> Known:
        """Do all that is due now."""
        await self.look()
        while True:
            job, _ = self.inventories._next()
            if job is None:
                return await self.look()
            await self.inventories.work(job)


@pytest.fixture
async def world(tmp_path: Path, registry: Registry) -> AsyncIterator[World]:
    store = await open_sqlite(tmp_path / "evidence.sqlite", wait=0)
    made = World(store, tmp_path, registry)
    made.digest = registry.push(made.files)
    yield made
    await store.close()
