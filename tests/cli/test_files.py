"""`snoop files` lists what was used, and never lets a name or an option hide some of it."""

import json
import os
import subprocess
import sys

import pytest
import yaml
from tests.cli.conftest import ID, container, late, report, used

from snoop_report.paths import decode, unescape

WEB = (
    used("/usr/sbin/nginx", "execute"),
    used("/lib/libc.so.6", "read", "map", target="/usr/lib/libc.so.6"),
    used("/etc/nginx/nginx.conf"),
    used("/etc/nginx2/other.conf", "stat"),
    used("/var/log/access.log", "write", volume=True),
    used("/etc/missing.conf", outcome="missing"),
    used("/root/secret", outcome="denied"),
)


def names(done: "subprocess.CompletedProcess[str]") -> list[str]:
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.fixture
def web(written):
    return written(report(container(*WEB)))


def test_bare_names_are_those_of_the_report_itself(snoop, web) -> None:
    assert names(snoop("files", web, "-o", "name")) == container(*WEB).files


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--kind", "execute"], ["/usr/sbin/nginx"]),
        (["--kind", "execute", "--kind", "stat"], ["/etc/nginx2/other.conf", "/usr/sbin/nginx"]),
        (["--under", "/etc/nginx"], ["/etc/nginx/nginx.conf"]),
        (["--under", "/etc/nginx/"], ["/etc/nginx/nginx.conf"]),
        (["--under", "/etc/nginx/../nginx2"], ["/etc/nginx2/other.conf"]),
        (["--under", "/etc/nginx/nginx.conf"], ["/etc/nginx/nginx.conf"]),
        (["--under", "/", "--match", "*.conf"], ["/etc/nginx/nginx.conf", "/etc/nginx2/other.conf"]),
        (["--match", "/etc/*.conf"], ["/etc/nginx/nginx.conf", "/etc/nginx2/other.conf"]),
        (["--match", "nginx"], ["/usr/sbin/nginx"]),
        (["--match", "nginx", "--match", "/var/*"], ["/usr/sbin/nginx", "/var/log/access.log"]),
        (["--outcome", "missing"], ["/etc/missing.conf"]),
        (["--outcome", "missing", "--outcome", "denied"], ["/etc/missing.conf", "/root/secret"]),
        (["--outcome", "any", "--under", "/root", "--under", "/usr/sbin"], ["/root/secret", "/usr/sbin/nginx"]),
    ],
)
def test_filters_keep_what_they_say(snoop, web, options, wanted) -> None:
    assert names(snoop("files", web, "-o", "name", *options)) == wanted


def test_a_filter_on_the_target_alone_keeps_the_target_alone(snoop, web) -> None:
    assert names(snoop("files", web, "-o", "name", "--match", "libc*", "--under", "/usr")) == ["/usr/lib/libc.so.6"]


def test_a_table_shows_where_a_link_led(snoop, web) -> None:
    lines = names(snoop("files", web))
    assert lines[0].split() == ["KINDS", "PATH"]
    assert "read,map   /lib/libc.so.6 -> /usr/lib/libc.so.6" in lines
    assert "read,map   /usr/lib/libc.so.6" in lines


def test_outcomes_are_told_where_they_may_differ(snoop, web) -> None:
    lines = names(snoop("files", web, "--outcome", "any"))
    assert ["read", "missing", "/etc/missing.conf"] in [line.split() for line in lines]


def test_wide_tells_image_from_volume(snoop, web) -> None:
    lines = names(snoop("files", web, "-o", "wide"))
    (log,) = [line for line in lines if line.endswith("/var/log/access.log")]
    assert log.startswith("2026-01-15 10:30:01Z")
    assert "volume" in log
    assert sum(" image " in line for line in lines) == 5


def test_json_and_yaml_hold_the_same(snoop, web) -> None:
    document = json.loads(snoop("files", web, "-o", "json").stdout)
    assert yaml.safe_load(snoop("files", web, "-o", "yaml").stdout) == document
    (libc,) = [one for one in document["files"] if one["path"] == "/lib/libc.so.6"]
    assert (libc["targets"], libc["kinds"], libc["containers"]) == (["/usr/lib/libc.so.6"], ["map", "read"], ["app"])
    assert (document["complete"], document["gaps"]) == (True, [])


