"""`snoop report` sums up, and says what may be missing and what to do about it."""

import json

import pytest
import yaml
from tests.cli.conftest import DIGEST, START, container, late, report, used

from snoop_cli.advice import ADVICE
from snoop_report.model import Gap, GapCode

APP = container(
    used("/bin/app", "execute"),
    used("/lib/x", "read", "map", target="/usr/lib/x"),
    used("/gone", outcome="missing"),
    used("/no", outcome="denied"),
    dropped_events=2,
)


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_the_table_counts_paths_by_outcome_and_kind(snoop, written) -> None:
    done = snoop("report", written(report(APP)))
    assert (done.returncode, done.stderr) == (0, "")
    assert ["app", "nginx:1.25", "1", "3", "1", "1", "0", "40", "2", "True"] in rows(done.stdout)
    assert ["map", "2"] in rows(done.stdout)
    assert "2026-01-15 10:30:00Z to 2026-01-15 10:45:00Z (15m)" in done.stdout
    assert "complete: nothing is known to be missing" in done.stdout
    assert "/dev/, /proc/, /sys/" in done.stdout


def test_pods_of_one_image_share_a_line(snoop, written) -> None:
    second = report(container(used("/bin/app"), used("/new"), id="2" * 64), pod_uid="uid-1", pod_name="web-1")
    other = report(container(used("/x"), id="3" * 64, digest="sha256:cd", image="nginx:1.26"), pod_uid="uid-2")
    document = json.loads(snoop("report", written(report(APP), second, other), "-o", "json").stdout)
    assert [(one["image"], one["pods"], one["paths"]["exists"]) for one in document["containers"]] == [
        ("nginx:1.25", 2, 4),
        ("nginx:1.26", 1, 1),
    ]
    assert document["containers"][0]["digest"] == DIGEST


def test_gaps_are_told_with_their_words_and_a_way_out(snoop, written) -> None:
    done = snoop("report", written(report(APP, gaps=[late(APP.id)])))
    assert "INCOMPLETE: 1 gap, see below" in done.stdout
    told = done.stdout[done.stdout.index("late_start") :]
    assert "seen   containers ran 3 s before the hooks (shop/web-0 app)" in told
    assert "means  What a container used" in told
    assert "to do  Give the agent more CPU" in told


def test_a_gap_of_one_container_leaves_the_other_complete(snoop, written) -> None:
    path = written(report(APP, container(used("/b"), name="side", id="2" * 64), gaps=[late(APP.id)]))
    document = json.loads(snoop("report", path, "-o", "json").stdout)
    assert {one["name"]: one["gaps"] for one in document["containers"]} == {"app": ["late_start"], "side": []}
    assert document["complete"] is False


def test_a_gap_of_the_pod_is_one_of_each_container(snoop, written) -> None:
    path = written(report(APP, container(used("/b"), name="side", id="2" * 64), gaps=[late()]))
    document = json.loads(snoop("report", path, "-o", "json").stdout)
    assert [one["complete"] for one in document["containers"]] == [False, False]


@pytest.mark.parametrize("code", GapCode)
def test_each_gap_has_a_meaning_and_a_way_out(code) -> None:
    assert all(words.endswith((".", "?")) for words in ADVICE[code])


def test_a_report_without_any_use_is_not_complete(snoop, written) -> None:
    done = snoop("report", written(report(container())), "--require-complete")
    assert "nothing_recorded" in done.stdout
    assert done.returncode == 3


def test_completeness_may_be_required(snoop, written) -> None:
    assert snoop("report", written(report(APP)), "--require-complete").returncode == 0
    done = snoop("report", written(report(APP, gaps=[late()])), "--require-complete")
    assert done.returncode == 3
    assert "INCOMPLETE" in done.stdout
    assert done.stderr.startswith("snoop: the evidence is incomplete (late_start)")


def test_json_and_yaml_hold_the_same(snoop, written) -> None:
    path = written(report(APP, gaps=[late()]))
    document = json.loads(snoop("report", path, "-o", "json").stdout)
    assert yaml.safe_load(snoop("report", path, "-o", "yaml").stdout) == document
    assert (document["started_at"], document["pods"]) == ("2026-01-15T10:30:00.000Z", ["shop/web-0"])
    assert document["gaps"][0]["to_do"] == ADVICE["late_start"].do


def test_an_agents_words_cannot_forge_lines(snoop, written) -> None:
    gap = Gap(GapCode.BLIND_SPOT, "evil\nevidence   complete\x1b[2J", START)
    done = snoop("report", written(report(APP, gaps=[gap], pod_name="a\x1b[2Jb")))
    assert "\x1b" not in done.stdout
    assert "seen   evil evidence complete\\x1b[2J (shop/a\\x1b[2Jb)" in done.stdout


def test_many_words_of_one_gap_are_cut_short_unless_wide(snoop, written) -> None:
    gaps = [Gap(GapCode.BLIND_SPOT, f"way {number}", START, 1, f"{number}" * 12) for number in range(5)]
    path = written(report(APP, gaps=gaps))
    assert "and 2 more: -o wide" in snoop("report", path).stdout
    assert "way 4" in snoop("report", path, "-o", "wide").stdout
