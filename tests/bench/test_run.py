"""The harness itself: what it refuses, that it measures, and that nothing of it stays behind."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.bench import cgroups, main

from snoop_agent import kernel
from snoop_agent.owncgroup import Parent, parents

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

_KILLED = """
import os, signal, subprocess, sys
from pathlib import Path
from tests.bench.cgroups import Group, Tree
for elsewhere in sys.argv[1:]:
    Group({"": Path(elsewhere)}).join()
group = Tree().group("kubepods/pod1/app")
child = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=group.join)
print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""

needs_root = pytest.mark.skipif(not kernel.may_trace(), reason="needs root: makes cgroups, loads programs")


def test_a_wrong_word_is_refused_with_the_right_ones(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--only", "speed"], ["--attach", "kprobe"], ["--rounds", "0"], ["--sidecars", "1,x"]):
        with pytest.raises(SystemExit) as stopped:
            main.main(arguments)
        assert stopped.value.code == 2
        assert arguments[0] in capsys.readouterr().err.splitlines()[-1]


def test_an_agent_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--agent", "/nowhere/snoop-agent"]) == 2
    assert re.fullmatch(r"bench: .*\n", capsys.readouterr().err)


@needs_root
def test_quick_figures_are_not_written_to_the_documents(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--quick", "--write-docs"]) == 2
    assert "--write-docs" in capsys.readouterr().err


@needs_root
def test_what_a_killed_run_left_is_gone_with_the_next() -> None:
    _leave_and_sweep()


@needs_root
def test_what_a_run_left_below_another_cgroup_is_gone_too() -> None:
    """As a login session or a service has one of its own, which the next run is not in."""
    directories = {Path(one.directory) / f"elsewhere-{os.getpid()}" for one in _parents()}
    try:
        _leave_and_sweep(*directories)
    finally:
        for directory in directories:
            directory.rmdir()


def _parents() -> list[Parent]:
    return parents(Path("/proc/self/cgroup").read_text(), Path("/proc/self/mountinfo").read_text())


def _leave_and_sweep(*elsewhere: Path) -> None:
    """`elsewhere`: cgroups that the run which is killed is in; they are made."""
    command = [sys.executable, "-c", _KILLED, *map(str, elsewhere)]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    left = Path("/proc", killed.stdout.strip())
    assert f"{cgroups.PURPOSE}-" in (left / "cgroup").read_text()
    assert _abandoned()
    cgroups.Tree().remove()
    # Whoever has inherited it may not have looked yet.
    assert not left.exists() or ") Z " in (left / "stat").read_text()
    assert not _abandoned()


def _abandoned() -> list[Path]:
    """Trees whose makers live are another run's, and not counted."""
    return cgroups.abandoned(Path(one.directory) for one in _parents())


@needs_root
@pytest.mark.bpf
def test_a_quick_run_prints_a_table_of_what_it_measured_and_leaves_nothing() -> None:
    chosen = ["--only", "overhead", "--quick", "--attach", "raw_tp", "--sidecars", "1", "--anyway", "--wait", "1"]
    done = subprocess.run([HERE / "run", *chosen], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    figure = r"([\d,.]+) ns"
    rows = re.findall(rf"^(?:open|getppid).* raw_tp, 1 sidecar +-?{figure} .* untraced {figure}", done.stdout, re.M)
    assert len(rows) == 5, done.stdout
    assert all(float(untraced.replace(",", "")) > 10 for _, untraced in rows)
    mounts = Path("/proc/self/mountinfo").read_text()
    assert cgroups.PURPOSE not in mounts
    assert not _abandoned()
