"""The program itself, as a process."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from snoop_agent import compiler, objects, sidecar
from snoop_agent.check import held_capabilities

COMPILED = objects.Compiled({}, {})


def test_a_bad_setting_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert sidecar.main(["-interval", "soon"]) == 2

    assert capsys.readouterr().err == "snoop-agent: -interval: 'soon' is not a duration: write 30s, 5m or 1m30s\n"


def test_it_ends_well_at_sigterm_with_a_report(tmp_path: Path) -> None:
    """Whether or not this machine can be traced: that is for the report to say."""
    environment = os.environ | {"SNOOP_DATA_DIRECTORY": str(tmp_path), "SNOOP_REPORT": str(tmp_path / "report.json")}
    arguments = [sys.executable, "-c", _IDLE, "-metrics-addr", ""]
    with subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True) as child:
        deadline = time.monotonic() + 10
        while not (tmp_path / "attached").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        child.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert child.wait(10) == 0
        assert time.monotonic() - began < 1.0
        assert child.stderr is not None
        said = child.stderr.read()

    assert "ERROR cannot trace: not today; the agent stays idle" in said
    assert json.loads((tmp_path / "report.json").read_text())["gaps"][-1]["code"] == "not_tracing"


_IDLE = """
import sys
from snoop_agent import sidecar
def start(chosen):
    raise RuntimeError("not today")
sidecar.start = start
sys.exit(sidecar.main())
"""


def test_check_says_what_works_here_and_succeeds_where_the_image_does(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("snoop_agent.kernel.BTF_PATH", tmp_path / "none")
    monkeypatch.setattr("snoop_agent.objects.read", lambda name: COMPILED)

    assert sidecar.main(["check"]) == 0

    said = capsys.readouterr().out
    assert f"kernel {os.uname().release}" in said
    assert "BTF: no, so this machine cannot be traced" in said
    assert "programs: compiled" in said


def test_check_fails_where_the_image_is_broken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(name: str) -> None:
        raise OSError("libbcc.so.0: cannot open shared object file")

    one = compiler.names()[4]
    monkeypatch.setattr("snoop_agent.objects.read", lambda name: None if name == one else COMPILED)
    monkeypatch.setattr(importlib, "import_module", lambda name: None)
    assert sidecar.main(["check"]) == 0
    assert "programs: to be compiled by BCC" in capsys.readouterr().out

    monkeypatch.setattr(importlib, "import_module", broken)
    assert sidecar.main(["check"]) == 1
    said = capsys.readouterr().out
    assert one in said
    assert "libbcc.so.0" in said


def test_capabilities_are_read_from_the_kernels_mask() -> None:
    assert held_capabilities("Name:\tx\nCapEff:\t000000c000000000\n") == ["PERFMON", "BPF"]
    assert held_capabilities("CapEff:\t0000000000000000\n") == []
    assert held_capabilities("") == []
