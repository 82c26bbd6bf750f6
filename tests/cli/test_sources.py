"""Evidence is read from files and pipes; what is no report gets one line, never a traceback, never an empty answer."""

import json
import os
import socket
import subprocess
import sys
import threading

import pytest
from tests.cli.conftest import container, report, used

from snoop_report.codec import dumps_report

UPSTREAM = {
    "pod_name": "web",
    "namespace": "default",
    "started_at": "2026-01-15T10:30:00Z",
    "last_updated_at": "2026-01-15T10:31:00Z",
    "containers": [
        {
            "name": "nginx",
            "cgroup_id": 12345,
            "cgroup_path": "/kubepods/burstable/pod/nginx",
            "files": ["/etc/nginx/nginx.conf"],
            "total_events": 1200,
            "unique_files": 1,
        }
    ],
    "total_events": 1200,
    "dropped_events": 0,
}
ONE = report(container(used("/a")))


def test_standard_input_is_read(snoop) -> None:
    assert snoop("files", "-", "-o", "name", stdin=dumps_report(ONE)).stdout == "/a\n"


def test_standard_input_is_read_once(snoop) -> None:
    done = snoop("diff", "-", "-", stdin=dumps_report(ONE))
    assert (done.returncode, done.stderr) == (2, "snoop: standard input (-) can be read only once\n")


def test_a_closed_standard_input_is_told(snoop) -> None:
    done = subprocess.run(
        ["sh", "-c", '"$@" <&-', "sh", sys.executable, "-m", "snoop_cli.main", "files", "-"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("snoop: cannot read standard input")


def test_a_pipe_is_a_file(snoop, tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=(dumps_report(ONE),))
    writer.start()
    assert snoop("files", "pipe", "-o", "name").stdout == "/a\n"
    writer.join()


def test_a_file_may_hold_several_reports(snoop, tmp_path) -> None:
    other = report(container(used("/b")), pod_uid="uid-1", pod_name="web-1")
    (tmp_path / "all.json").write_text(dumps_report(ONE) + "\n \n" + dumps_report(other))
    assert snoop("files", "all.json", "-o", "name").stdout == "/a\n/b\n"
    assert snoop("report", "all.json", "-o", "name").stdout == "shop/web-0\nshop/web-1\n"


def test_reports_of_one_pod_are_one(snoop, written) -> None:
    path = written(ONE, report(container(used("/b"))))
    document = json.loads(snoop("report", path, path, "-o", "json").stdout)
    assert document["pods"] == ["shop/web-0"]
    assert document["containers"][0]["paths"]["exists"] == 2


def test_upstreams_reports_are_read_and_never_called_complete(snoop, tmp_path) -> None:
    (tmp_path / "old.json").write_text(json.dumps(UPSTREAM))
    done = snoop("files", "old.json", "-o", "name")
    assert done.stdout == "/etc/nginx/nginx.conf\n"
    assert "undeclared_exclusions" in done.stderr
    assert snoop("report", "old.json", "--require-complete").returncode == 3


def test_a_byte_order_mark_is_none_of_the_report(snoop, tmp_path) -> None:
    (tmp_path / "bom.json").write_text(dumps_report(ONE), encoding="utf-8-sig")
    assert snoop("files", "bom.json", "-o", "name").stdout == "/a\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "bad.json is empty: there is no report in it"),
        (b" \n", "bad.json is empty: there is no report in it"),
        (b"{", "bad.json: not JSON: "),
        (b"\xff\xfe\xfd", "bad.json: not JSON: "),
        (b'{"a": "\xff"}', "bad.json: not JSON: not UTF-8 at byte 7"),
        (b"[" * 100_000, "bad.json: not JSON: "),
        (b'{"containers": ' + b"9" * 5000 + b"}", "bad.json: not JSON: "),
        (b"{}", "bad.json: JSON, but not a report: it has no `containers`"),
        (b"[]", "bad.json: JSON, but not a report: it has no `containers`"),
        (b"null", "bad.json: JSON, but not a report: it has no `containers`"),
        (b'{"containers": [7]}', "bad.json: report.containers[0]: expected an object, found int"),
        (b'{"containers": [], "schema_version": 99}', "bad.json: schema_version 99 is newer than"),
        (dumps_report(ONE).encode() + b"}", "bad.json: not JSON: "),
        (dumps_report(ONE).encode()[:-30], "bad.json: not JSON: "),
    ],
)
def test_what_is_no_report_is_told_in_one_line(snoop, tmp_path, content, words) -> None:
    (tmp_path / "bad.json").write_bytes(content)
    for command in (["files", "bad.json"], ["report", "bad.json"], ["merge", "bad.json", "-o", "out.json"]):
        done = snoop(*command)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert done.stderr.startswith(f"snoop: {words}")
    assert not (tmp_path / "out.json").exists()


def test_what_cannot_be_opened_is_told_in_one_line(snoop, tmp_path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "new\nline").write_text("")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        for name, words in (
            ("nothing.json", "cannot read nothing.json: No such file or directory"),
            ("folder", "folder is a directory: name the report files in it"),
            ("loop", "cannot read loop: Too many levels of symbolic links"),
            ("socket", "cannot read socket: No such device or address"),
            ("new\nline", "new\\x0aline is empty: there is no report in it"),
            ("/dev/zero", "/dev/zero is a device: there is no report in it"),
            ("", "the name of a file is empty"),
        ):
            done = snoop("files", name)
            assert (done.returncode, done.stdout, done.stderr) == (2, "", f"snoop: {words}\n")


def test_a_file_that_may_not_be_read_is_told(written, tmp_path) -> None:
    path = written(ONE)
    path.chmod(0)
    command = [sys.executable, "-m", "snoop_cli.main", "files", path.name]
    if not os.geteuid():  # root may read anything
        tmp_path.chmod(0o755)
        tmp_path.parent.chmod(0o755)
        tmp_path.parent.parent.chmod(0o755)
        command = ["setpriv", "--reuid", "65534", "--clear-groups", *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "snoop: cannot read web.json: Permission denied\n")
