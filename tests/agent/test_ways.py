"""Which way of attaching is tried first."""

import os
from pathlib import Path

import pytest

from snoop_agent import kernel, tracer

DYNAMIC = "#1 SMP PREEMPT_DYNAMIC Debian 6.1.148-1 (2025-08-26)"
PLAIN = "#1 SMP Debian 5.10.237-1 (2025-05-19)"


@pytest.mark.parametrize(
    ("built", "mode", "command_line", "expected"),
    [
        (PLAIN, "", "quiet", False),
        ("#1 SMP PREEMPT_RT Debian 6.12", "", "", True),
        ("#1 SMP PREEMPT Tue", "", "preempt=none", True),
        (DYNAMIC, "none (voluntary) full \n", "", False),
        (DYNAMIC, "none voluntary (full) \n", "preempt=none", True),
        (DYNAMIC, "(full) lazy", "", True),
        (DYNAMIC, "", "ro preempt=voluntary quiet", False),
        (DYNAMIC, "", "preempt=none preempt=full", True),
        (DYNAMIC, "", "quiet", True),
    ],
)
def test_whether_a_kernel_preempts_is_told_from_what_can_be_seen(
    built: str, mode: str, command_line: str, expected: bool
) -> None:
    assert kernel.preempts(built, mode, command_line) is expected


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(kernel, "may_open_perf_events", lambda: True)
    monkeypatch.setattr(kernel, "is_preemptible", lambda: True)
    monkeypatch.setattr(kernel, "version", lambda: (7, 0))
    monkeypatch.setattr(kernel, "knows", lambda name: False)
    return monkeypatch


def test_a_way_whose_runs_may_be_skipped_comes_last(machine: pytest.MonkeyPatch) -> None:
    assert tracer.ways("auto", tracer.BESIDE_OTHERS) == ["tracepoint", "fexit", "raw_tp"]
    machine.setattr(kernel, "version", lambda: (6, 12))
    assert tracer.ways("auto", tracer.BESIDE_OTHERS) == ["tracepoint", "raw_tp", "fexit"]


def test_where_runs_of_all_ways_may_be_skipped_the_best_comes_first(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(kernel, "knows", lambda name: name == "trace_call_bpf_faultable")
    assert tracer.ways("auto", tracer.BESIDE_OTHERS) == ["fexit", "tracepoint", "raw_tp"]


def test_a_name_is_found_in_btf_wherever_it_lies(tmp_path: Path) -> None:
    btf = tmp_path / "vmlinux"
    for before in (0, 1 << 18, (1 << 18) - 9):
        btf.write_bytes(b"x" * before + b"\0a_function\0" + b"y" * 99)
        assert kernel.knows("a_function", btf)
        assert not kernel.knows("function", btf)
    assert not kernel.knows("a_function", tmp_path / "none")


def test_what_a_command_line_asks_for_is_believed_only_where_the_kernel_does(machine: pytest.MonkeyPatch) -> None:
    machine.undo()
    machine.setattr(kernel, "_text", lambda path: "preempt=voluntary" if path == "/proc/cmdline" else "")
    machine.setattr(kernel.os, "uname", lambda: os.uname_result(("Linux", "node", "6.12.1", DYNAMIC, "x86_64")))
    assert not kernel.is_preemptible()
    machine.setattr(kernel.os, "uname", lambda: os.uname_result(("Linux", "node", "7.2.13", DYNAMIC, "x86_64")))
    assert kernel.is_preemptible()


def test_where_nothing_is_preempted_the_best_comes_first(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(kernel, "is_preemptible", lambda: False)
    assert tracer.ways("auto", tracer.BESIDE_OTHERS) == ["fexit", "tracepoint", "raw_tp"]


def test_what_perf_forbids_is_not_tried(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(kernel, "may_open_perf_events", lambda: False)
    assert tracer.ways("auto", tracer.BESIDE_OTHERS) == ["fexit", "raw_tp"]


def test_a_wish_is_a_command() -> None:
    assert tracer.ways("fexit", tracer.BESIDE_OTHERS) == ["fexit"]
