"""Whoever shows a good ticket reads the namespace's reports, once; nobody else reads anything."""

import hashlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from snoop_operator import names
from snoop_operator.apiclient import ConflictError, NotFoundError, UnavailableError
from snoop_operator.cluster import Chunk
from snoop_operator.mirror import Kind, Mirror
from snoop_operator.podstate import pod_state
from snoop_operator.reading.api import Reading
from snoop_operator.reading.tickets import Tickets
from snoop_operator.store.interface import PodKey, StoreError
from snoop_operator.store.sql import SqlStore, open_sqlite
from snoop_report.codec import report_from_dict
from snoop_report.model import ContainerReport, Delta, Identity, Observation, Outcome, Report
from snoop_report.model import Kind as Use

NOW = 1_800_000_000.0
NONCE = "n" * 43


class Cluster:
    """The API server's tickets, by namespace and name."""

    def __init__(self) -> None:
        self.tickets: dict[tuple[str, str], dict[str, Any]] = {}
        self.away = False

    def make(self, name: str = "t1", namespace: str = "shop", nonce: str = NONCE, age: float = 1.0) -> str:
        created = datetime.fromtimestamp(NOW - age, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        metadata = {"name": name, "namespace": namespace, "uid": f"u-{name}", "creationTimestamp": created}
        spec = {"nonceHash": hashlib.sha256(nonce.encode()).hexdigest()}
        self.tickets[namespace, name] = {"metadata": metadata, "spec": spec}
        return f"{name}.{nonce}"

    async def get_ticket(self, namespace: str, name: str) -> dict[str, Any]:
        if self.away:
            raise UnavailableError("the API server is away")
        if (namespace, name) not in self.tickets:
            raise NotFoundError("not found", 404)
        return self.tickets[namespace, name]

    async def delete_ticket(self, namespace: str, name: str, uid: str) -> None:
        known = await self.get_ticket(namespace, name)
        if known["metadata"]["uid"] != uid:
            raise ConflictError("another one", 409)
        del self.tickets[namespace, name]

    async def list_tickets(self) -> AsyncIterator[Chunk]:
        yield Chunk(list(self.tickets.values()), 1)


class Bench:
    def __init__(self, store: SqlStore, cluster: Cluster, client: TestClient[web.Request, web.Application]) -> None:
        self.store, self.cluster, self.client = store, cluster, client

    async def read(self, ticket: str, namespace: str = "shop", profile: str = "web") -> ClientResponse:
        path = names.REPORTS_PATH.format(namespace=namespace, profile=profile)
        return await self.client.get(path, headers={names.TICKET_HEADER: ticket})


def profile(namespace: str) -> dict[str, Any]:
    return {
        "metadata": {"namespace": namespace, "name": "web", "uid": f"p-{namespace}", "resourceVersion": "1"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "containers": {"exclude": ["proxy"]}},
        "status": {"phase": "Recording"},
    }


def pod(name: str, namespace: str = "shop", app: str = "web") -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": namespace,
            "name": name,
            "uid": f"u-{name}",
            "resourceVersion": "1",
            "labels": {"app": app, names.INJECTED: "true"},
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"containers": [{"name": "app"}], "initContainers": [{"name": names.CONTAINER}]},
        "status": {"phase": "Running"},
    }


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    store = await open_sqlite(tmp_path / "snoop.db", wait=0)
    mirror, cluster = Mirror(), Cluster()
    for namespace in ("shop", "bank"):
        mirror.see(Kind.PROFILES, profile(namespace))
    for raw in (pod("web-1"), pod("web-2"), pod("db-1", app="db"), pod("vault-1", namespace="bank")):
        await store.note_pods([pod_state(raw)])
        namespace, name = raw["metadata"]["namespace"], raw["metadata"]["name"]
        containers = [ContainerReport(one, 1, f"/{one}") for one in (f"{name}-app", f"{name}-proxy")]
        for one in containers:
            seen = Observation(f"/{one.id}", f"/{one.id}", Outcome.EXISTS, frozenset({Use.READ}), NOW, NOW)
            one.observations[seen.key] = seen
        known = {one.id: Identity(one.id.rpartition("-")[2], "image", "sha256:1") for one in containers}
        await store.accept(
            PodKey(namespace, name, f"u-{name}"), Delta("b", 1, Report(containers=containers)), known, NOW
        )
    app = web.Application()
    tickets: Any = cluster
    app.add_routes(Reading(store, mirror, Tickets(tickets, lambda: NOW), lambda: NOW).routes)
    client: TestClient[web.Request, web.Application] = TestClient(TestServer(app))
    await client.start_server()
    yield Bench(store, cluster, client)
    await client.close()
    await store.close()


