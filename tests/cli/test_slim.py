"""`snoop slim` leaves out what was not seen in use and changes nothing else, or makes nothing at all."""

import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import late, report, used
from tests.cli.images import CAPABILITY, CONFIG, UNUSED, archive, base, below, layer, make_root, member, ran

from snoop_cli import judged
from snoop_image.model import Entry
from snoop_image.verdict import Judgement

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root may set owners and capabilities")


def parts(path: Path) -> dict[str, bytes]:
    """Give the files of an archive."""
    with tarfile.open(path) as found:
        return {one.name: found.extractfile(one).read() for one in found if one.isfile()}  # type: ignore[union-attr]


def only_layer(path: Path) -> tarfile.TarFile:
    """Open the layer of the archive that slim made."""
    found = parts(path)
    (image,) = json.loads(found["manifest.json"])
    (name,) = image["Layers"]
    return tarfile.open(fileobj=io.BytesIO(found[name]))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = make_root(tmp_path / "root")
    (folder / "usr/lib/odd.so").write_bytes(b"x" * 10 + bytes(3 << 20) + b"y")
    os.link(folder / "usr/lib/libapp.so", folder / "usr/lib/libother.so")
    (folder / "usr/lib/libnew.so").symlink_to("libapp.so")
    os.mkfifo(folder / "usr/lib/pipe", 0o600)
    os.setxattr(folder / "usr/lib/libapp.so", "user.note", b"\xff\0kept")
    (folder / os.fsdecode(b"usr/lib/bytes-\xff")).write_bytes(b"b")
    (folder / "usr/lib").chmod(0o555)
    (folder / "etc/app.conf").chmod(0o4640)
    for path in folder.rglob("*"):
        os.utime(path, ns=(1_600_000_000_123_456_789, 1_600_000_000_123_456_789), follow_symlinks=False)
    return folder


@pytest.fixture
def web(written: Callable[..., Path]) -> Path:
    names = ("odd.so", "libnew.so", "libother.so", "pipe", os.fsdecode(b"bytes-\xff"))
    return written(ran(*(used(f"/usr/lib/{name}") for name in names)))


def test_what_stays_is_what_it_was(snoop, web, root, tmp_path) -> None:
    before = below(root)
    done = snoop("slim", web, "--rootfs", root, "--to", "out")
    assert done.returncode == 0, done.stderr
    after = below(tmp_path / "out")
    lacking = sorted(f"/{name}" for name in before.keys() - after.keys())
    assert lacking == sorted([*UNUSED, "/usr/share", "/usr/share/spare"])
    assert {name: before[name] for name in after} == after
    assert (tmp_path / "out/usr/lib/libapp.so").samefile(tmp_path / "out/usr/lib/libother.so")
    sparse = (tmp_path / "out/usr/lib/odd.so").stat()
    assert sparse.st_blocks * 512 < sparse.st_size


def test_a_tar_of_a_root_unpacks_to_what_the_folder_has(snoop, web, root, tmp_path) -> None:
    assert snoop("slim", web, "--rootfs", root, "--to", "out").returncode == 0
    assert snoop("slim", web, "--rootfs", root, "--to", "out.tar").returncode == 0
    (tmp_path / "unpacked").mkdir()
    options = ["--xattrs", "--xattrs-include=*", "--preserve-permissions"]
    subprocess.run(["tar", "-C", tmp_path / "unpacked", *options, "-xf", tmp_path / "out.tar"], check=True)
    assert below(tmp_path / "unpacked") == below(tmp_path / "out")


@root_only
def test_owners_and_capabilities_stay(snoop, written, root, tmp_path) -> None:
    os.chown(root / "usr/bin/app", 12, 34)
    (root / "usr/bin/app").chmod(0o6755)
    os.setxattr(root / "usr/bin/app", "security.capability", CAPABILITY)
    wanted = below(root)["usr/bin/app"]
    assert snoop("slim", written(ran()), "--rootfs", root, "--to", "out").returncode == 0
    assert below(tmp_path / "out")["usr/bin/app"] == wanted


