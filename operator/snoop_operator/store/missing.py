"""What is known to be missing of a profile as a whole, and is no single pod's gap."""

from collections.abc import Collection, Iterator, Sequence

from sqlalchemy import Connection, select

from snoop_operator.profile import Profile
from snoop_operator.store.interface import RETENTION, UNLABELLED_GRACE
from snoop_operator.store.reading import PodRow
from snoop_operator.store.revision import put_back_at
from snoop_operator.store.schema import loss, pod
from snoop_report.model import Gap, GapCode


def lost(connection: Connection, profile: Profile) -> Gap | None:
    """Tell if another store held evidence of the profile."""
    here = (loss.c.namespace == profile.namespace) & (loss.c.profile == profile.name)
    row = connection.execute(select(loss).where(here)).one_or_none()
    if row is None:
        return None
    words = f"evidence was in another store ({row.previous_store[:8]}) that this one has replaced"
    return Gap(GapCode.EVIDENCE_LOST, words, row.since)


def gaps(
    connection: Connection, profile: Profile, pods: Sequence[PodRow], asked: Collection[str], now: float
) -> Iterator[Gap]:
    """Yield further gaps. `pods` are the profile's, among them those of the UIDs `asked`."""
    put_back = put_back_at(connection)
    before = any(0 < one.evidence.first_report_at < put_back for one in pods)
    if put_back and (before or now < put_back + RETENTION):
        words = "the store was restored from a backup, and lacks what pods had told since that was made"
        yield Gap(GapCode.EVIDENCE_LOST, words, put_back)
    nameless = connection.execute(
        select(pod.c.uid, pod.c.first_report_at).where(
            pod.c.namespace == profile.namespace,
            pod.c.labels.is_(None),
            pod.c.first_report_at != 0,
            pod.c.first_report_at < now - UNLABELLED_GRACE,
        )
    )
    since = [row.first_report_at for row in nameless if row.uid not in asked]
    if since:
        words = "pods of this namespace have reported whose labels are not known: they may be this profile's"
        yield Gap(GapCode.UNRESOLVED_POD, words, min(since), len(since))
