"""Gaps that no agent can tell: what the store itself knows to be missing of a pod. Pure."""

from collections.abc import Iterable, Iterator

from snoop_operator.store.interface import FINAL_GRACE
from snoop_report.model import Gap, GapCode


def derived(
    *,
    now: float,
    ended_at: float,
    final: bool,
    placed: bool,
    reported: bool,
    lacking_since: float,
    unresolved: Iterable[tuple[str, float]],
) -> Iterator[Gap]:
    """Yield the gaps that hold at `now`; each is gone when what it misses arrives.

    `ended_at` and `lacking_since` are 0 if it is not so; `placed`: the pod had a node; `unresolved` are container IDs
    with the time of their first report.
    """
    # A pod that was deleted before it had a node ran nothing.
    if ended_at and (placed or reported) and not final and now > ended_at + FINAL_GRACE:
        words = "the pod ended without its agent's last report" if reported else "the pod ended without any report"
        yield Gap(GapCode.FINAL_REPORT_MISSING, words, ended_at)
    if lacking_since:
        words = "the store lacks earlier reports of this pod, and its agent has not sent them again yet"
        yield Gap(GapCode.EVIDENCE_LOST, words, lacking_since)
    for container, since in unresolved:
        words = f"name or image digest of container {container[:12]} is not known"
        yield Gap(GapCode.UNRESOLVED_CONTAINER, words, since, container=container)
