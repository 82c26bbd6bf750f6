"""Figures, and how they are told."""

import json
from pathlib import Path

import pytest
from tests.bench import soak, table
from tests.bench.machine import Machine
from tests.bench.report import Report
from tests.bench.table import Row
from tests.bench.trouble import BenchError

MACHINE = Machine("a processor", 2, 24, "6.18", "abc", "2026-01-01")
ROWS = [
    Row("overhead", "an open", "raw_tp", 400.0, "ns", 450.0),
    Row("overhead", "a getppid", "raw_tp", 60.0, "ns", 50.0),
    Row("overhead", "an open", "fexit", detail="refused here"),
    Row("memory", "RSS", "a|b", 33.4, "MiB"),
]


def test_a_figure_is_judged_by_its_target_and_not_without_one() -> None:
    assert [row.verdict for row in ROWS] == ["ok", "over", "", ""]


def test_a_row_is_the_median_of_its_rounds_and_says_how_far_they_lie_apart() -> None:
    row = table.median_row([3.0, 1.0, 20.0], Row("overhead", "an open", detail="untraced 9 ns"))
    assert row.value == 3.0
    assert row.detail == "untraced 9 ns; 1 to 20 in 3 rounds"


def test_the_percentile_is_one_of_the_values() -> None:
    assert table.percentile([5, 1, 4, 2, 3], 0.5) == 3
    assert table.percentile([5, 1, 4, 2, 3], 0.99) == 5


def test_the_table_ends_with_a_sum() -> None:
    assert table.shape(ROWS).splitlines()[-1] == "4 figures: 1 within their targets, 1 over, 1 not measured"


def test_the_documents_table_is_replaced_and_what_is_around_it_stays(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    for _ in range(2):
        table.write_docs(page, ROWS, MACHINE, "make bench", ["others were busy"])
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert r"| RSS | a\|b | 33.4 MiB |" in text
    assert text.count("| an open | raw_tp | 400 ns | ≤ 450 ns | ok |  |") == 1
    assert "Others were busy." in text


def test_the_json_file_has_every_sample(tmp_path: Path) -> None:
    rows = [table.median_row([1.0, 2.0, 3.0], Row("overhead", "an open"))]
    table.write_json(tmp_path / "figures", table.as_document(rows, MACHINE, "make bench", []))
    told = json.loads((tmp_path / "figures").read_text())
    assert told["rows"][0]["samples"] == [1.0, 2.0, 3.0]
    assert told["machine"]["kernel"] == "6.18"


def test_memory_that_rises_is_told_from_memory_that_scatters() -> None:
    assert soak.rise([10.0, 10.5, 11.0, 11.5]) == pytest.approx(1.5)
    assert abs(soak.rise([10.0, 11.0, 10.0, 11.0, 10.0])) < 0.1
    assert soak.sparkline([1, 1, 1]) == "▁▁▁"
    assert soak.sparkline([1, 2, 3]) == "▁▄█"


def test_a_report_is_read_for_files_losses_and_gaps(tmp_path: Path) -> None:
    path = tmp_path / "report"
    seen = [{"path": "/snoop-bench/files/d00000/f0000001"}, {"path": "/etc/passwd"}]
    gap = {"code": "records_lost", "message": "no room"}
    path.write_text(
        json.dumps(
            {
                "total_events": 5,
                "dropped_events": 2,
                "gaps": [],
                "containers": [{"observations": seen, "gaps": [gap]}],
            }
        )
    )
    report = Report.read(path)
    assert (report.events, report.lost, set(report.gaps)) == (5, 2, {"records_lost"})
    assert report.below(Path("/snoop-bench/files")) == 1
    path.write_text("{")
    with pytest.raises(BenchError, match="no report"):
        Report.read(path)
