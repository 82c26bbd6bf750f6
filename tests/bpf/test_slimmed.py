"""Trace a workload, slim its root file system, run the same workload again: it says the same."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from snoop_agent import kernel

pytestmark = [
    pytest.mark.bpf,
    pytest.mark.skipif(not kernel.may_trace(), reason="needs root: loads programs into the kernel"),
]
SNOOP = [sys.executable, "-m", "snoop_cli.main"]
PROGRAMS = ("sh", "cat", "sed", "sort", "ls", "id", "perl", "gzip", "dpkg")
COMMAND = (
    "sh",
    "-c",
    "id -un; cat /etc/group | sort | sed s/x/y/; perl /etc/ask.pl; ls /etc",
)


def make_root(folder: Path) -> None:
    """Copy programs of this machine, their libraries and Perl's modules."""
    (folder / "etc").mkdir(parents=True)
    for name in PROGRAMS:
        program = shutil.which(name) or pytest.fail(f"{name} is wanted")
        libraries = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
        for path in (program, *re.findall(r"(/\S+) \(0x", libraries)):
            copy = folder / path.lstrip("/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)
    listed = subprocess.run(["perl", "-e", "print join qq(\n), @INC"], check=True, capture_output=True, text=True)
    for directory in listed.stdout.splitlines():
        if directory.startswith("/usr/lib/") and directory.endswith("perl-base"):
            shutil.copytree(directory, folder / directory.lstrip("/"), symlinks=True)
    # Not by -e, for which perl opens /dev/null.
    (folder / "etc/ask.pl").write_text('use POSIX; print floor(2.5), " ", (getpwuid 0)[0], "\\n";')
    (folder / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\n")
    (folder / "etc/group").write_text("root:x:0:\nb:x:1:\na:x:2:\n")


def call(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_same_workload_says_the_same_in_the_slimmed_root(tmp_path: Path) -> None:
    root, slim, report = tmp_path / "root", tmp_path / "slim", tmp_path / "report.json"
    make_root(root)
    told = call(*SNOOP, "trace", "--report", report, "--rootfs", root, "--", *COMMAND)
    assert told.endswith("2 root\nask.pl\ngroup\npasswd\n")
    call(*SNOOP, "slim", report, "--rootfs", root, "--to", slim)
    assert call("chroot", slim, *COMMAND) == told
    left = {path.name for path in slim.rglob("*")}
    assert "perl" in left
    assert not {"dpkg", "gzip"} & left


def test_what_was_not_done_may_fail_in_it_as_the_verdict_foretold(tmp_path: Path) -> None:
    root, slim, report = tmp_path / "root", tmp_path / "slim", tmp_path / "report.json"
    make_root(root)
    call(*SNOOP, "trace", "--report", report, "--rootfs", root, "--", *COMMAND)
    unused = call(*SNOOP, "analyze", report, "--rootfs", root, "-o", "name").splitlines()
    call(*SNOOP, "slim", report, "--rootfs", root, "--to", slim)
    gzip = shutil.which("gzip")
    assert gzip in unused
    assert subprocess.run(["chroot", slim, "gzip", "--version"], check=False, capture_output=True).returncode != 0
