"""What people are told, and that they are told once."""

import asyncio
import contextlib
from typing import Any

from snoop_operator.announcements import about_change, about_status
from snoop_operator.apiclient import connect
from snoop_operator.cluster import Cluster
from snoop_operator.events import Event, Events, Subject, event_name, event_object
from snoop_operator.profile import Profile, Selector
from snoop_operator.workload import PodState, Refusal

WEB = Subject("snoop.dev/v1alpha1", "SnoopProfile", "shop", "web", "p-1")
PROFILE = Profile("shop", "web", "p-1", 1, Selector((("app", "web"),)))
PATH = "/apis/events.k8s.io/v1/namespaces/shop/events"


def status(**conditions: tuple[str, str]) -> dict[str, Any]:
    return {
        "conditions": [
            {"type": kind, "status": value, "reason": reason, "message": "why", "lastTransitionTime": "t1"}
            for kind, (value, reason) in conditions.items()
        ]
    }


def pod(**extra: Any) -> PodState:
    return PodState("shop", "web-1", "u-1", labels={"app": "web"}, created_at=1000.0, **extra)


def test_the_same_thing_has_the_same_name_and_another_occurrence_another() -> None:
    first = Event(WEB, "AgentStuck", "ImagePullBackOff: a", key="ImagePullBackOff")
    again = Event(WEB, "AgentStuck", "ImagePullBackOff: b", key="ImagePullBackOff")
    other = Event(WEB, "AgentStuck", "Error: c", key="Error")
    assert event_name(first) == event_name(again) != event_name(other)


def test_a_note_is_cut_to_what_the_api_takes() -> None:
    made = event_object(Event(WEB, "X", "ä" * 2000), "me", 0.0)
    assert len(made["note"].encode()) <= 1024


def test_recording_is_announced_when_it_starts_and_not_while_it_lasts() -> None:
    off, on = status(Recording=("False", "NoMatchingPods")), status(Recording=("True", "Recording"))
    assert [one.reason for one in about_status(WEB, off, on)] == ["RecordingStarted"]
    assert about_status(WEB, on, on) == []


def test_a_fall_is_a_warning_by_its_reason() -> None:
    before = status(Ready=("Unknown", "AgentImageUnproven"), Complete=("True", "Complete"))
    after = status(Ready=("False", "AgentImageUnavailable"), Complete=("False", "RecordsLost"))
    told = about_status(WEB, before, after)
    assert [(one.reason, one.warning) for one in told] == [
        ("AgentImageUnavailable", True),
        ("EvidenceIncomplete", True),
    ]


def test_lost_evidence_is_told_by_name() -> None:
    after = status(Complete=("False", "EvidenceLost"))
    assert [one.reason for one in about_status(WEB, status(Complete=("False", "RecordsLost")), after)] == [
        "EvidenceLost"
    ]


def test_a_new_reason_to_skip_pods_is_told_once() -> None:
    skipped = {"pods": {"skipped": [{"reason": "pod_security", "count": 2, "message": "restricted"}]}}
    assert [one.reason for one in about_status(WEB, {}, skipped)] == ["PodsSkipped"]
    assert about_status(WEB, skipped, skipped) == []


def test_a_pod_is_told_of_its_injection_or_why_it_has_none() -> None:
    injected = about_change(pod(injected=True), None, [PROFILE], 1001.0)
    refused = about_change(pod(refusal=Refusal("pod_security", "restricted")), None, [PROFILE], 1001.0)
    assert [one.reason for one in injected] == ["Injected"]
    assert [(one.reason, one.warning) for one in refused] == [("NotInjected", True)]


def test_why_a_pod_is_not_injected_is_told_once_whatever_is_known_of_it_later() -> None:
    at_first, later = (
        about_change(pod(refusal=Refusal(code, code)), None, [PROFILE], 1001.0)[0]
        for code in ("agent_unproven", "created_before")
    )
    assert event_name(at_first) == event_name(later)


def test_an_opt_out_is_no_warning() -> None:
    refusal = Refusal("opted_out", "it says so")
    assert not about_change(pod(refusal=refusal), None, [PROFILE], 1001.0)[0].warning


def test_a_restart_of_the_operator_tells_nothing_of_old_pods_but_their_troubles() -> None:
    assert about_change(pod(injected=True), None, [PROFILE], 9999.0) == []
    stuck = pod(injected=True, agent_trouble="ImagePullBackOff: no")
    assert [one.reason for one in about_change(stuck, None, [PROFILE], 9999.0)] == ["AgentStuck"]


async def test_an_event_is_posted_once_over_restarts(api: Any, eventually: Any) -> None:
    cluster = Cluster(await connect())
    for _ in range(2):
        events = Events(cluster, "me", lambda: 1000.0, pause=0.0)
        task = asyncio.create_task(events.run())
        calls = len(api.calls)
        events.tell(Event(WEB, "RecordingStarted", "now"))
        events.tell(Event(WEB, "RecordingStarted", "now"))
        await eventually(lambda seen=calls: len(api.calls) > seen)
        await asyncio.sleep(0.05)
        assert len(api.calls) == calls + 1
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    posted = [body for path, body in api.objects.items() if path.startswith(PATH)]
    assert [(one["reason"], one["regarding"]["uid"], one["type"]) for one in posted] == [
        ("RecordingStarted", "p-1", "Normal")
    ]
    await cluster.close()


async def test_a_full_queue_drops_and_counts_rather_than_grows() -> None:
    events = Events(None, "me", lambda: 0.0)  # type: ignore[arg-type] # nothing is posted here
    for number in range(300):
        events.tell(Event(WEB, "X", "", key=str(number)))
    assert events.dropped == 300 - 256
