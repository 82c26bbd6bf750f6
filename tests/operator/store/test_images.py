from pathlib import Path
from typing import Any

import pytest

from snoop_operator.store import images
from snoop_operator.store.engine import sqlite_engine, transaction
from snoop_operator.store.interface import StoreError
from snoop_operator.store.sql import SqlStore
from snoop_report.model import Identity

DIGEST = "sha256:" + "a" * 64


def _content(file: Path, digest: str = DIGEST) -> bytes | None:
    engine = sqlite_engine(file, "BEGIN")
    with transaction(engine) as connection:
        found = images.content(connection, digest)
    engine.dispose()
    return found


async def test_an_inventory_is_kept_by_digest_and_read_beside_the_operator(store: SqlStore, file: Path) -> None:
    assert not await store.has_inventory(DIGEST)
    await store.keep_inventory(DIGEST, b"\0first", 1.0)
    await store.keep_inventory(DIGEST, b"\0second", 2.0)
    assert await store.has_inventory(DIGEST)
    assert _content(file) == b"\0second"
    await store.drop_inventory(DIGEST)
    assert not await store.has_inventory(DIGEST)


async def test_inventories_never_take_the_room_of_the_evidence(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "ROOM", 10)
    await store.keep_inventory(DIGEST, b"12345678", 1.0)
    await store.keep_inventory(DIGEST, b"1234567890", 1.0)
    with pytest.raises(StoreError, match="no room"):
        await store.keep_inventory("sha256:other", b"1", 1.0)
    assert await store.has_inventory(DIGEST)


async def test_an_inventory_is_forgotten_only_when_no_evidence_names_the_image(store: SqlStore, make: Any) -> None:
    await store.accept(make.key(), make.delta(1, make.container(make.seen("/a"))), {"c1": make.nginx}, 1.0)
    await store.keep_inventory(DIGEST, b"named", 1.0)
    await store.keep_inventory("sha256:other", b"not", 1.0)
    await store.prune([make.profile()], 50.0, 100.0)
    assert await store.has_inventory("sha256:other"), "evidence may be on its way"
    await store.prune([make.profile()], 200.0, 100.0)
    assert await store.has_inventory(DIGEST)
    assert not await store.has_inventory("sha256:other")


async def test_the_reports_about_an_image_have_its_containers_alone_and_all_that_was_seen(
    store: SqlStore, file: Path, make: Any
) -> None:
    other = Identity("log", "log:1", "sha256:" + "b" * 64)
    for uid in ("u1", "u2"):
        first = make.container(make.seen(f"/{uid}"))
        second = make.container(make.seen("/log"), key="c2")
        await store.accept(make.key(uid, uid), make.delta(1, first, second), {"c1": make.nginx, "c2": other}, 1.0)
    engine = sqlite_engine(file, "BEGIN")
    with transaction(engine) as connection:
        found = images.reports(connection, DIGEST, ["u1", "gone", "u2"], 1.0)
    engine.dispose()
    assert [one.pod_uid for one in found] == ["u1", "u2"]
    assert [container.digest for one in found for container in one.containers] == [DIGEST, DIGEST]
    seen = {one.path for report in found for container in report.containers for one in container.observations.values()}
    assert seen == {"/u1", "/u2"}
