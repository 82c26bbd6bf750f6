"""`snoop diff` tells what only one of two used, and does not take ignorance for a difference in silence."""

import json

import pytest
import yaml
from tests.cli.conftest import container, late, report, used

BASE = (used("/same"), used("/old", "execute"), used("/how", "stat"))
NEXT = (used("/same"), used("/new", "map"), used("/how", "stat", "read"), used("/old", outcome="missing"))


@pytest.fixture
def both(written):
    return written(report(container(*BASE)), to="a.json"), written(report(container(*NEXT)), to="b.json")


def test_each_difference_is_a_line_in_the_order_of_paths(snoop, both) -> None:
    done = snoop("diff", "a.json", "b.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "--- a.json (shop/web-0)",
        "+++ b.json (shop/web-0)",
        "~ /how  (stat -> read,stat)",
        "+ /new  (map)",
        "- /old  (execute; missing in B)",
        "1 path only in A, 1 only in B, 1 used in another way, 1 in the same way",
    ]


def test_the_status_tells_differences_only_if_asked(snoop, both) -> None:
    a, b = both
    assert [snoop("diff", a, other, "--exit-code").returncode for other in (a, b)] == [0, 1]
    assert snoop("diff", a, b).returncode == 0


def test_filters_hold_for_both(snoop, both) -> None:
    a, b = both
    assert snoop("diff", a, b, "--exit-code", "--match", "/same").returncode == 0
    assert snoop("diff", a, b, "-o", "name", "--kind", "map").stdout == "+/new\n"
    assert snoop("diff", a, b, "-o", "name", "--outcome", "missing").stdout == "+/old\n"


def test_json_and_yaml_hold_the_same(snoop, both) -> None:
    document = json.loads(snoop("diff", *both, "-o", "json").stdout)
    assert yaml.safe_load(snoop("diff", *both, "-o", "yaml").stdout) == document
    assert [one["path"] for one in document["only_a"] + document["only_b"]] == ["/old", "/new"]
    assert document["changed"] == [
        {"path": "/how", "outcome": "exists", "kinds_a": ["stat"], "kinds_b": ["read", "stat"]}
    ]
    assert (document["differs"], document["same"]) == (True, 1)


def test_a_gap_of_one_side_is_told_twice(snoop, both, written) -> None:
    b = written(report(container(*BASE), gaps=[late()]), to="b.json")
    done = snoop("diff", "a.json", "b.json", "--exit-code")
    assert "+ gap late_start" in done.stdout
    assert done.stderr.startswith("snoop: b.json is incomplete (late_start): what is not listed may have been used")
    assert done.returncode == 0
    assert snoop("diff", "a.json", b, "--exit-code", "--require-complete").returncode == 3


def test_a_container_that_one_side_lacks_is_told(snoop, both, written) -> None:
    written(report(container(*BASE, name="web")), to="b.json")
    done = snoop("diff", "a.json", "b.json", "-c", "app", "-o", "name")
    assert done.stderr == "snoop: b.json has no container app\n"
    assert snoop("diff", "a.json", "b.json", "-c", "none").returncode == 2
