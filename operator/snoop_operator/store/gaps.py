"""Gaps that no agent can tell: what the store itself knows to be missing of a pod. Pure."""

from collections.abc import Iterable, Iterator

from snoop_operator.store.interface import FINAL_GRACE, UNSEEN_GRACE
from snoop_report.model import Gap, GapCode


def derived(
    *,
    now: float,
    ended_at: float,
    final: bool,
    placed: bool,
    reported_at: float,
    runs: int,
    lacking_since: float,
    unresolved: Iterable[tuple[str, float]],
    unseen: Iterable[tuple[str, str, float]],
) -> Iterator[Gap]:
    """Yield a pod's gaps that hold at `now`; each is gone when what it misses arrives.

    `ended_at`, `reported_at` (first report) and `lacking_since` are 0 if it is not so; `placed`: the pod had a node;
    `runs`: how often its agent has been started, if no run of it has told that it is not the first; `unresolved` are
    container IDs with the time of their first report, `unseen` ID, name and start of containers that no report names.
    """
    # A pod that was deleted before it had a node ran nothing.
    if ended_at and (placed or reported_at) and not final and now > ended_at + FINAL_GRACE:
        words = "the pod ended without its agent's last report" if reported_at else "the pod ended without any report"
        yield Gap(GapCode.FINAL_REPORT_MISSING, words, ended_at)
    if runs > 1 and reported_at:
        # The later ones died before their first word.
        yield Gap(GapCode.AGENT_RESTARTED, f"the agent was started {runs} times", reported_at)
    if lacking_since:
        words = "the store lacks earlier reports of this pod, and its agent has not sent them again yet"
        yield Gap(GapCode.EVIDENCE_LOST, words, lacking_since)
    for container, since in unresolved:
        words = f"name or image digest of container {container[:12]} is not known"
        yield Gap(GapCode.UNRESOLVED_CONTAINER, words, since, container=container)
    for container, name, since in unseen:
        if reported_at and now > since + UNSEEN_GRACE:
            words = f"container {name or container[:12]} ran, and the pod's agent has told nothing of it"
            yield Gap(GapCode.UNSEEN_CONTAINER, words, since, container=container)
