"""What a terminal sees, and what happens when nobody looks any more."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from tests.cli.conftest import container, late, report, used

SNOOP = [sys.executable, "-m", "snoop_cli.main"]
MANY = report(container(*(used(f"/usr/share/{number:06}") for number in range(20_000))))


def seen(arguments: list[str], columns: int = 100, **env: str) -> str:
    """What a terminal of so many columns is sent."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    given = {**os.environ, "TERM": "xterm", **env}
    for name in ("COLUMNS", "LINES", *(["NO_COLOR"] if "NO_COLOR" not in env else [])):
        given.pop(name, None)
    with subprocess.Popen([*SNOOP, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=given) as running:
        os.close(theirs)
        got = b""
        while True:
            try:
                piece = os.read(ours, 1 << 16)
            except OSError:  # the other side is closed
                break
            if not piece:
                break
            got += piece
        running.wait(30)
    os.close(ours)
    return got.decode().replace("\r\n", "\n")


def test_a_terminal_gets_colour_unless_it_is_refused(written) -> None:
    path = str(written(report(container(used("/a")), gaps=[late()])))
    assert "\x1b[31m" in seen(["report", path])
    assert "\x1b" not in seen(["report", path], NO_COLOR="1")
    assert "\x1b" not in seen(["report", path], TERM="dumb")


def test_a_pipe_gets_no_colour(written) -> None:
    path = str(written(report(container(used("/a")), gaps=[late()])))
    done = subprocess.run(
        [*SNOOP, "report", path], env={**os.environ, "TERM": "xterm"}, capture_output=True, check=True
    )
    assert b"\x1b" not in done.stdout


def test_a_table_fits_the_terminal_by_cutting_image_names_alone(written) -> None:
    image = "registry.example.com/platform/team/checkout/frontend-with-a-long-name:2026.01.15-build.4711"
    path = str(written(report(container(used("/a"), image=image))))
    narrow = seen(["report", path], columns=110, NO_COLOR="1").splitlines()
    (row,) = [line for line in narrow if line.startswith("app ")]
    assert len(row) <= 110
    assert "…" in row
    assert image in seen(["report", path], columns=250, NO_COLOR="1")


def test_paths_are_never_cut(written) -> None:
    path = str(written(report(container(used("/a" * 200)))))
    assert "/a" * 200 in seen(["files", path], columns=40, NO_COLOR="1")


def test_reading_many_files_is_shown(written, tmp_path) -> None:
    path = str(written(report(container(used("/a")))))
    assert "reading reports" in seen(["files", *[path] * 20])
    assert "reading reports" not in seen(["files", path])


def test_a_terminal_is_told_that_it_is_read() -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen([*SNOOP, "files", "-"], stdin=theirs, stderr=subprocess.PIPE) as running:
        os.close(theirs)
        assert running.stderr is not None
        assert select.select([running.stderr], [], [], 30)[0]
        assert b"reading a report from the terminal; end it with Ctrl-D" in running.stderr.readline()
        os.write(ours, b"\x04")
        assert b"standard input is empty" in running.stderr.readline()
    os.close(ours)
    assert running.returncode == 2


@pytest.mark.parametrize("form", ["name", "table", "json"])
def test_a_reader_that_goes_ends_it_quietly(written, form) -> None:
    path = str(written(MANY))
    with subprocess.Popen(
        [*SNOOP, "files", path, "-o", form], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == 141


def test_a_full_disk_is_told_in_one_line(written) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*SNOOP, "files", str(written(MANY))], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (2, "snoop: cannot write standard output: No space left on device\n")


def test_ctrl_c_ends_it_without_a_traceback(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    # A shell's background job ignores it, and so would what it starts.
    with subprocess.Popen(
        [*SNOOP, "files", str(tmp_path / "pipe")],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as running:
        writer = os.open(tmp_path / "pipe", os.O_WRONLY)  # returns once it is read
        time.sleep(0.3)
        running.send_signal(signal.SIGINT)
        assert running.stderr is not None
        assert running.stderr.read().strip() == ""
    os.close(writer)
    assert running.returncode == 130