def test_containers_and_pods_are_united(snoop, written) -> None:
    path = written(
        report(container(used("/a", "read", at=5), name="app", id="1" * 64)),
        report(container(used("/a", "map", at=2), used("/b"), name="side", id="2" * 64), pod_uid="uid-1"),
    )
    (a, b) = json.loads(snoop("files", path, "-o", "json").stdout)["files"]
    assert (a["path"], a["kinds"], a["containers"]) == ("/a", ["map", "read"], ["app", "side"])
    assert (a["first_seen"], a["last_seen"]) == ("2026-01-15T10:30:02.000Z", "2026-01-15T10:30:05.000Z")
    assert b["path"] == "/b"


def test_a_container_is_chosen_by_name_or_by_the_start_of_its_id(snoop, written) -> None:
    path = written(report(container(used("/a")), container(used("/b"), name="side", id="5" * 64)))
    for text in ("app", ID, ID[:12], ID[:8]):
        assert names(snoop("files", path, "-o", "name", "-c", text)) == ["/a"]
    assert names(snoop("files", path, "-o", "name", "-c", "app", "-c", "side")) == ["/a", "/b"]


@pytest.mark.parametrize("text", ["apo", "ap", ID[:7], ""])
def test_a_container_that_is_not_there_is_no_container_that_used_nothing(snoop, web, text) -> None:
    done = snoop("files", web, "-c", text)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"snoop: there is no container {text}; the evidence has app\n"


def test_containers_without_a_name_are_not_left_out_in_silence(snoop, written) -> None:
    path = written(report(container(used("/a")), container(used("/b"), name="", id="5" * 64)))
    done = snoop("files", path, "-o", "name", "-c", "app")
    assert (done.returncode, done.stdout) == (0, "/a\n")
    assert done.stderr == "snoop: 1 container whose name is not known may be left out: 555555555555\n"


def test_incomplete_evidence_says_so_and_may_be_refused(snoop, written) -> None:
    path = written(report(container(used("/a")), gaps=[late()]))
    done = snoop("files", path, "-o", "name")
    assert (done.returncode, done.stdout) == (0, "/a\n")
    assert done.stderr.startswith("snoop: the evidence is incomplete (late_start): what is not listed may have been")
    assert snoop("files", path, "--require-complete").returncode == 3


def test_complete_evidence_passes_the_check(snoop, web) -> None:
    assert snoop("files", web, "--require-complete").returncode == 0


def test_nothing_that_matches_is_said_aloud(snoop, web) -> None:
    done = snoop("files", web, "--under", "/opt")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "snoop: nothing that was recorded matches\n"


NASTY = [b"/tmp/a\nb", b"/tmp/\x1b[31mred", b"/tmp/\xff", b"/tmp/\\x0a", b"/tmp/caf\xc3\xa9", b"/tmp/\xe2\x80\xaeabc"]


def test_no_name_reaches_the_terminal_as_anything_but_one_line(snoop, written) -> None:
    path = written(report(container(*(used(decode(raw)) for raw in NASTY))))
    for form in ("name", "table", "wide"):
        lines = names(snoop("files", path, "-o", form))
        assert len(lines) == len(NASTY) + (form != "name")
        assert all(line.isprintable() for line in lines)
    listed = names(snoop("files", path, "-o", "name"))
    assert sorted(map(os.fsencode, map(unescape, listed))) == sorted(NASTY)
    assert "/tmp/café" in listed


def test_a_nul_ends_names_as_they_are(snoop, written) -> None:
    path = written(report(container(*(used(decode(raw)) for raw in NASTY))))
    done = snoop("files", path, "-0", text=False)
    assert sorted(done.stdout.split(b"\0")) == sorted([*NASTY, b""])


def test_json_spells_names_as_reports_do(snoop, written) -> None:
    path = written(report(container(used(decode(b"/tmp/\xff")), used("/tmp/a\nb"))))
    listed = [one["path"] for one in json.loads(snoop("files", path, "-o", "json").stdout)["files"]]
    assert listed == ["/tmp/a\nb", "/tmp/\\xff"]


def test_output_is_utf_8_whatever_the_locale(written) -> None:
    path = written(report(container(used("/tmp/café"))))
    command = [sys.executable, "-m", "snoop_cli.main", "files", path, "-o", "name"]
    env = {**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    assert subprocess.run(command, env=env, stdout=subprocess.PIPE, check=True).stdout == "/tmp/café\n".encode()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--under", "etc"], "does not begin with /"),
        (["--kind", "reads"], "'reads' is not one of"),
        (["--outcome", "gone"], "'gone' is not one of"),
        (["-0", "-o", "json"], "-0 prints bare paths"),
    ],
)
def test_wrong_options_are_usage_errors(snoop, web, options, words) -> None:
    done = snoop("files", web, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
