"""Calls to the API server, over real HTTP."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from snoop_operator.apiclient import (
    ClusterError,
    ConflictError,
    DeniedError,
    NoClusterError,
    NotFoundError,
    UnavailableError,
    connect,
    read_answer,
)
from snoop_operator.cluster import Cluster, TokenRefusedError, read_token_review

PROFILES = "/apis/snoop.dev/v1alpha1/namespaces/shop/snoopprofiles"


@pytest.fixture
async def cluster(api: Any) -> AsyncIterator[Cluster]:
    made = Cluster(await connect())
    yield made
    await made.close()


async def test_a_list_longer_than_a_chunk_comes_whole(api: Any, cluster: Cluster) -> None:
    for number in range(260):
        await api.put(f"/api/v1/namespaces/shop/pods/p{number}", {})

    found = [pod["metadata"]["name"] async for chunk in cluster.list_pods("shop") for pod in chunk.items]

    assert len(set(found)) == 260


async def test_a_status_is_replaced_whole(api: Any, cluster: Cluster) -> None:
    made = await api.put(f"{PROFILES}/web", {"status": {"phase": "Pending", "old": 1}})

    await cluster.set_status("shop", "web", made["metadata"]["uid"], {"phase": "Recording"})

    assert api.objects[f"{PROFILES}/web"]["status"] == {"phase": "Recording"}


async def test_a_profile_made_anew_does_not_get_its_predecessors_status(api: Any, cluster: Cluster) -> None:
    await api.put(f"{PROFILES}/web", {})

    with pytest.raises(ClusterError) as caught:
        await cluster.set_status("shop", "web", "the-one-before", {"phase": "Recording"})

    assert caught.value.status == 422
    assert "status" not in api.objects[f"{PROFILES}/web"]


async def test_a_deleted_profile_is_told_apart_from_other_failures(api: Any, cluster: Cluster) -> None:
    with pytest.raises(NotFoundError):
        await cluster.set_status("shop", "web", "uid", {})


async def test_a_secret_is_not_written_over_somebody_elses_newer_one(api: Any, cluster: Cluster) -> None:
    read = await api.put("/api/v1/namespaces/own/secrets/keys", {"data": {"a": "1"}})
    stale = {**read, "metadata": dict(read["metadata"])}
    await api.put("/api/v1/namespaces/own/secrets/keys", {"data": {"a": "2"}})

    with pytest.raises(ConflictError):
        await cluster.replace_secret("own", {**stale, "data": {"a": "3"}})


async def test_a_token_of_another_audience_is_refused(api: Any, cluster: Cluster) -> None:
    api.tokens["t"] = {"authenticated": True, "audiences": ["elsewhere"], "user": {"username": "x"}}

    with pytest.raises(TokenRefusedError, match="not meant for"):
        await cluster.review_token("t", "snoop.dev/ingest")


async def test_a_pods_token_tells_whose_it_is(api: Any, cluster: Cluster) -> None:
    extra = {
        "authentication.kubernetes.io/pod-name": ["web-1"],
        "authentication.kubernetes.io/pod-uid": ["u-1"],
        "authentication.kubernetes.io/node-name": ["n-1"],
    }
    user = {"username": "system:serviceaccount:shop:default", "extra": extra}
    api.tokens["t"] = {"authenticated": True, "audiences": ["snoop.dev/ingest"], "user": user}

    told = await cluster.review_token("t", "snoop.dev/ingest")

    assert (told.username, told.pod_name, told.pod_uid, told.node) == (user["username"], "web-1", "u-1", "n-1")


def test_an_api_server_that_ignores_audiences_proves_nothing() -> None:
    with pytest.raises(TokenRefusedError):
        read_token_review({"status": {"authenticated": True, "user": {"username": "x"}}}, "snoop.dev/ingest")


async def test_an_api_server_that_is_away_is_worth_another_try(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await connect()
    client._configuration.host = "http://127.0.0.1:1"
    cluster = Cluster(client)
    with pytest.raises(UnavailableError, match="GET /version"):
        await cluster.get_version()
    await cluster.close()


@pytest.mark.parametrize(("status", "kind"), [(403, DeniedError), (429, UnavailableError), (503, UnavailableError)])
def test_answers_are_told_apart_by_their_status(status: int, kind: type[ClusterError]) -> None:
    with pytest.raises(kind, match="upstream says no"):
        read_answer("GET /x", status, b"upstream says no")


async def test_without_any_cluster_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(NoClusterError, match="not in a cluster"):
        await connect()


async def test_a_kubeconfig_that_cannot_be_read_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    file = tmp_path / "broken"
    await asyncio.to_thread(file.write_text, "not: [a kubeconfig")
    monkeypatch.setenv("KUBECONFIG", str(file))
    with pytest.raises(NoClusterError, match="cannot read"):
        await connect()
