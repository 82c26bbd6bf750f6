"""A root file system in a folder."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from snoop_image.inventory import Limits, read_rootfs
from snoop_image.model import FileType, ImageError
from snoop_image.rootfs import read_folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    (made / "etc").mkdir(parents=True)
    (made / "etc/a").write_bytes(b"123")
    return made


def test_every_type_is_told(root: Path) -> None:
    (root / "link").symlink_to("/etc/a")
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as bound:
        here = Path.cwd()
        os.chdir(root)  # a socket's name is short
        bound.bind("socket")
        os.chdir(here)
    (root / "etc/a").chmod(0o6711)

    found = read_rootfs(root)

    assert {path: entry.type for path, entry in found.entries.items()} == {
        "/": FileType.DIRECTORY,
        "/etc": FileType.DIRECTORY,
        "/etc/a": FileType.FILE,
        "/fifo": FileType.FIFO,
        "/link": FileType.SYMLINK,
        "/socket": FileType.SOCKET,
    }
    entry = found.entries["/etc/a"]
    assert (entry.size, entry.mode, entry.uid) == (3, 0o6711, os.getuid())
    assert found.entries["/link"].target == "/etc/a"
    assert (len(found.layers), found.layers[0].digest, found.digest) == (1, "", "")
    assert list(found.entries) == sorted(found.entries)
    assert found.notes == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: makes a device")
def test_devices_are_told(root: Path) -> None:
    os.mknod(root / "null", 0o020666, os.makedev(1, 3))
    assert read_rootfs(root).entries["/null"].type is FileType.CHARACTER


def test_no_link_is_followed_out_of_it_or_in_circles(root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_bytes(b"x")
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "up").symlink_to("../outside")
    (root / "self").symlink_to(".")
    (root / "loop").symlink_to("loop")

    assert set(read_rootfs(root).entries) == {"/", "/etc", "/etc/a", "/out", "/up", "/self", "/loop"}


def test_hard_links_are_one_file(root: Path, known_parsers: Any) -> None:
    (root / "run").write_bytes(b"#!/bin/sh\n")
    (root / "run").chmod(0o755)
    (root / "z").hardlink_to(root / "run")
    (root / "etc/b").hardlink_to(root / "run")
    (root / "single").hardlink_to(root / "etc/a")
    (root / "etc/a").unlink()

    found = read_folder(root, known_parsers(["/z", "/run"]), Limits())

    assert {entry.link for path, entry in found.entries.items() if path in ("/run", "/z", "/etc/b")} == {1}
    assert found.entries["/single"].link == 0
    assert found.scripts == dict.fromkeys(("/etc/b", "/run", "/z"), "/bin/sh")
    assert found.contents == dict.fromkeys(("/run", "/z"), b"#!/bin/sh\n")


def test_a_hard_link_from_outside_is_a_file_with_one_name(root: Path, tmp_path: Path) -> None:
    (tmp_path / "store").hardlink_to(root / "etc/a")
    assert read_rootfs(root).entries["/etc/a"].link == 0


def test_what_is_wanted_under_a_symlink_s_name_is_read(root: Path, known_parsers: Any) -> None:
    (root / "usr/lib").mkdir(parents=True)
    (root / "usr/lib/os-release").write_bytes(b"ID=debian")
    (root / "etc/os-release").symlink_to("../usr/lib/os-release")
    (root / "etc/outside").symlink_to("/../../../../../../etc/hostname")

    found = read_folder(root, known_parsers(["/etc/os-release", "/etc/outside"]), Limits())

    assert found.contents == {"/etc/os-release": b"ID=debian"}


def test_names_that_are_not_utf_8_are_told(root: Path) -> None:
    for name in (b"\xff\xfe", b"new\nline", "ü".encode()):
        Path(os.fsdecode(os.fsencode(root) + b"/etc/" + name)).write_bytes(b"#!x")
    expected = {f"/etc/{name}" for name in ("a", "\udcff\udcfe", "new\nline", "ü")}

    assert {path for path in read_rootfs(root).entries if path.startswith("/etc/")} == expected

    # In any locale.
    script = "import sys; from pathlib import Path; from snoop_image.inventory import read_rootfs\n"
    script += "found = read_rootfs(Path(sys.argv[1])); print(ascii(sorted(found.entries)), found.notes)"
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    told = subprocess.run(
        [sys.executable, "-c", script, root], env=environment, check=True, capture_output=True, text=True
    ).stdout
    assert told.strip() == f"{sorted(['/', '/etc', *expected])!a} []"


def test_extended_attributes_are_told(root: Path) -> None:
    os.setxattr(root / "etc/a", "user.note", b"x")
    assert read_rootfs(root).entries["/etc/a"].attributes == ("user.note",)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mounts, and becomes somebody else")
class TestAsRoot:
    def test_other_mounts_are_not_read_and_that_is_told(self, root: Path) -> None:
        (root / "proc").mkdir()
        (root / "with blank").mkdir()
        script = "import sys; from pathlib import Path; from snoop_image.inventory import read_rootfs\n"
        script += "found = read_rootfs(Path(sys.argv[1])); print(sorted(found.entries), *found.notes, sep='\\n')"
        mounts = 'mount -t proc proc "$1/proc" && mount --bind /etc "$1/with blank" && exec "$2" -c "$3" "$1"'
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", mounts, "sh", root, sys.executable, script],
            check=True,
            capture_output=True,
            text=True,
        )
        entries, *notes = done.stdout.splitlines()
        assert entries == "['/', '/etc', '/etc/a', '/proc', '/with blank']"
        assert sorted(notes) == [
            "/proc: is a mount of its own, and not read",
            "/with blank: is a mount of its own, and not read",
        ]

    def test_what_cannot_be_read_is_a_note(self, root: Path) -> None:
        (root / "closed").mkdir(mode=0o700)
        (root / "closed/x").touch()
        (root / "etc/secret").write_bytes(b"#!x")
        (root / "etc/secret").chmod(0o600)
        for one in (root, root.parent, root.parent.parent, root.parent.parent.parent):
            one.chmod(0o755)
        read, write = os.pipe()
        if not (child := os.fork()):
            try:
                os.setgid(65534)
                os.setuid(65534)
                os.write(write, "\n".join(sorted(read_rootfs(root).notes)).encode())
            finally:
                os._exit(0)
        os.close(write)
        with os.fdopen(read) as told:
            notes = told.read().splitlines()
        os.waitpid(child, 0)
        assert notes == [
            "/closed: cannot be listed: Permission denied: what is in it is not known",
            "/etc/secret: its content cannot be read: Permission denied",
        ]


@pytest.mark.parametrize("kind", ["file", "nothing", "loop"])
def test_what_is_no_folder_is_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    path = tmp_path / kind
    if kind == "file":
        path.write_text("x")
    elif kind == "loop":
        path.symlink_to(path)
    with pytest.raises(ImageError, match=f"{path}: (is no folder|cannot be read: )"):
        read_rootfs(path)


def test_more_names_than_the_limit_are_refused(root: Path) -> None:
    with pytest.raises(ImageError, match="more than 2 names"):
        read_rootfs(root, limits=Limits(entries=2))


def test_progress_is_told(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / str(number)).mkdir()
        for name in range(100):
            (tmp_path / str(number) / str(name)).touch()
    seen: list[tuple[str, int, int]] = []

    read_rootfs(tmp_path, progress=lambda *told: seen.append(told))

    assert 2 <= len(seen) <= 40
    assert seen[-1][0].endswith(" names")