@pytest.mark.parametrize("where", ["out", "out.tar"])
@pytest.mark.parametrize("lacking", ["gap", "nothing", "undeclared"])
def test_on_incomplete_evidence_nothing_is_made(snoop, written, root, tmp_path, where, lacking) -> None:
    reports = {
        "gap": [ran(gaps=[late()])],
        "nothing": [ran(), report(pod_uid="uid-1", pod_name="web-1")],
        "undeclared": [ran(exclude=("/",))],
    }
    done = snoop("slim", written(*reports[lacking]), "--rootfs", root, "--to", where)
    assert done.returncode == 3
    assert "no slimmed copy" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["root", "web.json"]


def test_the_library_refuses_incomplete_evidence_by_itself(snoop, written, root, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(judged, "refuse_incomplete", lambda *_: None)
    done = snoop("slim", written(ran(gaps=[late()])), "--rootfs", root, "--to", "out")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "late_start" in done.stderr
    assert not (tmp_path / "out").exists()


def test_what_is_at_the_target_stays(snoop, web, root, tmp_path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/precious").write_text("1")
    (tmp_path / "file.tar").write_text("2")
    for target in ("full", "file.tar", "root/inside", "nowhere/out", "/", "out.tar.gz"):
        done = snoop("slim", web, "--rootfs", root, "--to", target)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), target
    assert (tmp_path / "file.tar").read_text() == "2"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.tar", "full", "root", "web.json"]


def test_an_empty_folder_is_taken(snoop, web, root, tmp_path) -> None:
    (tmp_path / "out").mkdir()
    assert snoop("slim", web, "--rootfs", root, "--to", "out").returncode == 0
    assert (tmp_path / "out/usr/bin/app").exists()


def test_a_copy_that_fails_leaves_nothing(snoop, web, root, tmp_path, monkeypatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "utime", full)
    done = snoop("slim", web, "--rootfs", root, "--to", "out")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "No space left" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["root", "web.json"]


def test_a_file_that_was_not_judged_is_not_left_out_in_silence(snoop, web, root, tmp_path, monkeypatch) -> None:
    real = Judgement.kept

    def late_file(judgement: Judgement) -> Iterator[Entry]:
        (root / "usr/bin/late").write_text("installed while snoop worked")
        return real(judgement)

    monkeypatch.setattr(Judgement, "kept", late_file)
    done = snoop("slim", web, "--rootfs", root, "--to", "out")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "/usr/bin/late" in done.stderr
    assert not (tmp_path / "out").exists()


LAYERS = (
    layer(
        *base(),
        member("usr/lib/old.so", b"old"),
        member("usr/share/a", b"a's first content"),
        member("usr/share/b", b"b's content"),
        member("usr/lib/replaced.so", b"first"),
        member("opt", kind=tarfile.DIRTYPE, mode=0o1777, uid=7),
        member("usr/lib/capable.so", b"c", pax_headers={"SCHILY.xattr.user.note": "\udcff\0v"}, uid=12, gid=34),
    ),
    layer(
        # Its content is in the layer below, where its first name is hidden by this one.
        member("usr/lib/kept.so", kind=tarfile.LNKTYPE, linkname="usr/lib/old.so"),
        member("usr/lib/.wh.old.so"),
        # Links of names that nobody used; one of these has another content by then.
        member("usr/lib/a.so", kind=tarfile.LNKTYPE, linkname="usr/share/a"),
        member("usr/lib/b.so", kind=tarfile.LNKTYPE, linkname="usr/share/b"),
        member("usr/share/a", b"a's second content"),
        member("usr/lib/replaced.so", b"second"),
        member("usr/lib/alias.so", kind=tarfile.SYMTYPE, linkname="replaced.so"),
    ),
)
SEEN = tuple(used(f"/usr/lib/{name}.so") for name in ("kept", "replaced", "alias", "capable", "a", "b"))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return archive(tmp_path / "image.tar", *LAYERS)


@pytest.fixture
def layered(written: Callable[..., Path]) -> Path:
    return written(ran(*SEEN))


def test_an_archive_becomes_one_layer_with_the_same_configuration(snoop, layered, image, tmp_path) -> None:
    done = snoop("slim", layered, "--archive", image, "--to", "slim.tar", "--tag", "app:1-slim")
    assert done.returncode == 0, done.stderr
    found = parts(tmp_path / "slim.tar")
    (told,) = json.loads(found["manifest.json"])
    assert told["RepoTags"] == ["docker.io/library/app:1-slim"]
    config = json.loads(found[told["Config"]])
    labels = config["config"].pop("Labels")
    assert labels.pop("team") == "shop"
    assert sorted(labels) == ["dev.snoop.slim.evidence", "dev.snoop.slim.from", "dev.snoop.slim.version"]
    wanted = {**CONFIG["config"]}  # type: ignore[dict-item]
    wanted.pop("Labels")
    assert (config["config"], config["author"]) == (wanted, "somebody")
    with only_layer(tmp_path / "slim.tar") as made:
        names = {one.name: one for one in made}
        assert made.extractfile("usr/lib/kept.so").read() == b"old"  # type: ignore[union-attr]
        assert made.extractfile("usr/lib/a.so").read() == b"a's first content"  # type: ignore[union-attr]
        assert made.extractfile("usr/lib/b.so").read() == b"b's content"  # type: ignore[union-attr]
        assert made.extractfile("usr/lib/replaced.so").read() == b"second"  # type: ignore[union-attr]
        assert made.extractfile("usr/lib/libapp.so").read() == b"library" * 100  # type: ignore[union-attr]
    assert names["usr/lib/alias.so"].linkname == "replaced.so"
    assert names["usr/lib/capable.so"].pax_headers["SCHILY.xattr.user.note"] == "\udcff\0v"
    assert (names["usr/lib/capable.so"].uid, names["usr/lib/capable.so"].gid) == (12, 34)
    assert (names["opt"].mode, names["opt"].uid, names["opt"].mtime) == (0o1777, 7, 1_700_000_000)
    assert not {"usr/lib/old.so", "usr/bin/spare", "usr/share/spare/data", "usr/share/a", "usr/share/b"} & set(names)


def test_a_slimmed_archive_is_an_image_again(snoop, layered, image, tmp_path) -> None:
    assert snoop("slim", layered, "--archive", image, "--to", "slim.tar", "--tag", "app:1").returncode == 0
    done = snoop("analyze", layered, "--archive", "slim.tar", "--image", "app:1", "-o", "json", "--same-image")
    assert json.loads(done.stdout)["totals"]["unused"]["files"] == 0
    assert snoop("slim", layered, "--archive", image, "--to", "again.tar", "--tag", "app:1").returncode == 0
    assert (tmp_path / "again.tar").read_bytes() == (tmp_path / "slim.tar").read_bytes()


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is wanted: make install")
@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive"])
def test_skopeo_takes_it(snoop, layered, image, tmp_path, kind) -> None:
    assert snoop("slim", layered, "--archive", image, "--to", "slim.tar", "--tag", "app:1").returncode == 0
    made = f"{kind}:{tmp_path / 'slim.tar'}"
    subprocess.run(["skopeo", "copy", "--quiet", made, f"oci:{tmp_path / 'copied'}"], check=True)
    told = subprocess.run(["skopeo", "inspect", "--config", made], check=True, capture_output=True)
    assert json.loads(told.stdout)["config"]["Entrypoint"] == ["/usr/bin/app", "-x"]


@root_only
def test_an_archive_becomes_a_root_file_system(snoop, layered, image, tmp_path) -> None:
    done = snoop("slim", layered, "--archive", image, "--to", "out")
    assert done.returncode == 0, done.stderr
    made = below(tmp_path / "out")
    assert made["usr/lib/kept.so"][-2] == b"old"
    assert made["usr/lib/alias.so"][-1] == "replaced.so"
    assert made["usr/lib/capable.so"][1:3] == (12, 34)
    assert made["usr/lib/capable.so"][-3] == {"user.note": b"\xff\0v"}
    assert "usr/bin/spare" not in made


@root_only
@pytest.mark.skipif(shutil.which("busybox") is None, reason="busybox is wanted: make install")
def test_the_same_command_says_the_same_in_what_is_left(snoop, written, tmp_path) -> None:
    root = make_root(tmp_path / "root")
    shell = root / "bin/sh"
    shell.unlink()
    shutil.copy(shutil.which("busybox") or "", shell)
    command = ["sh", "-c", "cat /etc/passwd /etc/app.conf; ls /usr/bin/app"]
    seen = ran(used("/bin/sh", "execute", executable="/bin/sh"))
    assert snoop("slim", written(seen), "--rootfs", root, "--to", "out").returncode == 0

    def output(folder: Path) -> bytes:
        return subprocess.run(["chroot", folder, *command], check=True, capture_output=True).stdout

    assert output(root) == output(tmp_path / "out") != b""


HARD = (
    layer(
        *base(),
        member("old/deep", kind=tarfile.DIRTYPE, mode=0o700, uid=3),
        member("old/deep/a", b"a"),
        member("old/b", b"b", mode=0o4755, gid=5),
        member("old/c", kind=tarfile.LNKTYPE, linkname="old/b"),
        member("turned", kind=tarfile.DIRTYPE, mode=0o755),
        member("turned/in", b"in"),
        member("opaque", kind=tarfile.DIRTYPE, mode=0o750),
        member("opaque/lower", b"lower"),
        member("tell", kind=tarfile.FIFOTYPE, mode=0o622),
        member("twice", b"first"),
        member("twice", b"second, of the same layer"),
    ),
    layer(
        member("far/d", kind=tarfile.LNKTYPE, linkname="old/c"),
        member("old/.wh.deep"),
        member("turned", b"a file now", mode=0o600),
        member("opaque", kind=tarfile.DIRTYPE, mode=0o711, uid=9),
        member("opaque/.wh..wh..opq"),
        member("opaque/upper", b"upper"),
    ),
    layer(
        member("old/.wh.b"),
        member("old/.wh.c"),
        member("far/e", kind=tarfile.LNKTYPE, linkname="far/d"),
        member("far/link", kind=tarfile.SYMTYPE, linkname="../old"),
    ),
)


@root_only
@pytest.mark.skipif(not (shutil.which("skopeo") and shutil.which("umoci")), reason="skopeo and umoci are wanted")
def test_where_all_stays_the_copy_is_what_another_tool_unpacks(snoop, written, tmp_path) -> None:
    image = archive(tmp_path / "hard.tar", *HARD)
    subprocess.run(["skopeo", "copy", "--quiet", f"docker-archive:{image}", f"oci:{tmp_path}/oci:1"], check=True)
    subprocess.run(["umoci", "unpack", "--image", f"{tmp_path}/oci:1", tmp_path / "bundle"], check=True)
    done = snoop("slim", written(ran()), "--archive", image, "--to", "out", "--protect", "/**")
    assert done.returncode == 0, done.stderr
    made, wanted = below(tmp_path / "out"), below(tmp_path / "bundle/rootfs")
    assert made.keys() == wanted.keys()
    # No tar has the times of directories that it only implies, nor the root's.
    implied = [name for name, one in made.items() if not one[3]]
    assert {name: one for name, one in made.items() if name not in implied} == {
        name: one for name, one in wanted.items() if name not in implied
    }
    assert (tmp_path / "out/far/d").samefile(tmp_path / "out/far/e")
    assert made["far/d"][-2] == b"b"
    assert made["twice"][-2] == b"second, of the same layer"