async def test_a_ticket_opens_the_reports_of_the_profiles_pods_and_containers(bench: Bench) -> None:
    response = await bench.read(bench.cluster.make())
    assert response.status == 200
    head, *reports, end = [json.loads(line) for line in (await response.text()).splitlines()]
    assert (head["profile"], head["namespace"], head["pods"]) == ("web", "shop", 2)
    assert head["status"] == {"phase": "Recording"}
    assert head["store"] == bench.store.id
    assert end == {"end": True, "reports": 2}
    read = [report_from_dict(line["report"]) for line in reports]
    assert sorted((one.pod_name, [kept.name for kept in one.containers]) for one in read) == [
        ("web-1", ["app"]),
        ("web-2", ["app"]),
    ]
    assert read[0].containers[0].files == [f"/{read[0].pod_name}-app"]


async def test_it_opens_once(bench: Bench) -> None:
    ticket = bench.cluster.make()
    assert (await bench.read(ticket)).status == 200
    assert bench.cluster.tickets == {}
    again = await bench.read(ticket)
    assert again.status == 401
    assert (await again.json())["code"] == "bad_ticket"


@pytest.mark.parametrize(
    ("ticket", "words"),
    [
        ("", "no ticket was shown"),
        ("t1", "no ticket was shown"),
        ("../t1." + NONCE, "no ticket was shown"),
        ("t1." + "m" * 43, "not the ticket's"),
        ("t2." + NONCE, "no ticket t2"),
        ("T1." + NONCE, "no ticket was shown"),
    ],
)
async def test_what_is_no_ticket_opens_nothing_and_uses_none_up(bench: Bench, ticket: str, words: str) -> None:
    bench.cluster.make()
    response = await bench.read(ticket)
    assert response.status == 401
    assert words in (await response.json())["message"]
    assert len(bench.cluster.tickets) == 1


@pytest.mark.parametrize(("age", "status"), [(59.0, 200), (62.0, 401), (-5.0, 200), (-20.0, 401)])
async def test_it_is_good_for_a_minute(bench: Bench, age: float, status: int) -> None:
    assert (await bench.read(bench.cluster.make(age=age))).status == status


async def test_one_namespaces_ticket_opens_no_other(bench: Bench) -> None:
    response = await bench.read(bench.cluster.make(namespace="bank"), namespace="shop")
    assert response.status == 401
    response = await bench.read(bench.cluster.make(namespace="bank"), namespace="bank")
    lines = [json.loads(line) for line in (await response.text()).splitlines()]
    assert [line["report"]["pod_name"] for line in lines[1:-1]] == ["vault-1"]


async def test_which_profiles_there_are_is_told_to_no_stranger(bench: Bench) -> None:
    assert (await bench.read("t9." + NONCE, profile="nothing")).status == 401
    response = await bench.read(bench.cluster.make(), profile="nothing")
    assert response.status == 404
    assert "no SnoopProfile nothing in namespace shop" in (await response.json())["message"]


async def test_an_api_server_that_is_away_is_said(bench: Bench) -> None:
    ticket = bench.cluster.make()
    bench.cluster.away = True
    response = await bench.read(ticket)
    assert (response.status, (await response.json())["code"]) == (503, "no_cluster")


async def test_a_store_that_fails_on_the_way_leaves_no_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_: str, __: float) -> None:
        raise StoreError("the disk is gone")

    monkeypatch.setattr(bench.store, "report", broken)
    lines = (await (await bench.read(bench.cluster.make())).text()).splitlines()
    assert json.loads(lines[-1]) == {"error": "the disk is gone"}


async def test_tickets_that_nobody_showed_are_cleared_away() -> None:
    cluster = Cluster()
    cluster.make("old", age=100.0)
    cluster.make("young", age=10.0)
    anything: Any = cluster
    await Tickets(anything, lambda: NOW).clear()
    assert [name for _, name in cluster.tickets] == ["young"]
