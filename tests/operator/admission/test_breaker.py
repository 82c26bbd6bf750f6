"""One pod of an owner may wait for us, not two. Time is given."""

from typing import Any

import pytest

from snoop_operator.admission import breaker as module
from snoop_operator.admission.breaker import APPEARANCE, FORGET, HOLD, Breaker, owner_key
from snoop_operator.workload import PodState

IMAGE = "agent:1"
OWNER = "u-1"


def state(name: str, **more: Any) -> PodState:
    known = {"namespace": "shop", "uid": f"uid-{name}", "owner": OWNER, "injected": True, "agent_image": IMAGE}
    return PodState(name=name, **{**known, **more})


def ask(
    breaker: Breaker, now: float, *pods: PodState, proven: bool = True, failure: str = "", image: str = IMAGE
) -> str:
    """The code of the refusal, or "inject"; and note the injection, as the webhook does."""
    refusal = breaker.decide(OWNER, image, proven, failure, pods, now)
    if refusal is None:
        breaker.note(OWNER, now)
    return refusal.code if refusal else "inject"


def test_pods_of_a_proven_image_are_injected_as_fast_as_they_come() -> None:
    breaker = Breaker()
    assert [ask(breaker, 0.001 * index) for index in range(100)] == ["inject"] * 100


def test_until_the_image_is_proven_one_pod_of_an_owner_tries_it() -> None:
    breaker = Breaker()
    assert ask(breaker, 0.0, proven=False) == "inject"
    assert ask(breaker, 0.1, proven=False) == "agent_unproven"
    assert ask(breaker, 5.0, state("a"), proven=False) == "agent_unproven"
    assert ask(breaker, 9.0, state("a", agent_started=True)) == "inject"


def test_an_image_that_could_not_be_started_is_not_tried_on_anyone() -> None:
    assert ask(Breaker(), 0.0, proven=False, failure="ErrImagePull: not found") == "agent_unproven"


def test_another_owner_has_its_own_try() -> None:
    breaker = Breaker()
    assert ask(breaker, 0.0, proven=False) == "inject"
    assert breaker.decide("u-2", IMAGE, False, "", [], 0.1) is None


def test_a_pod_stuck_in_our_container_spares_the_next_ones_also_when_it_is_gone() -> None:
    breaker = Breaker()
    stuck = state("a", agent_trouble="ImagePullBackOff: no such image")
    assert ask(breaker, 0.0, stuck) == "agent_stuck"
    assert ask(breaker, 1.0) == "agent_stuck"
    assert ask(breaker, HOLD + 2.0) == "inject"


def test_trouble_told_between_two_admissions_is_remembered() -> None:
    breaker = Breaker()
    breaker.saw(state("a", agent_trouble="CrashLoopBackOff"), 0.0)
    assert ask(breaker, 1.0) == "agent_stuck"


def test_a_new_agent_image_starts_with_a_clean_record() -> None:
    breaker = Breaker()
    breaker.saw(state("a", agent_trouble="CrashLoopBackOff"), 0.0)
    assert ask(breaker, 1.0, image="agent:2") == "inject"


def test_an_agent_that_started_after_all_clears_its_owner() -> None:
    breaker = Breaker()
    breaker.saw(state("a", agent_trouble="ErrImagePull"), 0.0)
    breaker.saw(state("a", agent_started=True), 1.0)
    assert ask(breaker, 2.0) == "inject"


def test_a_replica_set_whose_pods_are_refused_after_us_gets_its_pods_within_seconds() -> None:
    breaker = Breaker()
    now, said = 0.0, []
    for attempt in range(12):
        said.append(ask(breaker, now))
        now += 0.005 * 2**attempt
    assert said[0] == "inject"
    assert said[-1] == "pod_rejected"
    first = said.index("pod_rejected")
    assert 0.005 * (2**first - 1) < 3.0


def test_pods_that_appear_are_not_taken_for_refused_ones() -> None:
    breaker = Breaker()
    assert ask(breaker, 0.0) == "inject"
    assert ask(breaker, 5.0, state("a")) == "inject"
    assert ask(breaker, 10.0, state("a"), state("b")) == "inject"


def test_a_pod_that_lived_for_a_moment_is_not_taken_for_a_refused_one() -> None:
    breaker = Breaker()
    assert ask(breaker, 0.0) == "inject"
    breaker.saw(state("a"), 0.5)
    assert ask(breaker, 5.0) == "inject"


def test_pods_from_before_the_operator_started_do_not_hide_a_refusal() -> None:
    breaker = Breaker()
    old = state("old")
    assert ask(breaker, 0.0, old) == "inject"
    assert ask(breaker, APPEARANCE + 0.1, old) == "pod_rejected"


def test_a_refusal_is_forgiven_when_a_pod_comes_through() -> None:
    breaker = Breaker()
    ask(breaker, 0.0)
    assert ask(breaker, 2.0) == "pod_rejected"
    assert ask(breaker, 3.0, state("a")) == "inject"


def test_an_injection_of_long_ago_says_nothing() -> None:
    breaker = Breaker()
    ask(breaker, 0.0)
    assert ask(breaker, FORGET + 1.0) == "inject"


def test_a_pod_alone_is_its_own_owner_by_name_and_without_a_name_tries_nothing() -> None:
    assert owner_key("shop", "", "lone") == "shop/lone"
    assert owner_key("shop", "", "") == ""
    breaker = Breaker()
    refusal = breaker.decide("", IMAGE, False, "", [], 0.0)
    assert refusal is not None
    assert refusal.code == "agent_unproven"
    for now in (0.0, 5.0):
        assert breaker.decide("", IMAGE, True, "", [], now) is None
        breaker.note("", now)


def test_the_memo_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_OWNERS", 10)
    monkeypatch.setattr(module, "_UIDS", 5)
    breaker = Breaker()
    for index in range(50):
        breaker.decide(f"u-{index}", IMAGE, True, "", [], 0.0)
        breaker.note(f"u-{index}", 0.0)
        breaker.saw(state(f"p{index}", owner="u-49"), 0.0)
    assert len(breaker._owners) == 10
    assert len(breaker._owners["u-49"].appeared) <= 5
