"""What a status says of what its images hold."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from snoop_operator.inventories.findings import Findings, Known, Trouble
from snoop_operator.inventories.summary import size
from snoop_operator.store.interface import ImageEvidence
from snoop_report.model import GapCode, Identity

_CRD = Path(__file__).parents[3] / "crds" / "snoopprofile.yaml"
OTHER = "sha256:" + "b" * 64
FOUND = Findings(100, 200 << 20, 150 << 20, 50 << 20, 7, complete=True)
LATER = ("filesTotal", "bytesTotal", "bytesUsed", "bytesUnused", "unusedPackages")


@pytest.fixture
def judged(scene: Any) -> Any:
    """A profile whose one image is known and whose evidence is complete."""
    scene.pod("u1")
    scene.reported("u1")
    scene.known = Known({scene.digest: FOUND})
    return scene


def _two_images(scene: Any) -> None:
    scene.images = (*scene.images, ImageEvidence("log:1", OTHER, 3, 9_000.0, 9_500.0))
    scene.reported("u1b", containers=(scene.container("log-c", "log", "log:1", OTHER),))


def test_on_complete_evidence_the_status_tells_what_was_not_seen_in_use(judged: Any) -> None:
    status = judged.status()
    (version,) = yaml.safe_load(_CRD.read_text())["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]["properties"]["status"]
    jsonschema.Draft202012Validator(schema).validate(status)
    assert set(status) <= set(schema["properties"])
    (image,) = status["images"]
    assert set(image) <= set(schema["properties"]["images"]["items"]["properties"])
    assert [image[key] for key in LATER] == [100, 200 << 20, 150 << 20, 50 << 20, 7]
    assert (status["bytesUsed"], status["bytesUnused"], status["unusedPackages"]) == (150 << 20, 50 << 20, 7)
    assert status["display"] == {"pods": "1/1", "used": "150 MiB", "unused": "50 MiB"}
    assert set(status["display"]) <= set(schema["properties"]["display"]["properties"])
    assert judged.condition("Inventoried") == ("True", "Inventoried", "1 of 1 image compared with what was recorded")


def test_where_nobody_looks_the_status_is_as_before(judged: Any) -> None:
    judged.known = None
    status = judged.status()
    assert [one["type"] for one in status["conditions"]] == ["Ready", "Recording", "Complete"]
    assert not set(LATER) & (set(status) | set(status["images"][0]))
    assert status["display"] == {"pods": "1/1"}


def test_a_gap_takes_back_what_was_unused_at_once(judged: Any) -> None:
    judged.evidence.clear()
    judged.reported("u1", judged.gap(GapCode.RECORDS_LOST))
    status = judged.status()
    assert status["bytesUsed"] == 150 << 20
    assert not {"bytesUnused", "unusedPackages"} & (set(status) | set(status["images"][0]))
    assert status["display"]["unused"] == "incomplete"


def test_a_verdict_on_incomplete_evidence_makes_nothing_unused(judged: Any) -> None:
    judged.known = Known({judged.digest: replace(FOUND, complete=False)})
    assert "bytesUnused" not in judged.status()


@pytest.mark.parametrize("digest", ["same", ""])
def test_a_pod_without_an_agent_that_runs_the_image_makes_nothing_unused(judged: Any, digest: str) -> None:
    one = Identity("nginx", "nginx:1.27", judged.digest if digest else "")
    judged.pod("bare", injected=False, containers={"x": one})
    assert judged.status()["display"]["unused"] == "incomplete"


def test_a_pod_without_an_agent_that_is_about_to_start_may_run_any_image(judged: Any) -> None:
    judged.pod("bare", injected=False, phase="Pending", containers={})
    assert judged.status()["display"]["unused"] == "incomplete"


def test_a_pod_without_an_agent_that_runs_another_image_takes_nothing_back(judged: Any) -> None:
    judged.pod("bare", injected=False, containers={"x": Identity("log", "log:1", OTHER)})
    assert judged.status()["display"]["unused"] == "50 MiB"


def test_what_could_not_be_read_of_an_image_is_said(judged: Any) -> None:
    judged.known = Known({judged.digest: replace(FOUND, notes=3, note="/lib/big.so: too big")})
    assert "nginx:1.27: /lib/big.so: too big (and 2 more" in judged.condition("Inventoried")[2]


def test_the_sum_is_told_only_if_it_is_known_of_every_image(judged: Any) -> None:
    _two_images(judged)
    status = judged.status()
    assert "bytesUsed" not in status
    assert status["display"]["used"] == status["display"]["unused"] == "partial"
    assert judged.condition("Inventoried")[:2] == ("Unknown", "InProgress")
    judged.known = Known({judged.digest: FOUND, OTHER: FOUND})
    assert judged.status()["bytesUnused"] == 100 << 20


def test_a_registry_that_cannot_be_reached_is_a_condition_with_a_way_out(judged: Any) -> None:
    judged.known = Known({judged.digest: Trouble("InventoryFailed", "nginx:1.27: cannot be reached")})
    status, reason, message = judged.condition("Inventoried")
    assert (status, reason) == ("False", "InventoryFailed")
    assert "0 of 1 image" in message
    assert "nginx:1.27: cannot be reached" in message
    assert "snoop analyze" in message
    assert judged.condition("Complete")[0] == "True", "the evidence is as good as before"


def test_pods_that_use_the_image_and_are_not_selected_are_said(judged: Any) -> None:
    judged.known = replace(judged.known, unrecorded={judged.digest: 3})
    status, _, message = judged.condition("Inventoried")
    assert status == "True"
    assert "3 pods of this namespace" in message


def test_a_profile_that_wants_no_inventory_says_so(judged: Any) -> None:
    judged.profile = replace(judged.profile, inventory_source="None")
    judged.known = Known()
    assert judged.condition("Inventoried")[:2] == ("False", "NotWanted")


def test_before_any_evidence_nothing_is_known(scene: Any) -> None:
    scene.known = Known()
    assert scene.condition("Inventoried")[:2] == ("Unknown", "NoEvidence")
    assert scene.status()["display"] == {"pods": "0/0"}


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (142 << 20, "142 MiB"), (3 << 29, "1.5 GiB")]
)
def test_bytes_are_written_for_people(number: int, words: str) -> None:
    assert size(number) == words
