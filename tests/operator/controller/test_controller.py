"""kopf's watches and our lists, against an API server over real HTTP."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from snoop_operator.apiclient import connect
from snoop_operator.cluster import Cluster
from snoop_operator.controller import Controller
from snoop_operator.mirror import Change, Kind, Mirror

PROFILES = "/apis/snoop.dev/v1alpha1/namespaces/shop/snoopprofiles"
PODS = "/api/v1/namespaces/shop/pods"
SPEC = {"selector": {"matchLabels": {"app": "web"}}}


class Running:
    def __init__(self, cluster: Cluster) -> None:
        self.mirror = Mirror()
        self.changes: list[Change] = []
        self.controller = Controller(cluster, self.mirror, self.changes.append)
        self.tasks = [
            asyncio.create_task(self.controller.watch()),
            asyncio.create_task(self.controller.relist(3600)),
        ]


@pytest.fixture
async def running(api: Any, eventually: Any) -> AsyncIterator[Running]:
    await api.put("/api/v1/namespaces/shop", {"metadata": {"labels": {"team": "a"}}})
    await api.put(f"{PROFILES}/web", {"spec": SPEC})
    await api.put(f"{PODS}/web-1", {"spec": {}, "metadata": {"labels": {"app": "web"}}})
    cluster = Cluster(await connect())
    made = Running(cluster)
    yield made
    for task in made.tasks:
        task.cancel()
    await asyncio.gather(*made.tasks, return_exceptions=True)
    await cluster.close()


def watching(api: Any) -> bool:
    return sum(call[1] == "/api/v1/pods" for call in api.calls) >= 3  # our list, kopf's list, kopf's watch


async def test_the_first_list_is_whole_before_anything_is_ready(running: Running, eventually: Any) -> None:
    await eventually(lambda: running.mirror.listed)
    assert [one.name for one in running.mirror.pods("shop")] == ["web-1"]
    state = running.mirror.namespace("shop")
    assert state is not None
    assert state.labels["team"] == "a"


async def test_changes_are_followed(api: Any, running: Running, eventually: Any) -> None:
    await eventually(lambda: watching(api))
    await api.put(f"{PODS}/web-2", {"spec": {}})
    await eventually(lambda: running.mirror.pod("shop", "web-2"))
    await api.remove(f"{PODS}/web-2")
    await eventually(lambda: running.mirror.pod("shop", "web-2") is None)


async def test_a_namespaces_first_profile_brings_its_pods_in(api: Any, running: Running, eventually: Any) -> None:
    await api.put("/api/v1/namespaces/late/pods/old-1", {"spec": {}})
    await eventually(lambda: watching(api))
    assert list(running.mirror.pods("late")) == []
    await api.put("/apis/snoop.dev/v1alpha1/namespaces/late/snoopprofiles/web", {"spec": SPEC})
    await eventually(lambda: running.mirror.pod("late", "old-1"))


async def test_a_changed_spec_has_the_pods_judged_again(api: Any, running: Running, eventually: Any) -> None:
    await eventually(lambda: watching(api))
    judged: list[str] = []
    running.mirror.judge = lambda raw: judged.append(raw["metadata"]["name"])
    await api.put(f"{PROFILES}/web", {"spec": {**SPEC, "paused": True}})
    await eventually(lambda: judged == ["web-1"])


async def test_what_vanished_while_the_watch_was_away_is_noticed_by_the_next_list(
    api: Any, running: Running, eventually: Any
) -> None:
    await eventually(lambda: watching(api))
    await api.remove(f"{PROFILES}/web", quietly=True)
    assert running.mirror.profile_keys() == [("shop", "web")]
    await running.controller.list_all()
    assert running.mirror.profile_keys() == []
    assert [one.kind for one in running.changes if one.gone] == [Kind.PROFILES]


async def test_an_expired_watch_is_taken_up_again(api: Any, running: Running, eventually: Any) -> None:
    await eventually(lambda: watching(api))
    await api.expire()
    await api.put(f"{PODS}/web-3", {"spec": {}})
    await eventually(lambda: running.mirror.pod("shop", "web-3"))
    lists = [call for call in api.calls if call[1] == "/api/v1/pods"]
    assert len(lists) >= 5


async def test_nothing_is_written_into_the_objects(api: Any, running: Running, eventually: Any) -> None:
    await eventually(lambda: watching(api))
    await api.put(f"{PODS}/web-2", {"spec": {}})
    await eventually(lambda: running.mirror.pod("shop", "web-2"))
    await asyncio.sleep(0.3)
    assert {method for method, _ in api.calls} == {"GET"}


async def test_without_the_crd_it_waits_and_says_so(
    api: Any, caplog: pytest.LogCaptureFixture, eventually: Any
) -> None:
    api.refuse = lambda method, path: 404 if path.endswith("/snoopprofiles") else 0
    cluster = Cluster(await connect())
    mirror = Mirror()
    task = asyncio.create_task(Controller(cluster, mirror, lambda change: None).watch())
    await eventually(lambda: "is the CRD installed?" in caplog.text)
    assert not mirror.listed
    api.refuse = lambda method, path: 0
    await eventually(lambda: mirror.listed)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await cluster.close()


async def test_stopping_leaves_no_task_behind_and_touches_none_of_ours(api: Any, eventually: Any) -> None:
    cluster = Cluster(await connect())
    mirror = Mirror()
    before = asyncio.all_tasks()
    task = asyncio.create_task(Controller(cluster, mirror, lambda change: None).watch())
    await eventually(lambda: watching(api), 5)
    ours = asyncio.create_task(asyncio.sleep(60), name="ours")
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await cluster.close()
    await asyncio.sleep(0.1)
    assert not ours.done()
    assert {one.get_name() for one in asyncio.all_tasks() - before} <= {"ours"}
    ours.cancel()
