"""The HTML report as a file: what stands in it, and that nothing in it can run but its own script.

What a browser makes of it is tested in tests/browser.
"""

import base64
import hashlib
import json
import re
from importlib import resources
from typing import Any

import pytest
from tests.cli.conftest import DIGEST, ID, START, container, late, report, used

from snoop_cli.evidence import Evidence, gather
from snoop_cli.formats.document import document, figures
from snoop_image.model import Entry, FileType, Inventory
from snoop_image.totals import ORDER
from snoop_image.verdict import Judgement, analyze

HOSTILE = "</script><script>alert(1)</script>"


def written(*given: Any) -> str:
    return "".join(document(*given))


def data(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    embedded: dict[str, Any] = json.loads(found.group(1))
    return embedded


def visible(page: str) -> str:
    return page[page.index("<body>") : page.index('<script type="application/json"')]


def judged(*gaps: Any) -> tuple[Evidence, Judgement]:
    inventory = Inventory("web:1", DIGEST)
    inventory.entries = {
        "/": Entry("/", FileType.DIRECTORY, 0o755),
        "/app": Entry("/app", FileType.FILE, 0o755, size=100, link=1),
        "/second-name": Entry("/second-name", FileType.FILE, 0o755, size=100, link=1),
        "/spare": Entry("/spare", FileType.FILE, 0o644, size=3 << 20),
    }
    found = gather([report(container(used("/app", "execute")), gaps=gaps)])
    return found, analyze(found.reports, inventory)


def test_report_writes_it(snoop, written) -> None:
    done = snoop("report", written(report(container(used("/bin/app", "execute")))), "-o", "html")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("<!DOCTYPE html>")
    assert done.stdout.endswith("</html>\n")
    assert "1 path was seen in use" in done.stdout


def test_the_verdict_says_where_and_for_how_long_was_looked() -> None:
    page = visible(written(*judged()))
    assert "3.0 MiB of 3.0 MiB (99 %) not seen in use" in page
    assert "2 files not seen in use in 1 pod over 15 minutes" in page
    assert "removable" not in page


def test_on_incomplete_evidence_nothing_is_called_unused() -> None:
    page = written(*judged(late(ID)))
    assert "Incomplete evidence: nothing is called unused" in visible(page)
    assert "containers ran 3 s before the hooks" in visible(page)
    assert "Give the agent more CPU" in visible(page)
    unused = ORDER.index("unused")
    assert data(page)["sums"][unused] == [0, 0]
    assert str(unused) not in "".join(group[2] for group in data(page)["files"])


def test_bytes_of_hard_links_count_once() -> None:
    embedded = data(written(*judged()))
    assert embedded["files"] == [["", ["app", "second-name", "spare"], "044", [100, -100, 3 << 20]]]
    assert embedded["sums"][0] == [1, 100]


def test_without_an_image_paths_are_counted_by_how_they_were_used() -> None:
    seen = [used("/bin/app", "execute"), used("/etc/x"), used("/run/y", "write"), used("/z", "stat")]
    embedded = data(written(gather([report(container(*seen, used("/gone", outcome="missing")))])))
    assert [one[0] for one in embedded["sums"]] == [1, 1, 1, 1, 1, 0]
    assert [one["drawn"] for one in embedded["classes"]] == [True] * 4 + [False] * 2


def test_classes_are_in_the_order_of_the_verdicts() -> None:
    assert tuple(kin.key for kin in figures.VERDICTS) == ORDER


@pytest.mark.parametrize("where", ["path", "pod", "image", "gap"])
def test_no_name_ends_an_element(where: str) -> None:
    path = f"/{HOSTILE}" if where == "path" else "/x"
    told = {"pod_name": HOSTILE} if where == "pod" else {}
    image = {"image": HOSTILE} if where == "image" else {}
    gap = late()
    gaps = [type(gap)(gap.code, HOSTILE, START)] if where == "gap" else []
    page = written(gather([report(container(used(path), **image), gaps=gaps, **told)]))
    assert page.count("<script") == page.count("</script>") == 2
    assert "alert(1)" in page


def test_bytes_that_are_no_text_and_marks_that_turn_text_are_spelled_out() -> None:
    page = written(gather([report(container(used("/a/\udcff"), used("/a/\u202egnp.exe")))]))
    page.encode("utf-8")
    assert data(page)["files"][0][1] == ["\\xe2\\x80\\xaegnp.exe", "\\xff"]


def test_the_policy_allows_the_style_and_the_script_that_are_there_and_nothing_else() -> None:
    page = written(*judged())
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy.group(1).split(";"))
    for rule, found in (
        ("script-src", re.search(r"<script>(.*?)</script>", page, re.DOTALL)),
        ("style-src", re.search(r"<style>(.*?)</style>", page, re.DOTALL)),
    ):
        assert found is not None
        digest = base64.b64encode(hashlib.sha256(found.group(1).encode()).digest()).decode()
        assert rules.pop(rule) == f"'sha256-{digest}'"
    assert rules == {"default-src": "'none'", "img-src": "data:", "base-uri": "'none'", "form-action": "'none'"}
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert " style=" not in visible(page)


def test_its_own_code_stays_below_60_kb() -> None:
    folder = resources.files("snoop_cli.formats.document")
    assert sum(len(folder.joinpath(name).read_bytes()) for name in ("document.css", "document.js")) < 60_000


def test_growth_that_has_ended_is_told_from_growth_that_goes_on() -> None:
    early = figures.growth([START + at / 10 for at in range(1000)], START, START + 900)
    steady = figures.growth([START + at * 0.9 for at in range(1000)], START, START + 900)
    assert early is not None
    assert steady is not None
    assert (early.settled, steady.settled) == (True, False)
    assert early.points[-1][1] == steady.points[-1][1] == 1000
    assert len(steady.points) < 300
    assert "499 in the second half" in steady.words
    assert figures.growth([0.0], START, START + 1) is None


def test_files_on_volumes_are_no_growth() -> None:
    found = gather([report(container(used("/bin/app"), used("/data/1", volume=True, at=800)))])
    assert len(figures.first_seen(figures.seen(found))) == 1


def test_many_pods_are_named_in_part() -> None:
    reports = [report(container(used("/x")), pod_name=f"web-{at}", pod_uid=f"uid-{at}") for at in range(9)]
    assert "<h1>shop/web-0, shop/web-1, shop/web-2 and 6 more</h1>" in written(gather(reports))
