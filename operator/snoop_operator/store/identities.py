"""What containers are: ID → name, image, digest, remembered per pod also when its status has forgotten them."""

from collections.abc import Mapping

from sqlalchemy import Connection, select

from snoop_operator.store.schema import identity, pod
from snoop_operator.store.strings import insert_into
from snoop_report.model import Identity

_UNKNOWN = Identity("", "", "")


def remembered(connection: Connection, pod_id: int) -> dict[str, Identity]:
    """Everything known of a pod's containers."""
    rows = connection.execute(select(identity).where(identity.c.pod_id == pod_id))
    return {row.container_id: Identity(row.name, row.image, row.digest) for row in rows}


def remember(
    connection: Connection, pod_id: int, *, cluster: Mapping[str, Identity], agent: Mapping[str, Identity]
) -> dict[str, Identity]:
    """Add to what is known, and return all of it. The cluster's word wins.

    The agent's word (what an operator once told it) only fills what is empty: after a store is lost, nobody else may
    remember the containers before the last restart.
    """
    before = remembered(connection, pod_id)
    after = dict(before)
    for key, one in cluster.items():
        after[key] = _first(one, after.get(key, _UNKNOWN))
    for key, one in agent.items():
        if one != _UNKNOWN:
            after[key] = _first(after.get(key, _UNKNOWN), one)
    for key, one in after.items():
        if before.get(key) == one:
            continue
        values = {"name": one.name, "image": one.image, "digest": one.digest}
        statement = insert_into(connection, identity).values(pod_id=pod_id, container_id=key, **values)
        connection.execute(
            statement.on_conflict_do_update(index_elements=["pod_id", "container_id"], set_=values),
        )
    return after


def note_run(connection: Connection, pod_id: int, ran: Mapping[str, float]) -> None:
    """Remember that containers have run: by ID, with the time of their start."""
    for key, started in ran.items():
        values = {"name": "", "image": "", "digest": "", "ran_at": started}
        statement = insert_into(connection, identity).values(pod_id=pod_id, container_id=key, **values)
        # The first word stays: a clock that is set back must not make it younger.
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["pod_id", "container_id"],
                set_={"ran_at": started},
                where=identity.c.ran_at == 0,
            )
        )


def _first(one: Identity, other: Identity) -> Identity:
    return Identity(one.name or other.name, one.image or other.image, one.digest or other.digest)


def remembered_of(connection: Connection, pod_uid: str) -> dict[str, Identity]:
    """Everything known of the containers of the pod `pod_uid`; empty if the pod is unknown."""
    found = connection.execute(select(pod.c.id).where(pod.c.uid == pod_uid)).scalar_one_or_none()
    return {} if found is None else remembered(connection, found)
