"""`snoop merge` unites as the operator does, and writes a whole file or none."""

import itertools
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cli.conftest import container, late, report, used
from tests.cli.test_sources import UPSTREAM
from tests.report.conftest import FEW, NAMES, a_report

from snoop_cli.union import text, unite
from snoop_report.codec import dumps_report, loads_report
from snoop_report.merge import apply
from snoop_report.model import Report

A = report(container(used("/a"), used("/x", "read", at=3)), labels={"app": "web", "tier": "front"})
B = report(
    container(used("/x", "map", at=2), used("/b")),
    container(used("/side"), name="side", id="2" * 64),
    gaps=[late("2" * 64)],
)
C = report(
    container(used("/c"), id="3" * 64),
    pod_uid="uid-1",
    pod_name="web-1",
    labels={"app": "web", "tier": "back"},
    node="n2",
    exclude=("/data/", "/dev/"),
)


def test_two_files_become_their_union(snoop, written, tmp_path) -> None:
    done = snoop("merge", written(A, to="a.json"), written(B, to="b.json"), "-o", "out.json")
    assert (done.returncode, done.stdout) == (0, "")
    expected = loads_report(dumps_report(A))
    apply(expected, B)
    expected.containers.sort(key=lambda one: one.id)
    assert loads_report((tmp_path / "out.json").read_text()) == loads_report(dumps_report(expected))


@given(st.lists(a_report(FEW), min_size=1, max_size=3))
def test_order_and_repetition_change_nothing(reports: list[Report]) -> None:
    wanted = "".join(text(unite(reports)))
    for order in itertools.permutations(reports):
        assert "".join(text(unite([*order, order[0]]))) == wanted


@given(a_report(NAMES))
def test_what_is_written_is_what_the_codec_writes(one: Report) -> None:
    written = "".join(text(one))
    assert json.loads(written) == json.loads(dumps_report(one))
    assert loads_report(written) == loads_report(dumps_report(one))


def test_what_pods_do_not_share_is_left_empty_and_nothing_else(snoop, written, tmp_path) -> None:
    snoop("merge", written(A, B, C), "-o", "out.json")
    united = loads_report((tmp_path / "out.json").read_text())
    assert (united.namespace, united.pod_name, united.pod_uid, united.node) == ("shop", "", "", "")
    assert united.labels == {"app": "web"}
    assert united.exclude == ("/data/", "/dev/", "/proc/", "/sys/")
    assert [one.id[0] for one in united.containers] == ["2", "3", "4"]
    assert [(gap.code, gap.container[0]) for gap in united.gaps] == [("late_start", "2")]


def test_containers_that_share_an_id_by_chance_stay_apart() -> None:
    first = report(
        container(used("/r"), name="redis", id="snoop-trace-7", image="", digest=""), gaps=[late("snoop-trace-7")]
    )
    other = report(container(used("/n"), name="nginx", id="snoop-trace-7", image="", digest=""))
    united = unite([first, other])
    assert {one.name: one.files for one in united.containers} == {"redis": ["/r"], "nginx": ["/n"]}
    named = {one.id: one.name for one in united.containers}
    assert [named[gap.container] for gap in united.gaps] == ["redis"]


def test_a_name_that_is_not_known_yet_contradicts_nothing() -> None:
    early = report(container(used("/a"), name="", image="", digest=""))
    (one,) = unite([early, A]).containers
    assert (one.name, one.files) == ("app", ["/a", "/x"])


def test_upstreams_reports_are_merged(snoop, tmp_path) -> None:
    (tmp_path / "old.json").write_text(json.dumps(UPSTREAM))
    newer = {**UPSTREAM, "containers": [{**UPSTREAM["containers"][0], "files": ["/etc/passwd"]}]}
    (tmp_path / "newer.json").write_text(json.dumps(newer))
    assert snoop("merge", "old.json", "newer.json", "-o", "out.json").returncode == 0
    (one,) = loads_report((tmp_path / "out.json").read_text()).containers
    assert one.files == ["/etc/nginx/nginx.conf", "/etc/passwd"]


def test_the_result_may_replace_one_of_the_files(snoop, written, tmp_path) -> None:
    written(A, to="a.json"), written(B, to="b.json")
    (tmp_path / "link.json").symlink_to("a.json")
    assert snoop("merge", "a.json", "b.json", "-o", "link.json").returncode == 0
    assert (tmp_path / "link.json").is_symlink()
    assert "/b" in loads_report((tmp_path / "a.json").read_text()).containers[-1].files
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.json", "link.json"]


def test_the_result_goes_down_a_pipe(snoop, written) -> None:
    done = snoop("merge", written(A), "-o", "-")
    assert loads_report(done.stdout) == loads_report(dumps_report(A))
    assert done.stderr == ""


def test_what_is_no_file_is_written_to_and_never_replaced(snoop, written, tmp_path) -> None:
    # A pipe of our own stands for all such: a test that fails must not cost the machine its /dev/null.
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    held = os.open(pipe, os.O_RDWR)
    assert snoop("merge", written(A), "-o", pipe).returncode == 0
    assert pipe.is_fifo()
    assert loads_report(os.read(held, 1 << 16)) == loads_report(dumps_report(A))
    os.close(held)


def test_a_descriptor_without_a_name_is_written_to(written) -> None:
    command = [sys.executable, "-m", "snoop_cli.main", "merge", str(written(A)), "-o", "/dev/fd/1"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    assert loads_report(done.stdout) == loads_report(dumps_report(A))


def test_a_pipe_that_nobody_reads_ends_it_quietly(written) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "snoop_cli.main", "merge", str(written(A)), "-o", f"/dev/fd/{writing}"]
    done = subprocess.run(command, pass_fds=[writing], stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(
    ("out", "words"),
    [
        (".", "cannot write .: it is a directory"),
        ("no/out.json", "cannot write "),
        ("", "the name of a file is empty"),
    ],
)
def test_a_result_that_cannot_be_written_is_told_in_one_line(snoop, written, out, words) -> None:
    done = snoop("merge", written(A), "-o", out)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"snoop: {words}")


def test_an_incomplete_result_is_not_written_where_completeness_is_required(snoop, written, tmp_path) -> None:
    done = snoop("merge", written(A, B), "-o", "out.json", "--require-complete")
    assert done.returncode == 3
    assert not (tmp_path / "out.json").exists()
