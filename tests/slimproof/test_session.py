"""A run that fails, hangs or is interrupted is told in a line, and leaves nothing behind."""

import os
import subprocess
import time
from pathlib import Path

import pytest
from tests.slimproof.app import HERE, App
from tests.slimproof.session import Session

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: makes namespaces and mounts")


def stub(folder: Path, script: str) -> Path:
    """Put a program in snoop's place."""
    program = folder / "snoop"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


class Built(Session):
    """A session whose roots need no mirror: a directory with a shell that is busybox's."""

    def _build(self, app: App, home: Path) -> Path:
        root = home / "built"
        for name in ("bin", "etc", "dev", "proc"):
            (root / name).mkdir(parents=True)
        subprocess.run(["cp", "/bin/busybox", root / "bin/sh"], check=True)
        return root


@needs_root
def test_a_workload_that_fails_where_nothing_is_missing_proves_nothing(tmp_path: Path) -> None:
    result = Built(tmp_path, str(stub(tmp_path, "echo last words; exit 3"))).prove(App("a", "an app", "exit 3"))
    assert not result.good
    assert "fails where nothing is missing: last words" in result.problem


@needs_root
def test_a_workload_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    mark = f"{time.monotonic_ns()}.0"
    hangs = stub(tmp_path, f"setsid sleep {mark} & sleep {mark}")
    result = Built(tmp_path, str(hangs)).prove(App("a", "an app", "true", timeout=2.0))
    assert "not done after 2 s" in result.problem
    assert mark not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout


@needs_root
def test_what_a_killed_run_leaves_are_no_processes_and_no_mounts(tmp_path: Path) -> None:
    mark = f"{time.monotonic_ns()}.0"
    root = tmp_path / "root"
    for name in ("etc", "dev", "proc"):
        (root / name).mkdir(parents=True)
    script = f"""
import subprocess, time
subprocess.run(["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child",
    "--mount-proc", {str(HERE / "stage")!r}, "over", {str(root)!r}, {str(tmp_path / "stage")!r}, "sleep", "{mark}"])
"""
    with subprocess.Popen(["python3", "-c", script]) as runner:
        wait_for(lambda: f"sleep {mark}" in processes())
        runner.kill()
    wait_for(lambda: mark not in processes())
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()


def processes() -> str:
    """List the command lines of all processes but those of the runner itself."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return "\n".join(line for line in listed.splitlines() if line.startswith("sleep "))


def wait_for(condition: "object", seconds: float = 20.0) -> None:
    """Wait for something to come true."""
    assert callable(condition)
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come true"
        time.sleep(0.1)
