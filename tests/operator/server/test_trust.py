"""Keys in the Secret, caBundle in the webhook configuration."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest

from snoop_operator.apiclient import NotFoundError, connect
from snoop_operator.cluster import Cluster
from snoop_operator.trust import Trust, ca_patch

SECRET = "/api/v1/namespaces/own/secrets/keys"
HOOK = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/snoop"
NOW = 1_800_000_000.0


@pytest.fixture
async def cluster(api: Any) -> AsyncIterator[Cluster]:
    await api.put(HOOK, {"webhooks": [{"name": "a", "clientConfig": {}}, {"name": "b", "clientConfig": {}}]})
    made = Cluster(await connect())
    yield made
    await made.close()


def trust(cluster: Cluster) -> Trust:
    return Trust(cluster, "own", "keys", "snoop", ("op.own.svc",), lambda: NOW)


def bundle_of(api: Any, index: int = 0) -> str:
    return base64.b64decode(api.objects[HOOK]["webhooks"][index]["clientConfig"]["caBundle"]).decode()


async def test_the_first_start_makes_keys_and_has_every_webhook_trust_them(api: Any, cluster: Cluster) -> None:
    made = trust(cluster)
    await made.start()
    await made.announce()
    assert made.announced
    assert bundle_of(api, 0) == bundle_of(api, 1) == made.ca_bundle() != ""
    assert api.objects[SECRET]["type"] == "kubernetes.io/tls"


async def test_the_next_start_takes_the_same_keys_and_writes_nothing(api: Any, cluster: Cluster) -> None:
    first = trust(cluster)
    await first.start()
    await first.announce()
    api.calls.clear()
    second = trust(cluster)
    await second.start()
    await second.announce()
    assert second.ca_bundle() == first.ca_bundle()
    assert {method for method, _ in api.calls} == {"GET"}


async def test_two_replicas_that_start_together_end_up_with_one_ca(api: Any, cluster: Cluster) -> None:
    mine, theirs = trust(cluster), trust(cluster)
    raced = False

    def race(method: str, path: str) -> int:
        nonlocal raced
        if method == "POST" and path.endswith("/secrets") and not raced:
            raced = True
            return 409
        return 0

    api.refuse = race
    await theirs.start()
    await mine.start()
    assert raced
    assert mine.ca_bundle() == theirs.ca_bundle()


async def test_a_bundle_that_somebody_changed_is_put_right(api: Any, cluster: Cluster) -> None:
    made = trust(cluster)
    await made.start()
    await made.announce()
    api.objects[HOOK]["webhooks"][1]["clientConfig"]["caBundle"] = "Zm9yZWlnbg=="
    await made.announce()
    assert bundle_of(api, 1) == made.ca_bundle()


async def test_a_deleted_secret_comes_back_with_the_keys_that_agents_trust(api: Any, cluster: Cluster) -> None:
    made = trust(cluster)
    await made.start()
    before = made.ca_bundle()
    await api.remove(SECRET)
    await made.start()
    assert made.ca_bundle() == before
    assert base64.b64decode(api.objects[SECRET]["data"]["ca.crt"]).decode() in before


async def test_without_a_webhook_configuration_it_is_not_announced(api: Any, cluster: Cluster) -> None:
    await api.remove(HOOK)
    made = trust(cluster)
    await made.start()
    with pytest.raises(NotFoundError):
        await made.announce()
    assert not made.announced


def test_a_patch_is_tied_to_the_webhooks_name() -> None:
    patch = ca_patch({"webhooks": [{"name": "a", "clientConfig": {}}]}, "pem")
    assert patch[0] == {"op": "test", "path": "/webhooks/0/name", "value": "a"}
    assert ca_patch({"webhooks": []}, "pem") == []
