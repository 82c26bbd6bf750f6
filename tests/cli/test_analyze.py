"""`snoop analyze` says what of an image was seen in use, and calls nothing unused that it cannot know."""

import importlib.util
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tests.cli.conftest import DIGEST, container, late, report, used
from tests.cli.images import FILES, RAN, UNUSED, archive, base, below, layer, make_root, member, ran

from snoop_cli.formats import slimming
from snoop_image.inventory import read_rootfs
from snoop_image.reference import Reference
from snoop_image.verdict import analyze


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_root(tmp_path / "root")


@pytest.fixture
def web(written: Callable[..., Path]) -> Path:
    return written(ran())


def test_the_table_says_what_was_not_seen_and_where_was_looked(snoop, web, root) -> None:
    done = snoop("analyze", web, "--rootfs", root)
    assert (done.returncode, done.stderr) == (0, "")
    assert "not seen in use in 1 pod over 15 minutes" in done.stdout
    assert "removable" not in done.stdout
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["unused", "2", "34.2", "KiB"] in rows
    assert ["spare", "deb", "unused"] in [row[:3] for row in rows]


def test_the_unused_are_listed_by_name(snoop, web, root) -> None:
    assert snoop("analyze", web, "--rootfs", root, "-o", "name").stdout.splitlines() == UNUSED
    assert snoop("analyze", web, "--rootfs", root, "-o", "name", "-0").stdout.split("\0") == [*UNUSED, ""]


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_a_program_reads_bytes_and_verdicts(snoop, web, root, form) -> None:
    done = snoop("analyze", web, "--rootfs", root, "-o", form)
    told = json.loads(done.stdout) if form == "json" else yaml.safe_load(done.stdout)
    assert told["unused_bytes"] == 35_000
    assert {one["path"] for one in told["files"]} == {f"/{name}" for name in FILES}
    assert {one["name"]: one["use"] for one in told["packages"]} == {
        "app": "used",
        "libapp": "used",
        "spare": "unused",
        "spare-data": "unused",
    }


@pytest.mark.parametrize("form", ["include-list", "dockerfile", "purge-list", "creport"])
def test_no_list_of_what_may_go_is_made_of_evidence_with_gaps(snoop, written, tmp_path, form) -> None:
    image = archive(tmp_path / "image.tar", layer(*base()))
    done = snoop("analyze", written(ran(gaps=[late()])), "--archive", image, "--image", "app:1", "-o", form)
    assert (done.returncode, done.stdout) == (3, "")
    assert "late_start" in done.stderr


def test_evidence_with_gaps_calls_nothing_unused(snoop, written, root) -> None:
    web = written(ran(gaps=[late()]))
    done = snoop("analyze", web, "--rootfs", root, "-o", "json")
    assert (done.returncode, json.loads(done.stdout)["totals"]["unused"]["files"]) == (0, 0)
    assert "late_start" in done.stderr
    assert snoop("analyze", web, "--rootfs", root, "--require-complete").returncode == 3
    assert snoop("analyze", web, "--rootfs", root, "--fail-on-unused", "1TB").returncode == 3
    assert "not seen in use" not in snoop("analyze", web, "--rootfs", root).stdout


@pytest.mark.parametrize(
    ("limit", "status"), [("35kB", 0), ("35000", 0), ("34.9K", 4), ("0", 4), ("34KiB", 4), ("35Ki", 0), ("200MB", 0)]
)
def test_a_limit_on_the_unused_has_a_status_of_its_own(snoop, web, root, limit, status) -> None:
    assert snoop("analyze", web, "--rootfs", root, "--fail-on-unused", limit).returncode == status


def test_a_person_protects_and_lifts(snoop, web, root) -> None:
    done = snoop("analyze", web, "--rootfs", root, "-o", "name", "--protect", "/usr/share/spare")
    assert done.stdout.splitlines() == ["/usr/bin/spare"]
    done = snoop("analyze", web, "--rootfs", root, "-o", "name", "--unprotect", "/etc/passwd")
    assert "/etc/passwd" in done.stdout.splitlines()


def test_shared_layers_stay_on_the_node(snoop, web, tmp_path) -> None:
    image = archive(tmp_path / "image.tar", layer(*base()), layer(member("opt/big", b"x" * 5000)))
    options = ["analyze", web, "--archive", image, "-o", "json"]
    told = json.loads(snoop(*options, "--shared-layers", "1").stdout)
    assert (told["unused_bytes"], told["unused_bytes_net"]) == (40_000, 5000)
    assert snoop("analyze", web, "--archive", image, "--shared-layers", "3").returncode == 2


def test_the_paths_that_stay_are_listed(snoop, web, root) -> None:
    listed = snoop("analyze", web, "--rootfs", root, "-o", "include-list").stdout.splitlines()
    assert listed[0] == "/"
    assert {"/usr/bin/app", "/bin/sh", "/usr/bin"} <= set(listed)
    assert not {*UNUSED, "/usr/share/spare"} & set(listed)


def test_the_dockerfiles_pipeline_copies_what_slim_copies(snoop, web, root, tmp_path) -> None:
    """Its shell command, with the two mounts in other places, makes what `slim` makes."""
    judgement = analyze([ran()], read_rootfs(root))
    lines = list(slimming.dockerfile(judgement, Reference("docker.io", "app", digest=DIGEST)))
    start = next(number for number, line in enumerate(lines) if "mkdir /slim" in line)
    command = " ".join(line.rstrip("\\").strip() for line in lines[start : lines.index("FROM scratch")])
    for place in ("full", "slim", "include.list"):
        command = command.replace(f" /{place}", f" {tmp_path}/{place}")
    (tmp_path / "full").symlink_to(root)
    listed = snoop("analyze", web, "--rootfs", root, "-o", "include-list", "-0", text=False)
    (tmp_path / "include.list").write_bytes(listed.stdout)
    subprocess.run(["bash", "-euo", "pipefail", "-c", command], check=True)
    assert snoop("slim", web, "--rootfs", root, "--to", "out").returncode == 0
    assert below(tmp_path / "slim") == below(tmp_path / "out")


