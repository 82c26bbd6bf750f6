"""A profile's conditions: whether the operator works for it, whether agents record, whether anything is missing. Pure.

Each condition has a stable CamelCase reason and a sentence. `lastTransitionTime` is kept while the status is the same,
so that the same facts make an equal condition.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from snoop_operator.profile import Profile
from snoop_report.model import Gap, GapCode

MAX_MESSAGE = 2000
"""Characters of a message; the CRD allows 4,096."""
_MAX_WORDS = 240
"""Characters that one agent's words may take in it."""

SEVERITY: tuple[GapCode, ...] = (
    GapCode.EVIDENCE_LOST,
    GapCode.NOT_TRACING,
    GapCode.LATE_START,
    GapCode.UNSEEN_CONTAINER,
    GapCode.UNPROFILED_USE,
    GapCode.RECORDS_LOST,
    GapCode.CAP_REACHED,
    GapCode.FINAL_REPORT_MISSING,
    GapCode.LATE_END,
    GapCode.AGENT_RESTARTED,
    GapCode.PATH_UNREADABLE,
    GapCode.PATH_TRUNCATED,
    GapCode.BLIND_SPOT,
    GapCode.UNRESOLVED_POD,
    GapCode.UNRESOLVED_CONTAINER,
)
"""The most serious first: how much could be missing, and how little can still be done about it."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What is to be said, before times are added."""

    type: str
    status: str
    """True, False or Unknown."""
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Counts:
    """The profile's pods, counted."""

    matched: int = 0
    injected: int = 0
    attached: int = 0
    reporting: int = 0
    overdue: int = 0
    """Injected pods that have not reported for longer than a few intervals, and should have."""
    stuck: int = 0
    """Injected pods whose agent does not start."""
    uninjected: int = 0
    ended: int = 0
    """Pods that have ended and left evidence."""


def rfc3339(seconds: float) -> str:
    """Write a time as Kubernetes does: UTC, whole seconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def camel(code: str) -> str:
    """`late_start` → `LateStart`."""
    return "".join(part.capitalize() for part in code.split("_"))


def dated(
    conditions: Iterable[Condition], generation: int, previous: Mapping[str, Any], now: float
) -> list[dict[str, Any]]:
    """Add generation and transition times, keeping those of `previous` status where nothing turned."""
    before = {one.get("type"): one for one in previous.get("conditions") or []}
    made: list[dict[str, Any]] = []
    for one in conditions:
        known = before.get(one.type, {})
        turned = known.get("status") != one.status or not known.get("lastTransitionTime")
        made.append(
            {
                "type": one.type,
                "status": one.status,
                "observedGeneration": generation,
                "lastTransitionTime": rfc3339(now) if turned else known["lastTransitionTime"],
                "reason": one.reason,
                "message": clip(one.message, MAX_MESSAGE),
            }
        )
    return made


def ready(proven: bool, trouble: str) -> Condition:
    """Whether matching pods can be injected."""
    if proven:
        return Condition("Ready", "True", "Ready", "New pods that match are recorded")
    if trouble:
        words = f"The agent does not start, so that at most one pod per owner is injected: {trouble}"
        return Condition("Ready", "False", "AgentImageUnavailable", words)
    words = "The agent image is being tried out; until it has started once, at most one pod per owner is injected"
    return Condition("Ready", "Unknown", "AgentImageUnproven", words)


def recording(profile: Profile, counts: Counts, skipped: Sequence[str]) -> Condition:
    """Whether agents report now. `skipped`: why pods are not injected, one sentence per reason."""
    reports = f"{counts.reporting} of {pods(counts.matched)} report"
    if profile.paused:
        words = "Paused: new pods are not injected"
        if counts.injected:
            words += f"; {pods(counts.injected)} injected before keep recording until restarted"
        return Condition("Recording", "False", "Paused", words)
    if counts.reporting:
        return Condition("Recording", "True", "Recording", reports)
    if not counts.matched:
        words = "No pod matches the selector"
        if counts.ended:
            words = f"No pod matches the selector now; evidence of {pods(counts.ended)} that ended is kept"
        return Condition("Recording", "False", "NoMatchingPods", words)
    if not counts.injected:
        words = f"None of {pods(counts.matched)} carries an agent: " + "; ".join(skipped)
        return Condition("Recording", "False", "AllPodsSkipped", words)
    words = f"No agent reports: {pods(counts.injected)} injected of {counts.matched} matched"
    if counts.overdue or counts.stuck:
        words += f"; {counts.overdue} overdue, {counts.stuck} with an agent that does not start"
    return Condition("Recording", "False", "WaitingForAgents", words)


def complete(
    reported: bool, gaps: Sequence[tuple[str, Gap]], counts: Counts, skipped: Sequence[str], settling: bool
) -> Condition:
    """Whether nothing is known to be missing. `gaps` are (pod UID, gap); a pod UID is empty for the profile's own.

    `settling`: some containers are so young that their identity may still arrive.
    """
    troubles = [
        *_said(gaps, SEVERITY[:2]),
        *_pod_troubles(counts, skipped),
        *_said(gaps, SEVERITY[2:]),
    ]
    lost = any(gap.code is GapCode.EVIDENCE_LOST for _, gap in gaps)
    if not reported and not lost:
        return Condition("Complete", "Unknown", "NoEvidence", "No agent has reported anything yet")
    if troubles:
        return Condition("Complete", "False", troubles[0][0], "; ".join(words for _, words in troubles))
    if settling:
        words = "Containers that have just started are being identified"
        return Condition("Complete", "Unknown", "IdentifyingContainers", words)
    return Condition("Complete", "True", "Complete", "Nothing is known to be missing from what the agents recorded")


def _pod_troubles(counts: Counts, skipped: Sequence[str]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    if counts.uninjected:
        why = "; ".join(skipped)
        found.append(("UninjectedPods", f"without an agent: {pods(counts.uninjected)} ({why})"))
    if counts.stuck:
        found.append(("AgentStuck", f"the agent of {pods(counts.stuck)} does not start"))
    if counts.overdue:
        found.append(("ReportsOverdue", f"{pods(counts.overdue)} should have reported and did not"))
    return found


def _said(gaps: Sequence[tuple[str, Gap]], codes: Iterable[GapCode]) -> list[tuple[str, str]]:
    """Reason and sentence for each of `codes` that occurs, with the words of its most affected pod."""
    found: list[tuple[str, str]] = []
    for code in codes:
        of_code = [(uid, gap) for uid, gap in gaps if gap.code is code]
        if not of_code:
            continue
        told = max((gap for _, gap in of_code), key=lambda gap: (gap.count, gap.message))
        words = clip(" ".join(told.message.split()), _MAX_WORDS) or code.value.replace("_", " ")
        affected = len({uid for uid, _ in of_code if uid})
        since = rfc3339(min(gap.since for _, gap in of_code))
        found.append((camel(code.value), f"{words} ({pods(affected) + ', ' if affected else ''}since {since})"))
    return found


def pods(number: int) -> str:
    """`1 pod`, `2 pods`."""
    return f"{number} pod" if number == 1 else f"{number} pods"


def clip(text: str, limit: int) -> str:
    """Shorten `text` to `limit` characters, visibly."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
