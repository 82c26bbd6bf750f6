"""When a slimmed root did the same, and what a verdict foretold."""

import pytest
from tests.slimproof.app import App
from tests.slimproof.compare import Ran, Verdicts, agrees, differences, lost

APP = App("a", "an app", "true", normalise=((r"pid \d+", "pid N"),))


def document(**verdicts: str) -> dict[str, object]:
    """Shape what `snoop analyze -o json` says, a byte a file."""
    totals = {
        word: {"files": count, "bytes": count}
        for word in ("used", "needed", "protected", "unused", "unknown")
        for count in [list(verdicts.values()).count(word)]
    }
    files = [{"path": f"/{name}", "verdict": verdict} for name, verdict in verdicts.items()]
    return {"totals": totals, "packages": [{"use": "unused"}, {"use": "partly_used"}], "files": files}


def test_the_same_words_and_status_are_no_difference() -> None:
    assert differences(APP, Ran(0, "a\npid 7\n"), Ran(0, "a\npid 8\n")) == []


def test_another_word_is_a_difference_and_is_shown() -> None:
    assert differences(APP, Ran(0, "a\nb\n"), Ran(0, "a\nc\n")) == ["-b", "+c"]


def test_another_status_is_a_difference_though_the_words_are_the_same() -> None:
    assert differences(APP, Ran(0, "a\n"), Ran(1, "a\n")) == ["status 1 instead of 0"]


def test_what_is_not_said_any_more_is_a_difference() -> None:
    assert differences(APP, Ran(0, "a\nb\n"), Ran(0, "a\n")) == ["-b"]


def test_the_totals_after_are_those_before_without_what_is_unused() -> None:
    told = Verdicts.of(document(a="used", b="needed", c="unused", d="unknown"))
    assert (told.before, told.after, told.packages) == ((4, 4), (3, 3), (1, 2))


def test_lost_is_what_the_other_workload_used_and_the_verdict_calls_unused() -> None:
    first = Verdicts.of(document(kept="used", brought="needed", gone="unused", idle="unused"))
    other = Verdicts.of(document(kept="used", brought="used", gone="used", idle="needed"))
    assert lost(first, other) == ["/gone"]


def test_an_image_that_changed_between_two_workloads_is_an_error() -> None:
    with pytest.raises(KeyError):
        lost(Verdicts.of(document()), Verdicts.of(document(new="used")))


@pytest.mark.parametrize(
    ("without", "differs", "good"),
    [([], [], True), ([], ["+b"], False), (["/f"], ["+b"], True), (["/f"], [], True)],
    ids=["kept and the same", "kept and yet different", "lost and different", "lost and not missed"],
)
def test_only_a_difference_that_was_not_foretold_disagrees(without: list[str], differs: list[str], good: bool) -> None:
    assert agrees(without, differs) is good
