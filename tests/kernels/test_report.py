"""The matrix of kernels: what was not measured is never shown as good, what is refused is so for a known reason."""

from typing import Any

from tests.kernels import report

TEXT = f"above\n{report.BEGIN}\nold\n{report.END}\nbelow\n"


def cell(**other: Any) -> report.Cell:
    return {
        "asked": "6.1",
        "kernel": "6.1.0",
        "cgroup": "v2",
        "way": "raw_tp",
        "paranoid": 2,
        "rights": "root",
        "workloads": "core",
        "state": "ok",
        "words": "",
        "checked": 9,
        "missed": [],
        "invented": [],
        "notes": [],
        "seconds": 1.0,
        "day": "today",
        "commit": "abc",
    } | other


def test_what_was_not_measured_is_shown_as_such() -> None:
    table, _ = report.rows([cell()], ["6.1"])
    (row,) = [row for row in table if row[1:3] == ("v2", "raw_tp")]
    assert row[3:] == ("0/0 of 9 (core)", report.NOT_MEASURED, report.NOT_MEASURED, report.NOT_MEASURED)


def test_a_workload_that_did_not_run_to_its_end_is_not_as_it_should_be() -> None:
    assert report.good(cell())
    assert not report.good(cell(notes=["perl did not run to its end"]))
    assert not report.good(cell(state="differs", missed=["x"]))


def test_a_refusal_is_right_where_the_kernel_has_to_refuse() -> None:
    tracepoint = {"way": "tracepoint", "paranoid": 3, "rights": "BPF+PERFMON"}
    assert report.good(cell(state="refused", **tracepoint))
    assert not report.good(cell(state="refused", **tracepoint | {"rights": "root"}))
    assert not report.good(cell(state="refused", **tracepoint | {"paranoid": 2}))
    assert report.good(cell(state="refused", asked="5.10", rights="BPF+PERFMON"))
    assert not report.good(cell(state="refused", asked="5.10", rights=report.RESOURCE))


def test_reasons_stand_below_the_table_once() -> None:
    cells = [cell(state="refused", words="no", paranoid=paranoid) for paranoid in (2, 3)]
    table, notes = report.rows(cells, ["6.1"])
    assert notes == ["no"]
    assert [text for row in table for text in row if "[1]" in text] == ["REFUSED [1]"] * 2


def test_a_guest_that_gave_nothing_is_told() -> None:
    lost = cell(way="-", rights="-", paranoid="-", state="failed", words="the guest ended with status 124")
    text = report.terminal([lost], ["6.1"])
    assert "6.1 on v2: the guest ended with status 124" in text
    assert "1 not as they should be" in text


def test_what_is_written_by_hand_stays() -> None:
    found = report.markdown(TEXT, [cell()], ["6.1"])
    assert found.startswith(f"above\n{report.BEGIN}\n")
    assert found.endswith(f"{report.END}\nbelow\n")
    assert "old" not in found
    assert "Commits: abc (today)" in found
