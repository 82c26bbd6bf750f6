from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from snoop_operator.conditions import SEVERITY
from snoop_operator.rollup import MAX_IMAGES, AgentCheck, invalid, lost_store
from snoop_operator.store.interface import ImageEvidence, Unprofiled
from snoop_operator.workload import Refusal
from snoop_report.model import AgentInfo, GapCode, Identity

_CRD = Path(__file__).parents[3] / "crds" / "snoopprofile.yaml"


def _fits(status: dict[str, Any]) -> None:
    (version,) = yaml.safe_load(_CRD.read_text())["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]["properties"]["status"]
    jsonschema.Draft202012Validator(schema).validate(status)
    unknown = set(status) - set(schema["properties"])
    assert not unknown, "the API server would drop it, and every look would patch it again"
    for one in status.get("images", []):
        assert set(one) <= set(schema["properties"]["images"]["items"]["properties"])
    for one in status["conditions"]:
        assert set(one) <= set(schema["properties"]["conditions"]["items"]["properties"])


def test_a_profile_whose_pods_report_without_gaps_is_recording_and_complete(scene: Any) -> None:
    scene.pod("u1")
    scene.pod("u2")
    for uid in ("u1", "u2"):
        scene.reported(uid)
    status = scene.status()
    _fits(status)
    assert {one["type"]: (one["status"], one["reason"]) for one in status["conditions"]} == {
        "Ready": ("True", "Ready"),
        "Recording": ("True", "Recording"),
        "Complete": ("True", "Complete"),
    }
    del status["conditions"]
    assert status == {
        "observedGeneration": 3,
        "phase": "Recording",
        "pods": {"matched": 2, "injected": 2, "attached": 2, "reporting": 2, "uninjected": 0, "skipped": []},
        "files": 41,
        "events": 200,
        "droppedEvents": 4,
        "lastReportTime": "1970-01-01T02:46:35Z",
        "lastNewFileTime": "1970-01-01T02:38:20Z",
        "images": [
            {
                "image": "nginx:1.27",
                "digest": scene.digest,
                "containers": ["nginx"],
                "pods": 2,
                "files": 40,
                "complete": True,
                "gaps": [],
            }
        ],
        "imageCount": 1,
        "storeID": "store-1",
        "display": {"pods": "2/2"},
    }


def test_a_profile_that_nothing_matches_is_pending_and_has_no_times(scene: Any) -> None:
    status = scene.status()
    _fits(status)
    assert status["phase"] == "Pending"
    assert "lastReportTime" not in status
    assert scene.condition("Recording")[1] == "NoMatchingPods"
    assert scene.condition("Complete")[:2] == ("Unknown", "NoEvidence")


def test_the_same_facts_give_an_equal_status_however_late(scene: Any) -> None:
    scene.pod("u1")
    scene.pod("u2", injected=False, refusal=Refusal("opted_out", "it says no"))
    scene.reported("u1", scene.gap(GapCode.CAP_REACHED))
    first = scene.status()
    scene.previous = first
    scene.now += 30
    assert scene.status() == first


def test_a_condition_keeps_its_time_while_its_status_is_the_same(scene: Any) -> None:
    scene.pod("u1")
    scene.reported("u1")
    scene.previous = scene.status()
    scene.now += 10
    scene.evidence[0] = replace(scene.evidence[0], gaps=(scene.gap(GapCode.CAP_REACHED),))
    second = {one["type"]: one for one in scene.status()["conditions"]}
    first = {one["type"]: one for one in scene.previous["conditions"]}
    assert second["Ready"] == first["Ready"]
    assert second["Complete"]["lastTransitionTime"] != first["Complete"]["lastTransitionTime"]
    scene.previous = scene.status()
    scene.now += 10
    scene.evidence[0] = replace(scene.evidence[0], gaps=(scene.gap(GapCode.LATE_START),))
    third = {one["type"]: one for one in scene.status()["conditions"]}
    assert third["Complete"]["reason"] == "LateStart"
    assert third["Complete"]["lastTransitionTime"] == second["Complete"]["lastTransitionTime"]


class TestPods:
    def test_that_are_over_or_leaving_or_elsewhere_are_not_matched(self, scene: Any) -> None:
        scene.pod("u1", phase="Succeeded")
        scene.pod("u2", terminating=True)
        scene.pod("u3", labels={"app": "db"})
        scene.pod("u4", phase="Failed")
        scene.pods.append(replace(scene.pods[0], uid="u5", namespace="elsewhere", phase="Running"))
        assert scene.status()["pods"]["matched"] == 0

    def test_whose_agent_cannot_trace_report_and_are_not_attached(self, scene: Any) -> None:
        scene.pod("u1")
        scene.reported("u1", scene.gap(GapCode.NOT_TRACING), agent=AgentInfo("0.1.0", "6.1"))
        pods = scene.status()["pods"]
        assert (pods["attached"], pods["reporting"]) == (0, 1)

    def test_that_are_skipped_are_summed_by_reason_with_one_message_each(self, scene: Any) -> None:
        for number in range(3):
            refusal = Refusal("pod_security", f"namespace enforces restricted ({number})")
            scene.pod(f"u{number}", injected=False, refusal=refusal)
        scene.pod("u8", injected=False, refusal=Refusal("opted_out", "it says no"))
        scene.pod("u9", injected=False)
        skipped = scene.status()["pods"]["skipped"]
        assert [(one["reason"], one["count"]) for one in skipped] == [
            ("pod_security", 3),
            ("not_injected", 1),
            ("opted_out", 1),
        ]
        assert skipped[0]["message"] == "namespace enforces restricted (0)"
        assert "restart it" in skipped[1]["message"]
        _fits(scene.status())

    def test_that_fell_silent_are_not_reporting(self, scene: Any) -> None:
        scene.pod("u1")
        scene.reported("u1", last_report_at=scene.now - 91)
        assert scene.status()["display"]["pods"] == "0/1"
        assert scene.condition("Complete")[:2] == ("False", "ReportsOverdue")
        scene.profile = replace(scene.profile, report_interval=60.0)
        assert scene.status()["display"]["pods"] == "1/1"


class TestRecording:
    def test_is_false_while_no_pod_has_an_agent_and_says_why(self, scene: Any) -> None:
        scene.pod("u1", injected=False, refusal=Refusal("pod_security", "namespace enforces restricted"))
        assert scene.condition("Recording")[:2] == ("False", "AllPodsSkipped")
        assert "pod_security: namespace enforces restricted" in scene.condition("Recording")[2]

    def test_waits_for_agents_that_have_just_started(self, scene: Any) -> None:
        scene.pod("u1", created_at=scene.now - 2)
        assert scene.condition("Recording")[:2] == ("False", "WaitingForAgents")
        assert scene.condition("Complete")[:2] == ("Unknown", "NoEvidence")

    def test_is_true_with_one_that_reports(self, scene: Any) -> None:
        scene.pod("u1", injected=False)
        scene.pod("u2")
        scene.reported("u2")
        assert scene.condition("Recording") == ("True", "Recording", "1 of 2 pods report")
        assert scene.status()["display"]["pods"] == "1/2"

    def test_is_paused_when_asked_though_old_agents_go_on(self, scene: Any) -> None:
        scene.profile = replace(scene.profile, paused=True)
        scene.pod("u1")
        scene.reported("u1")
        assert scene.status()["phase"] == "Paused"
        status, reason, message = scene.condition("Recording")
        assert (status, reason) == ("False", "Paused")
        assert "1 pod injected before" in message

    def test_tells_of_kept_evidence_when_all_pods_have_ended(self, scene: Any) -> None:
        scene.reported("u1", ended_at=scene.now - 100, final=True)
        assert scene.condition("Recording")[1:] == (
            "NoMatchingPods",
            "No pod matches the selector now; evidence of 1 pod that ended is kept",
        )
        assert scene.condition("Complete")[0] == "True"


class TestReady:
    def test_is_unknown_until_the_agent_image_has_started_once(self, scene: Any) -> None:
        scene.agent = AgentCheck()
        assert scene.condition("Ready")[:2] == ("Unknown", "AgentImageUnproven")

    def test_is_false_in_kubelets_words_if_it_cannot_start(self, scene: Any) -> None:
        scene.agent = AgentCheck(trouble="ImagePullBackOff: not found")
        status, reason, message = scene.condition("Ready")
        assert (status, reason) == ("False", "AgentImageUnavailable")
        assert "ImagePullBackOff: not found" in message


class TestComplete:
    def test_names_the_most_serious_gap_and_tells_the_others(self, scene: Any) -> None:
        scene.pod("u1")
        scene.pod("u2")
        scene.reported("u1", scene.gap(GapCode.PATH_TRUNCATED, "too deep"), scene.gap(GapCode.LATE_START, "ran before"))
        scene.reported("u2", scene.gap(GapCode.LATE_START, "ran before"))
        status, reason, message = scene.condition("Complete")
        assert (status, reason) == ("False", "LateStart")
        assert message == (
            "ran before (2 pods, since 1970-01-01T02:30:00Z); too deep (1 pod, since 1970-01-01T02:30:00Z)"
        )

    def test_every_gap_code_has_a_rank(self) -> None:
        assert set(SEVERITY) == set(GapCode)
        assert len(SEVERITY) == len(GapCode)

    @pytest.mark.parametrize("code", GapCode)
    def test_any_gap_of_a_wanted_container_prevents_it(self, scene: Any, code: GapCode) -> None:
        scene.pod("u1")
        scene.reported("u1", scene.gap(code, container="u1-c"))
        assert scene.condition("Complete")[0] == "False"
        (image,) = scene.status()["images"]
        assert (image["complete"], image["gaps"]) == (False, [code.value])
        _fits(scene.status())

    def test_pods_that_run_without_an_agent_prevent_it(self, scene: Any) -> None:
        scene.pod("u1")
        scene.pod("u2", injected=False, refusal=Refusal("opted_out", "it says no"))
        scene.reported("u1", scene.gap(GapCode.LATE_START))
        status, reason, message = scene.condition("Complete")
        assert (status, reason) == ("False", "UninjectedPods")
        assert "without an agent: 1 pod (opted_out: it says no)" in message
        assert "LateStart" not in reason
        assert "words" in message

    def test_an_agent_that_does_not_start_prevents_it(self, scene: Any) -> None:
        scene.pod("u1")
        scene.pod("u2", agent_trouble="ImagePullBackOff: x", agent_started=False)
        scene.reported("u1")
        assert scene.condition("Complete")[:2] == ("False", "AgentStuck")

    def test_an_agent_that_runs_and_never_reported_prevents_it(self, scene: Any) -> None:
        scene.pod("u1")
        scene.pod("u2")
        scene.reported("u1")
        assert scene.condition("Complete")[:2] == ("False", "ReportsOverdue")

    def test_a_pod_that_waits_for_a_node_does_not(self, scene: Any) -> None:
        scene.pod("u1")
        scene.pod("u2", phase="Pending", agent_started=False)
        scene.reported("u1")
        assert scene.condition("Complete")[0] == "True"

    def test_evidence_in_another_store_prevents_it_even_before_anything_is_reported(self, scene: Any) -> None:
        scene.lost = scene.gap(GapCode.EVIDENCE_LOST, "it was in another store")
        assert scene.condition("Complete")[:2] == ("False", "EvidenceLost")

    def test_is_unknown_while_a_new_container_is_being_identified_and_false_if_it_stays_so(self, scene: Any) -> None:
        scene.pod("u1")
        unnamed = scene.container("u1-d", "", "", "")
        gap = scene.gap(GapCode.UNRESOLVED_CONTAINER, container="u1-d", since=scene.now - 5)
        scene.reported("u1", gap, containers=(scene.container("u1-c"), unnamed))
        assert scene.condition("Complete")[:2] == ("Unknown", "IdentifyingContainers")
        assert scene.status()["images"][0]["complete"] is False
        scene.now += 11
        assert scene.condition("Complete")[:2] == ("False", "UnresolvedContainer")

    def test_does_not_care_for_containers_that_are_not_wanted(self, scene: Any) -> None:
        scene.profile = replace(scene.profile, exclude_containers=("proxy",))
        scene.pod("u1")
        proxy = scene.container("u1-p", "proxy", "envoy:1", "sha256:e")
        gap = scene.gap(GapCode.CAP_REACHED, container="u1-p")
        scene.reported("u1", gap, containers=(scene.container("u1-c"), proxy))
        assert scene.condition("Complete")[0] == "True"
        assert scene.status()["events"] == 100

    def test_long_words_stay_within_what_the_api_server_takes(self, scene: Any) -> None:
        for number in range(40):
            scene.pod(f"u{number}", injected=False, refusal=Refusal(f"code_{number}", "x" * 5000))
        scene.reported("v1", *(scene.gap(code, "y" * 9000) for code in GapCode))
        _fits(scene.status())


class TestImages:
    def test_are_bounded_and_counted_whole(self, scene: Any) -> None:
        scene.images = tuple(ImageEvidence(f"i:{n}", f"sha256:{n}", 1, 100.0 - n, 1.0) for n in range(MAX_IMAGES + 5))
        status = scene.status()
        _fits(status)
        assert len(status["images"]) == MAX_IMAGES
        assert status["imageCount"] == MAX_IMAGES + 5
        assert status["images"][0]["image"] == "i:0"

    def test_count_the_pods_that_were_folded_into_one(self, scene: Any) -> None:
        scene.reported("u1", containers=(replace(scene.container("c1"), pods=7),), pods=9, ended_at=9_000.0)
        scene.reported("u2")
        assert scene.status()["images"][0]["pods"] == 8
        assert "9 pods that ended" in scene.condition("Recording")[2]

    def test_of_other_containers_do_not_share_a_gap_that_names_one(self, scene: Any) -> None:
        scene.pod("u1")
        containers = (scene.container("c1"), scene.container("c2", "cache", "redis:7", "sha256:r"))
        scene.reported("u1", scene.gap(GapCode.CAP_REACHED, container="c2"), containers=containers)
        scene.images = (*scene.images, ImageEvidence("redis:7", "sha256:r", 3, 1.0, 1.0))
        assert [(one["image"], one["gaps"]) for one in scene.status()["images"]] == [
            ("nginx:1.27", []),
            ("redis:7", ["cap_reached"]),
        ]


class TestUnprofiledUse:
    """Pods without an agent that have ended: what they used of an image is not known."""

    @pytest.fixture(autouse=True)
    def _recorded(self, scene: Any) -> None:
        scene.pod("u1")
        scene.reported("u1")
        assert scene.condition("Complete")[0] == "True"

    def use(self, scene: Any, **more: Any) -> Unprofiled:
        use = Unprofiled("nightly", "nginx:1.27", scene.digest, 9_100.0, 9_200.0, "agent_unproven")
        return replace(use, **more)

    def test_of_an_image_in_the_evidence_is_said_until_a_pod_like_them_is_recorded(self, scene: Any) -> None:
        scene.unprofiled = (self.use(scene),)
        status, reason, words = scene.condition("Complete")
        assert (status, reason) == ("False", "UnprofiledUse")
        assert "nightly" in words
        assert "agent_unproven" in words
        assert scene.status()["images"][0]["gaps"] == ["unprofiled_use"]
        _fits(scene.status())
        scene.reported("u2", containers=(scene.container("c9", "nightly"),))
        assert scene.condition("Complete")[1] == "UnprofiledUse", "it began before that one"
        later = replace(scene.container("c9", "nightly"), started_at=9_150.0)
        scene.reported("u3", containers=(later,))
        assert scene.condition("Complete")[0] == "True"

    def test_of_other_images_or_containers_that_are_not_wanted_is_no_gap(self, scene: Any) -> None:
        scene.unprofiled = (self.use(scene, digest="sha256:other"),)
        assert scene.condition("Complete")[0] == "True"
        scene.profile = replace(scene.profile, exclude_containers=("nightly",))
        scene.unprofiled = (self.use(scene),)
        assert scene.condition("Complete")[0] == "True"

    def test_of_an_unknown_digest_or_anything_counts(self, scene: Any) -> None:
        for use in (self.use(scene, digest=""), self.use(scene, name="", image="", digest="")):
            scene.unprofiled = (use,)
            assert scene.condition("Complete")[1] == "UnprofiledUse"
        scene.unprofiled = (self.use(scene, digest="", image="other:1"),)
        assert scene.condition("Complete")[0] == "True"

    def test_by_a_pod_that_lives_is_told_by_its_own_count(self, scene: Any) -> None:
        identity = Identity("nightly", "nginx:1.27", scene.digest)
        scene.pod("u5", injected=False, containers={"c5": identity}, refusal=Refusal("opted_out", "it says no"))
        scene.unprofiled = (self.use(scene),)
        _, reason, words = scene.condition("Complete")
        assert reason == "UninjectedPods"
        assert "nightly" not in words


def test_gaps_that_are_no_single_pods_are_every_images(scene: Any) -> None:
    scene.pod("u1")
    scene.reported("u1")
    scene.gaps = (scene.gap(GapCode.UNRESOLVED_POD, "two pods", count=2),)
    assert scene.condition("Complete")[:2] == ("False", "UnresolvedPod")
    assert scene.status()["images"][0]["gaps"] == ["unresolved_pod"]


def test_reports_without_a_container_are_no_evidence_yet(scene: Any) -> None:
    scene.pod("u1")
    scene.reported("u1", containers=())
    assert scene.condition("Complete")[:2] == ("Unknown", "NoEvidence")
    scene.evidence[0] = replace(scene.evidence[0], gaps=(scene.gap(GapCode.NOT_TRACING),))
    assert scene.condition("Complete")[:2] == ("False", "NotTracing")


def test_a_store_that_replaced_another_is_noticed_only_if_something_was_lost() -> None:
    assert lost_store({}, "new") == ""
    assert lost_store({"storeID": "old", "imageCount": 0}, "new") == ""
    assert lost_store({"storeID": "new", "imageCount": 3}, "new") == ""
    assert lost_store({"storeID": "old", "imageCount": 3}, "new") == "old"
    twice = {"storeID": "old", "imageCount": 0, "conditions": [{"type": "Complete", "reason": "EvidenceLost"}]}
    assert lost_store(twice, "new") == "old"


def test_an_invalid_profile_keeps_what_was_counted_and_says_what_is_wrong(scene: Any) -> None:
    scene.pod("u1")
    scene.reported("u1")
    before = scene.status()
    status = invalid(4, "spec.selector: empty", before, scene.now + 5)
    _fits(status)
    assert (status["phase"], status["observedGeneration"], status["files"]) == ("Failed", 4, 41)
    told = {one["type"]: one for one in status["conditions"]}
    assert (told["Ready"]["status"], told["Ready"]["message"]) == ("False", "spec.selector: empty")
    assert invalid(4, "spec.selector: empty", status, scene.now + 50) == status
