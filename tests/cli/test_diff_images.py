"""`snoop diff` of two versions of an image: by digest, and by what the images hold."""

import json
import shutil
from pathlib import Path

import pytest
from tests.cli.conftest import container, late, report, used
from tests.cli.images import STATUS, make_root, ran

OLD, NEW = "sha256:" + "0c" * 32, "sha256:" + "f3" * 32


def two(**more):
    """One profile's evidence: pods of the old version, and one of the new."""
    return (
        report(
            container(used("/usr/bin/app", "execute"), used("/old"), digest=OLD, started_at=10.0),
            container(used("/sidecar"), name="proxy", id="5" * 64, digest="sha256:" + "55" * 32),
            gaps=[late("5" * 64)],
        ),
        report(
            container(used("/usr/bin/app", "execute"), used("/new"), digest=NEW, started_at=20.0, id="6" * 64),
            pod_name="web-1",
            pod_uid="uid-1",
            **more,
        ),
    )


def test_two_images_of_one_profile_are_named_by_the_beginning_of_their_digests(snoop, written) -> None:
    web = written(*two())
    done = snoop("diff", f"{web.name}@sha256:0c0c", f"{web.name}@sha256:f3f3")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "--- web.json@sha256:0c0c0c0c0c0c (shop/web-0)",
        "+++ web.json@sha256:f3f3f3f3f3f3 (shop/web-1)",
        "+ /new  (read)",
        "- /old  (read)",
        "1 path only in A, 1 only in B, 0 used in another way, 1 in the same way",
    ]


def test_one_argument_compares_its_two_images_the_older_first(snoop, written) -> None:
    first, second = two()
    first.containers.pop()
    web = written(second, first)
    assert snoop("diff", web, "-o", "name").stdout.splitlines() == ["+/new", "-/old"]


def test_which_images_there_are_is_told_where_it_is_not_clear_which_are_meant(snoop, written) -> None:
    web = written(*two()).name
    three = snoop("diff", web)
    assert three.returncode == 2
    assert "web.json has 3 images (sha256:0c0c0c0c0c0c, sha256:f3f3f3f3f3f3, sha256:555555555555)" in three.stderr
    assert "has no image sha256:beef; it has 3 images" in snoop("diff", f"{web}@sha256:beef", web).stderr
    assert "name what to compare" in snoop("diff", f"{web}@sha256:0c0c").stderr


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Path, Path]:
    """A root, and its next version: another libapp, no spare, one file more."""
    before = make_root(tmp_path / "before")
    after = shutil.copytree(before, tmp_path / "after")
    head, app, libapp, *_ = STATUS.partition("Package: libapp")[0], *STATUS.split("\n\n")
    assert head.startswith(app)
    status = f"{app}\n\n{libapp.replace('2:1.1', '2:1.2')}\n\n{STATUS.split(chr(10) * 2)[3]}"
    (after / "var/lib/dpkg/status").write_text(status)
    (after / "var/lib/dpkg/info/spare.list").unlink()
    (after / "usr/bin/spare").unlink()
    (after / "usr/lib/libapp.so").write_bytes(b"library" * 200)
    (after / "usr/lib/more.so").write_bytes(b"m" * 500)
    return before, after


def test_packages_and_bytes_of_both_images_are_told(snoop, written, roots) -> None:
    before, after = roots
    a, b = written(ran(), to="a.json"), written(ran(used("/usr/share/spare/data"), pod_uid="uid-1"), to="b.json")
    done = snoop("diff", a, b, "--rootfs-a", before, "--rootfs-b", after)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert f"- image {before}: 12 files, " in done.stdout
    assert "not seen in use 34.2 KiB in 1 pod over 15 minutes" in done.stdout
    assert "~ package libapp [deb] 2:1.1 -> 2:1.2  (used; 700 B -> 1.4 KiB)" in lines
    assert "- package spare [deb] 3.0  (unused; 4.9 KiB)" in lines
    assert "~ package spare-data [deb] 3.0  (unused -> used; 29.3 KiB)" in lines
    assert lines[-1].startswith(
        "2 files (4.9 KiB) only in the image of A, 1 file (500 B) only in that of B, 2 of another"
    )


def test_json_has_the_same_of_both_images(snoop, written, roots) -> None:
    before, after = roots
    web = written(ran())
    done = snoop("diff", web, web, "--rootfs-a", before, "--rootfs-b", after, "-o", "json")
    told = json.loads(done.stdout)["images"]
    assert told["a"]["unused"] == {"files": 2, "bytes": 35_000}
    assert told["files_only_b"] == ["/usr/lib/more.so"]
    libapp = next(one for one in told["packages"] if one["name"] == "libapp")
    assert libapp["a"] == {"version": "2:1.1", "use": "used", "bytes": 700}
    assert libapp["b"] == {"version": "2:1.2", "use": "used", "bytes": 1400}
    spare = next(one for one in told["packages"] if one["name"] == "spare")
    assert spare["b"] is None


def test_on_incomplete_evidence_no_bytes_are_called_unused(snoop, written, roots) -> None:
    web = written(ran(gaps=[late()]))
    done = snoop("diff", web, web, "--rootfs-a", roots[0], "--rootfs-b", roots[1])
    assert "not seen in use" not in done.stdout
    assert (
        json.loads(snoop("diff", web, web, "--rootfs-a", roots[0], "--rootfs-b", roots[1], "-o", "json").stdout)[
            "images"
        ]["a"]["unused"]
        is None
    )


def test_the_image_of_one_side_alone_is_not_enough(snoop, written, roots) -> None:
    web = written(ran())
    done = snoop("diff", web, web, "--rootfs-a", roots[0])
    assert done.returncode == 2
    assert "web.json too: --image-b, --archive-b or --rootfs-b" in done.stderr
