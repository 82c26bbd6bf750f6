"""What is worth an Event: from one status to the next, and from one state of a pod to the next. Pure; no I/O."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from snoop_operator.events import Event, Subject, about_pod
from snoop_operator.profile import Profile
from snoop_operator.workload import PodState

Status = Mapping[str, Any]

_YOUNG = 300.0
"""Seconds: of an older pod the operator tells nothing at first sight, or each restart would tell it again."""
_CHOSEN = frozenset({"opted_out", "namespace_opted_out", "paused", "no_profile", "no_container"})
"""Reasons that somebody chose: told, but not as a warning."""


def about_status(profile: Subject, previous: Status, status: Status) -> list[Event]:
    """Tell what a profile's new status says that its previous one did not."""
    return [
        *_recording(profile, previous, status),
        *_falls(profile, previous, status, "Ready"),
        *_falls(profile, previous, status, "Complete"),
        *_skipped(profile, previous, status),
    ]


def about_change(pod: PodState, before: PodState | None, profiles: Sequence[Profile], now: float) -> list[Event]:
    """Tell what is new about a pod that `profiles` select."""
    subject = about_pod(pod)
    named = ", ".join(profile.name for profile in profiles)
    told: list[Event] = []
    young = now - pod.created_at < _YOUNG
    if young and pod.injected and before is None and named:
        told.append(Event(subject, "Injected", f"Files used by this pod are recorded for SnoopProfile {named}"))
    refusal = pod.refusal
    if young and refusal is not None and named and (before is None or before.refusal != refusal):
        note = f"Not recorded for SnoopProfile {named}: {refusal.message}"
        # No key: the first reason stays the one that is told. After a restart of the operator, what spoke against the
        # agent when the pod was made may not be known any more.
        told.append(Event(subject, "NotInjected", note, refusal.code not in _CHOSEN))
    trouble = pod.agent_trouble
    if trouble and (before is None or not before.agent_trouble):
        reason = trouble.partition(":")[0]
        told.append(Event(subject, "AgentStuck", f"The Snoop agent does not start: {trouble}", True, reason))
    return told


def _recording(profile: Subject, previous: Status, status: Status) -> Iterator[Event]:
    was, now = _condition(previous, "Recording"), _condition(status, "Recording")
    if now.get("status") == "True" and was.get("status") != "True":
        yield Event(profile, "RecordingStarted", str(now.get("message") or ""), key=_since(now))


def _falls(profile: Subject, previous: Status, status: Status, kind: str) -> Iterator[Event]:
    was, now = _condition(previous, kind), _condition(status, kind)
    if now.get("status") != "False" or (was.get("status") == "False" and was.get("reason") == now.get("reason")):
        return
    reason = str(now.get("reason") or f"Not{kind}")
    if kind == "Complete" and reason != "EvidenceLost":
        note = f"{reason}: {now.get('message') or ''}"
        yield Event(profile, "EvidenceIncomplete", note, True, f"{reason} {_since(now)}")
    else:
        yield Event(profile, reason, str(now.get("message") or ""), True, _since(now))


def _skipped(profile: Subject, previous: Status, status: Status) -> Iterator[Event]:
    known = {one.get("reason") for one in _skips(previous)}
    for one in _skips(status):
        reason = str(one.get("reason") or "")
        if reason not in known:
            note = f"{one.get('count')} not injected ({reason}): {one.get('message') or ''}"
            yield Event(profile, "PodsSkipped", note, reason not in _CHOSEN, reason)


def _skips(status: Status) -> Iterable[Mapping[str, Any]]:
    return (status.get("pods") or {}).get("skipped") or []


def _condition(status: Status, kind: str) -> Mapping[str, Any]:
    return next((one for one in status.get("conditions") or [] if one.get("type") == kind), {})


def _since(condition: Mapping[str, Any]) -> str:
    return str(condition.get("lastTransitionTime") or "")
