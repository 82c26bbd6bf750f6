import gzip
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry

from snoop_operator import names
from snoop_operator.ingest.api import Ingest
from snoop_operator.ingest.authentication import Authenticator, InvalidTokenError, ReviewUnavailableError, TokenIdentity
from snoop_operator.store.sql import SqlStore, open_sqlite
from snoop_report.codec import dumps_delta
from snoop_report.model import ContainerReport, Delta, Identity, Kind, Observation, Outcome, Report

NGINX = Identity("nginx", "nginx:1.27", "sha256:" + "a" * 64)


class Reviewer:
    """Stands in for the API server: tokens by name."""

    def __init__(self) -> None:
        self.tokens = {
            "web-1": TokenIdentity("shop", "web-1", "u1", "node-1", "default"),
            "web-2": TokenIdentity("shop", "web-2", "u2", "node-1", "default"),
            "unbound": TokenIdentity("shop", "", ""),
        }
        self.asked: list[tuple[str, str]] = []
        self.away = False

    async def review(self, token: str, audience: str) -> TokenIdentity:
        self.asked.append((token, audience))
        if self.away:
            raise ReviewUnavailableError("the API server is away")
        if token not in self.tokens:
            raise InvalidTokenError("the API server does not know the token")
        return self.tokens[token]


class Directory:
    """Stands in for the mirror."""

    def __init__(self) -> None:
        self.known: dict[str, Mapping[str, Identity]] = {"u1": {"c1": NGINX}}

    def identities(self, pod_uid: str) -> Mapping[str, Identity]:
        return self.known.get(pod_uid, {})


class Bench:
    """An ingest server over a real store, and a client that posts to it."""

    def __init__(self, store: SqlStore) -> None:
        self.store = store
        self.reviewer = Reviewer()
        self.directory = Directory()
        self.registry = CollectorRegistry()
        self.reported: list[str] = []
        self.ca_bundle = ""
        self.ingest = Ingest(
            store,
            Authenticator(self.reviewer, names.AUDIENCE),
            self.directory,
            self.registry,
            on_report=self.reported.append,
            ca_bundle=lambda: self.ca_bundle,
            clock=lambda: 1000.0,
        )
        self.client: TestClient[web.Request, web.Application]

    def delta(self, sequence: int = 1, files: int = 1, **more: Any) -> Delta:
        container = ContainerReport("c1", 7, "/kubepods/c1", total_events=10, dropped_events=2)
        for number in range(files):
            seen = Observation(f"/f{number}", f"/f{number}", Outcome.EXISTS, frozenset({Kind.READ}), 1.0, 1.0)
            container.observations[seen.key] = seen
        return Delta("b1", sequence, Report(containers=[container]), **more)

    async def post(
        self,
        body: bytes | Delta | None = None,
        token: str = "web-1",
        zipped: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> ClientResponse:
        raw = dumps_delta(self.delta() if body is None else body) if not isinstance(body, bytes) else body
        given = {"Authorization": f"Bearer {token}", **(headers or {})}
        if zipped:
            raw, given["Content-Encoding"] = gzip.compress(raw), "gzip"
        return await self.client.post(names.INGEST_PATH, data=raw, headers=given)

    def sample(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    store = await open_sqlite(tmp_path / "snoop.db", wait=0)
    made = Bench(store)
    app = web.Application()
    app.add_routes(made.ingest.routes)
    made.client = TestClient(TestServer(app))
    await made.client.start_server()
    yield made
    await made.client.close()
    await store.close()
