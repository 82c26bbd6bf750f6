"""Counts distinct used paths over many containers, in SQL, and remembers the answer while nothing new came in."""

from collections import OrderedDict
from collections.abc import Collection, Sequence
from hashlib import blake2b

from sqlalchemy import Connection, func, select

from snoop_operator.profile import Profile
from snoop_operator.store import missing, unprofiled
from snoop_operator.store.interface import ImageEvidence, ProfileEvidence
from snoop_operator.store.reading import ContainerRow, PodRow, one_of
from snoop_operator.store.schema import used

_REMEMBERED = 4096
Count = tuple[int, float]


class Unions:
    """Number of distinct paths, and when the newest of them was first seen. For one thread."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Count] = OrderedDict()

    def count(self, connection: Connection, containers: Collection[ContainerRow]) -> Count:
        """Count the union of what `containers` used."""
        if not containers:
            return 0, 0.0
        state = sorted((one.row, one.version) for one in containers)
        key = blake2b(repr(state).encode(), digest_size=16).digest()
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        firsts = (
            select(func.min(used.c.first_seen).label("first"))
            .where(one_of(used.c.container_id, [row for row, _ in state]))
            .group_by(used.c.path_id)
            .subquery()
        )
        row = connection.execute(select(func.count(), func.max(firsts.c.first)).select_from(firsts)).one()
        answer = (int(row[0]), float(row[1] or 0.0))
        self._known[key] = answer
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return answer


def profile_evidence(
    connection: Connection,
    store_id: str,
    profile: Profile,
    pods: Sequence[PodRow],
    unions: Unions,
    asked: Collection[str],
    now: float,
) -> ProfileEvidence:
    """Sum up `pods` for a profile, among them those of the UIDs `asked`."""
    # A container whose name is not known (yet) may be one that the profile wants.
    containers = [
        one
        for found in pods
        for one in found.containers
        if not one.evidence.name or profile.wants_container(one.evidence.name)
    ]
    images: dict[str, list[ContainerRow]] = {}
    for one in containers:
        told = one.evidence
        if told.digest or told.image:
            images.setdefault(told.digest or told.image, []).append(one)
    counted = [_image(connection, group, unions) for group in images.values()]
    files, newest = unions.count(connection, containers)
    return ProfileEvidence(
        store_id=store_id,
        pods=tuple(found.evidence for found in pods),
        images=tuple(sorted(counted, key=lambda one: (-one.first_seen_at, one.image, one.digest))),
        files=files,
        last_new_file_at=newest,
        lost=missing.lost(connection, profile),
        gaps=tuple(missing.gaps(connection, profile, pods, asked, now)),
        unprofiled=tuple(unprofiled.of(connection, profile)),
    )


def _image(connection: Connection, group: Sequence[ContainerRow], unions: Unions) -> ImageEvidence:
    files, newest = unions.count(connection, group)
    latest = max(group, key=lambda one: one.row).evidence
    first = min(one.evidence.started_at or one.first_seen_at for one in group)
    return ImageEvidence(latest.image, latest.digest, files, first, newest)
