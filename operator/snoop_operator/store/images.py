"""What images hold, kept by digest; and the evidence about one image, as `snoop_image` wants it. Bounded in bytes."""

from collections.abc import Collection
from dataclasses import replace

from sqlalchemy import Connection, delete, func, select

from snoop_operator.store import reading
from snoop_operator.store.interface import StoreError
from snoop_operator.store.schema import identity, inventory
from snoop_operator.store.strings import insert_into
from snoop_report.merge import merge_container
from snoop_report.model import ContainerReport, Report

ROOM = 256 << 20
"""Bytes of all inventories together; the evidence needs the disk more. An image of 200,000 files takes some 8 MB."""


def has(connection: Connection, digest: str) -> bool:
    """Whether an image's inventory is here."""
    return bool(connection.execute(select(inventory.c.digest).where(inventory.c.digest == digest)).first())


def keep(connection: Connection, digest: str, content: bytes, now: float) -> None:
    """Keep an inventory, in place of an earlier one. StoreError if there is no room."""
    others = select(func.coalesce(func.sum(inventory.c.size), 0)).where(inventory.c.digest != digest)
    if int(connection.execute(others).scalar_one()) + len(content) > ROOM:
        raise StoreError(f"no room for a further inventory: all of them may take {ROOM >> 20} MiB")
    connection.execute(delete(inventory).where(inventory.c.digest == digest))
    row = {"digest": digest, "content": content, "size": len(content), "fetched_at": now}
    connection.execute(insert_into(connection, inventory).values(**row))


def drop(connection: Connection, digest: str) -> None:
    """Forget one inventory."""
    connection.execute(delete(inventory).where(inventory.c.digest == digest))


def content(connection: Connection, digest: str) -> bytes | None:
    """Give an inventory as it was kept, or None."""
    found = connection.execute(select(inventory.c.content).where(inventory.c.digest == digest)).scalar_one_or_none()
    return None if found is None else bytes(found)


def prune(connection: Connection, now: float, retention: float) -> None:
    """Forget images that no evidence names, `retention` seconds after they were fetched."""
    named = select(identity.c.digest).distinct()
    old = inventory.c.fetched_at < now - retention
    connection.execute(delete(inventory).where(old, inventory.c.digest.not_in(named)))


def reports(connection: Connection, digest: str, pod_uids: Collection[str], now: float) -> list[Report]:
    """Read what pods tell of the containers that ran an image. A pod that ran it and is gone by now is left out.

    Observations of all pods are merged into the first of these containers, so that a hundred pods alike take the
    memory of one; the others are there for their names and gaps.
    """
    found: list[Report] = []
    merged: ContainerReport | None = None
    for uid in pod_uids:
        told = reading.report(connection, uid, now)
        if told is None:
            continue
        kept: list[ContainerReport] = []
        for one in told.containers:
            if one.digest != digest:
                continue
            if merged is None:
                merged = one
                kept.append(one)
            else:
                merge_container(merged, one)
                kept.append(replace(one, observations={}))
        if kept:
            told.containers = kept
            found.append(told)
    return found