def test_packages_that_can_go_together_are_listed(snoop, web, root) -> None:
    lines = snoop("analyze", web, "--rootfs", root, "-o", "purge-list").stdout.splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["spare", "spare-data"]
    assert any("apt-get purge" in line for line in lines)


def test_a_required_package_is_in_no_purge_list(snoop, written, root) -> None:
    app = written(report(container(RAN[0], used("/usr/bin/spare"), digest="", image="app:1")))
    lines = snoop("analyze", app, "--rootfs", root, "-o", "purge-list").stdout.splitlines()
    assert [line for line in lines if not line.startswith("#")] == []


def test_a_page_for_a_browser_has_the_verdict(snoop, web, root) -> None:
    done = snoop("analyze", web, "--rootfs", root, "-o", "html")
    assert (done.returncode, done.stderr) == (0, "")
    assert "not seen in use in 1 pod" in done.stdout
    assert done.stdout.endswith("</html>\n")


def test_slimtoolkits_report_has_what_stays(snoop, web, root) -> None:
    told = json.loads(snoop("analyze", web, "--rootfs", root, "-o", "creport").stdout)
    files = {one["file_path"]: one for one in told["image"]["files"]}
    assert files["/usr/bin/app"]["flags"] == {"X": True}
    assert (files["/usr/bin/app"]["mode"], files["/usr"]["file_type"]) == ("-rwxr-xr-x", "Dir")
    assert not set(UNUSED) & set(files)


def test_the_bill_of_materials_marks_what_was_seen(snoop, web, root) -> None:
    told = json.loads(snoop("analyze", web, "--rootfs", root, "-o", "cyclonedx").stdout)
    use = {one["name"]: {pair["name"]: pair["value"] for pair in one["properties"]} for one in told["components"]}
    assert (use["app"]["snoop:use"], use["spare"]["snoop:use"]) == ("used", "unused")
    assert {one["ref"]: one["dependsOn"] for one in told["dependencies"]}["pkg:deb/debian/app@1.0?arch=amd64"] == [
        "pkg:deb/debian/libapp@2:1.1?arch=amd64"
    ]
    assert "vulnerabilities" not in told
    again = snoop("analyze", web, "--rootfs", root, "-o", "cyclonedx").stdout
    assert json.loads(again) == told


def test_names_that_are_not_utf8_spoil_no_format(snoop, web, root) -> None:
    status = root / "var/lib/dpkg/status"
    status.write_bytes(status.read_bytes() + b"\nPackage: b\xffd\nStatus: install ok installed\nVersion: 1\xfe\n")
    (root / os.fsdecode(b"usr/bin/odd-\xff\n")).write_bytes(b"x")
    for form in ("table", "wide", "json", "yaml", "name", "html", "include-list", "purge-list", "creport", "cyclonedx"):
        done = snoop("analyze", web, "--rootfs", root, "-o", form, text=False)
        assert done.returncode == 0, form
        done.stdout.decode("utf-8")
    assert b"/usr/bin/odd-\xff\n\0" in snoop("analyze", web, "--rootfs", root, "-o", "name", "-0", text=False).stdout


@pytest.mark.skipif(importlib.util.find_spec("cyclonedx") is None, reason="cyclonedx-python-lib is wanted")
def test_the_bill_of_materials_fits_its_schema(snoop, web, root) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    told = snoop("analyze", web, "--rootfs", root, "-o", "cyclonedx").stdout
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(told) is None


def test_what_ran_is_not_another_image(snoop, written, tmp_path, root) -> None:
    """A layout knows its digest; reports that name another one are not about it, unless a person says so."""
    web = written(report(container(*RAN, digest=DIGEST)))
    assert snoop("analyze", web, "--rootfs", root).returncode == 0
    image = archive(tmp_path / "image.tar", layer(*base()))
    made = snoop("slim", web, "--archive", image, "--to", "slim.tar")
    assert made.returncode == 0, made.stderr
    done = snoop("analyze", web, "--archive", "slim.tar")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert DIGEST in done.stderr
    assert snoop("analyze", web, "--archive", "slim.tar", "--same-image").returncode == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "name the image once"),
        (["--rootfs", "root", "--image", "x"], "name the image once"),
        (["--rootfs", "nowhere"], "No such file"),
        (["--archive", "web.json"], "not a tar archive"),
        (["--image", "UPPER"], "lower case"),
        (["--image", "x", "--registry-ca", "nowhere"], "nowhere"),
        (["--rootfs", "root", "-c", "db"], "no container db"),
        (["--rootfs", "root", "--platform", "linux"], "linux/amd64"),
        (["--rootfs", "root", "--fail-on-unused", "much"], "200MB"),
        (["--rootfs", "root", "--shared-layers", "all"], "digest"),
        (["--rootfs", "root", "--shared-layers", "1"], "layers"),
        (["--rootfs", "root", "-o", "dockerfile"], "--image"),
        (["--rootfs", "root", "-o", "json", "-0"], "-0"),
    ],
)
def test_bad_input_gets_one_line(snoop, web, root, options, words) -> None:
    done = snoop("analyze", web, *options)
    assert done.returncode == 2
    assert words in done.stderr.splitlines()[-1]
