"""`snoop trace`: the whole way from a command line to a report, as its user runs it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from snoop_agent import kernel
from snoop_report.codec import loads_report
from snoop_report.model import Report

SNOOP = Path(sysconfig.get_path("scripts")) / "snoop"

pytestmark = [
    pytest.mark.bpf,
    pytest.mark.skipif(not kernel.may_trace(), reason="needs root: loads programs into the kernel"),
]


def snoop(*arguments: str | os.PathLike[str], **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SNOOP, "trace", *arguments], capture_output=True, text=True, timeout=60, check=False, **options
    )


def report_of(path: Path) -> Report:
    return loads_report(path.read_bytes())


def test_the_report_holds_what_the_command_used(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    done = snoop("--report", path, "--", "/usr/bin/python3", "-c", "import ssl, sys; print(len(sys.modules))")
    assert done.returncode == 0
    assert int(done.stdout) > 10
    report = report_of(path)
    (container,) = report.containers
    assert container.name == "python3"
    assert report.complete, report.gaps
    files = set(container.files)
    library = sysconfig.get_path("stdlib", vars={"py_version_short": "3.11"})
    assert "/usr/bin/python3" in files
    assert os.path.realpath("/usr/bin/python3") in files
    assert os.path.realpath("/lib64/ld-linux-x86-64.so.2") in files
    assert any(re.fullmatch(r".*/libssl\.so\.\d.*", name) for name in files)
    assert any("/ssl." in name or name.endswith("/ssl.py") for name in files), library
    assert not [name for name in files if name.startswith("/proc/")]
    assert container.missing
    assert not files & set(container.missing)


def test_the_report_has_upstreams_keys(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    snoop("--report", path, "--", "true")
    document = json.loads(path.read_text())
    assert {
        "pod_name",
        "namespace",
        "started_at",
        "last_updated_at",
        "containers",
        "total_events",
        "dropped_events",
    } <= (document.keys())
    (container,) = document["containers"]
    assert {"name", "cgroup_id", "cgroup_path", "files", "total_events", "unique_files"} <= container.keys()
    assert container["files"] == sorted(container["files"])
    assert container["unique_files"] == len(container["files"])


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (["sh", "-c", "exit 3"], 3),
        (["sh", "-c", "kill -TERM $$"], 128 + signal.SIGTERM),
        (["/nowhere/at/all"], 127),
        (["/etc/passwd"], 126),
    ],
)
def test_the_exit_status_is_the_commands(command: list[str], status: int) -> None:
    assert snoop("--", *command).returncode == status


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--", "no-such-command"], "snoop: no-such-command: command not found\n"),
        (["--rootfs", "/no/such", "--", "true"], "snoop: --rootfs /no/such: no such directory\n"),
        (["--report", "/no/such/file", "--", "true"], "snoop: --report /no/such/file: the directory /no/such "),
    ],
)
def test_a_mistake_is_told_in_one_line(arguments: list[str], words: str) -> None:
    done = snoop(*arguments)
    assert done.stderr.startswith(words)
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert done.returncode in (125, 127)


def test_a_kernel_without_types_is_told_in_one_line() -> None:
    done = snoop("--", "true", env={**os.environ, "SNOOP_BTF": "/no/such/btf"})
    assert done.stderr.startswith("snoop: no BTF: /no/such/btf does not exist")
    assert (done.returncode, done.stderr.count("\n")) == (125, 1)


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("raise ImportError('No module named bcc')", "snoop: BCC is not installed for "),
        ("", "snoop: the Python package `bcc` found here is not BCC"),
    ],
)
def test_a_missing_bcc_is_told_in_one_line_with_the_way_out(module: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "bcc.py").write_text(module)
    done = snoop("--", "true", env={**os.environ, "PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)})
    assert done.stderr.startswith(words)
    assert "apt-get install python3-bpfcc" in done.stderr
    assert (done.returncode, done.stderr.count("\n")) == (125, 1)


def test_whoever_is_not_root_is_told_so() -> None:
    done = subprocess.run(
        [
            "setpriv",
            "--reuid",
            "65534",
            "--clear-groups",
            sys.executable,
            "-m",
            "snoop_cli.main",
            "trace",
            "--",
            "true",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    assert done.stderr.startswith("snoop: tracing needs root")
    assert (done.returncode, done.stderr.count("\n")) == (125, 1)


def test_signals_are_passed_on(tmp_path: Path) -> None:
    script = f"trap 'echo caught; exit 7' TERM; : > {tmp_path}/ready; while :; do sleep 0.05; done"
    with subprocess.Popen([SNOOP, "trace", "--", "sh", "-c", script], stdout=subprocess.PIPE, text=True) as running:
        deadline = time.monotonic() + 30
        while not (tmp_path / "ready").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        running.send_signal(signal.SIGTERM)
        output, _ = running.communicate(timeout=30)
    assert (output, running.returncode) == ("caught\n", 7)


def test_the_status_is_the_commands_even_if_nobody_reads_the_summary() -> None:
    reading, writing = os.pipe()
    with subprocess.Popen([SNOOP, "trace", "--", "sh", "-c", "exit 3"], stderr=writing) as running:
        os.close(writing)
        os.close(reading)
    assert running.returncode == 3


def test_input_and_output_are_the_commands_own() -> None:
    done = snoop("--", "sh", "-c", "cat; echo to-stderr >&2", input="through\n")
    assert done.stdout == "through\n"
    assert done.stderr.startswith("to-stderr\nsnoop: sh -c")


def test_a_root_file_system_is_the_commands_whole_world(tmp_path: Path) -> None:
    busybox = shutil.which("busybox") or pytest.fail("busybox-static is missing: make install brings it")
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "etc").mkdir()
    shutil.copy(busybox, root / "bin" / "busybox")
    (root / "bin" / "sh").symlink_to("busybox")
    (root / "etc" / "real").write_text("x")
    (root / "etc" / "conf").symlink_to("/etc/real")
    path = tmp_path / "report.json"
    done = snoop("--rootfs", root, "--report", path, "--", "/bin/sh", "-c", "read x < /etc/conf; echo $x")
    assert done.stdout == "x\n"
    (container,) = report_of(path).containers
    assert {"/bin/sh", "/bin/busybox", "/etc/conf", "/etc/real"} <= set(container.files)
    assert not [name for name in container.files if name.startswith(str(tmp_path))]


def test_a_child_that_outlives_the_command_is_a_gap(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    done = snoop("--report", path, "--", "sh", "-c", "sleep 3 > /dev/null 2>&1 &")
    assert done.returncode == 0
    assert [gap.code for gap in report_of(path).gaps] == ["blind_spot"]
    assert "INCOMPLETE: processes outlived the command" in done.stderr


def test_ten_thousand_files_are_all_in_the_report(tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(10_000):
        (folder / f"f{number}").touch()
    path = tmp_path / "report.json"
    done = snoop("--report", path, "--", "sh", "-c", f"find {folder} -type f -exec cat {{}} +")
    assert done.returncode == 0
    report = report_of(path)
    assert report.complete, report.gaps
    (container,) = report.containers
    assert {f"{folder}/f{number}" for number in range(10_000)} <= set(container.files)


def test_nothing_is_left_behind() -> None:
    with subprocess.Popen([SNOOP, "trace", "--", "cat", "/proc/self/cgroup"], stdout=subprocess.PIPE) as running:
        told = running.stdout.read().decode() if running.stdout else ""
    name = f"snoop-trace-{running.pid}"
    assert name in told
    # Other traces of this machine may come and go meanwhile.
    assert not [root for root in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified") if (Path(root) / name).exists()]


def test_what_a_killed_snoop_left_is_removed_by_the_next(tmp_path: Path) -> None:
    script = f"echo $$ > {tmp_path}/pid; exec sleep 60"
    with subprocess.Popen([SNOOP, "trace", "--", "sh", "-c", script]) as running:
        deadline = time.monotonic() + 30
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        name = f"snoop-trace-{running.pid}"
        running.kill()
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    time.sleep(0.2)
    left = [root / name for root in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified")) if (root / name).exists()]
    assert left
    snoop("--", "true")
    assert not left[0].exists()


def test_a_path_that_realpath_proved_is_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    report = tmp_path / "report.json"
    assert snoop("--report", report, "--", "realpath", "-e", tmp_path / "file").returncode == 0
    (container,) = report_of(report).containers
    assert str(tmp_path / "file") in container.files


def test_a_report_replaces_files_only_and_follows_links(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "real.json").touch()
    (tmp_path / "link.json").symlink_to("real.json")
    done = snoop("--report", tmp_path / "fifo", "--", "true")
    assert done.stderr == f"snoop: --report {tmp_path}/fifo: {tmp_path}/fifo is not a regular file\n"
    assert done.returncode == 125
    assert (tmp_path / "fifo").is_fifo()
    assert snoop("--report", tmp_path / "link.json", "--", "true").returncode == 0
    assert (tmp_path / "link.json").is_symlink()
    assert report_of(tmp_path / "real.json").containers
