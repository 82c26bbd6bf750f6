import contextlib
import os
import shutil
import sqlite3
import struct
import subprocess
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import pytest
from tests.image.packages.images import Image, Link, of_files, of_folder

from snoop_image.model import Package
from snoop_image.packages import Dependencies
from snoop_image.packages.rpm_databases import sqlite_headers
from snoop_image.packages.rpm_header import rich

pytestmark = [
    pytest.mark.skipif(shutil.which("rpmbuild") is None, reason="needs rpm and rpmbuild (Debian: rpm)"),
    pytest.mark.skipif(os.geteuid() != 0, reason="rpm --root needs root"),
]

SPECS = {
    "shell": """\
Epoch: 2
%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/etc/shell %{buildroot}/var/lib/shell
echo sh > %{buildroot}/usr/bin/sh; ln -s sh %{buildroot}/usr/bin/rsh; echo a > %{buildroot}/etc/shell/rc
%files
/usr/bin/sh
/usr/bin/rsh
%config(noreplace) /etc/shell/rc
%dir /var/lib/shell
%ghost /var/log/shell.log
""",
    "tool": """\
Requires: /bin/sh
Requires: /usr/lib/plugin
Requires: shell >= 1
Requires: (plugin or other-plugin >= 2)
Requires(post): virtual(x)(64bit)
Provides: made-up = 3
%install
mkdir -p %{buildroot}/usr/bin; echo tool > %{buildroot}/usr/bin/tool
%files
/usr/bin/tool
""",
    "plugin": """\
Provides: virtual(x)(64bit)
%install
mkdir -p %{buildroot}/usr/lib/plugin; for i in $(seq 300); do echo $i > %{buildroot}/usr/lib/plugin/$i; done
%files
/usr/lib/plugin
""",
    "idle": "%files\n",
}
HEAD = "Name: {name}\nVersion: 1.5\nRelease: 7\nSummary: a\nLicense: a\nBuildArch: noarch\n%description\na\n"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """What rpmbuild makes of the specs."""
    top = tmp_path_factory.mktemp("rpmbuild")
    for name, spec in SPECS.items():
        tags, _, rest = spec.partition("%install") if "%install" in spec else ("", "", spec)
        head = HEAD.format(name=name).replace("%description", tags + "%description")
        (top / f"{name}.spec").write_text(f"{head}{'%install' if tags or '%install' in spec else ''}{rest}")
        command: list[str | Path] = ["rpmbuild", "-bb", "--quiet", "--define", f"_topdir {top}", top / f"{name}.spec"]
        subprocess.run(command, check=True, capture_output=True)
    return sorted(top.glob("RPMS/noarch/*.rpm"))


def installed(root: Path, packages: list[Path], backend: str) -> Path:
    (root / "usr/bin").mkdir(parents=True)
    (root / "bin").symlink_to("usr/bin")
    rpm(root, backend, "--install", "--nodeps", "--force-debian", *map(str, packages))
    (root / "usr/bin/tool").unlink()
    (root / "var/log").mkdir(parents=True)
    (root / "var/log/shell.log").touch()
    return root


def rpm(root: Path, backend: str, *arguments: str) -> str:
    options = ["--root", str(root), "--dbpath", "/var/lib/rpm", "--define", f"_db_backend {backend}"]
    run = subprocess.run(["rpm", *options, *arguments], check=True, capture_output=True, text=True)
    return run.stdout


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, packages: list[Path]) -> Path:
    return installed(tmp_path_factory.mktemp("sqlite"), packages, "sqlite")


def check(found: Mapping[str, Package]) -> None:
    assert set(found) == {"shell", "tool", "plugin", "idle"}
    shell = found["shell"]
    assert shell.identity == ("rpm", "shell", "2:1.5-7", "noarch")
    assert shell.files == ("/etc/shell/rc", "/usr/bin/rsh", "/usr/bin/sh", "/var/log/shell.log")
    assert shell.configuration == ("/etc/shell/rc",)
    assert shell.provides == ("config(shell)", "/bin/sh")
    # config(shell) is its own.
    assert shell.requires == ()
    tool = found["tool"]
    assert tool.version == "1.5-7"
    expected = {("/bin/sh",), ("/usr/lib/plugin",), ("shell",), ("plugin", "other-plugin"), ("virtual(x)(64bit)",)}
    assert set(tool.requires) == expected
    assert "/usr/lib/plugin" in found["plugin"].provides
    assert tool.files == ()
    assert len(found["plugin"].files) == 300
    packages = list(found.values())
    graph = Dependencies(packages)
    needed = {packages[index].name for index in graph.needed([packages.index(tool)])}
    assert needed == {"tool", "shell", "plugin"}


def test_an_sqlite_database_tells_what_rpm_installed(root: Path) -> None:
    image = of_folder(root)
    assert "/var/lib/rpm/rpmdb.sqlite" in image.contents
    check(image.packages())


def ndb(headers: Iterable[bytes]) -> bytes:
    """A database as rpm's lib/backend/ndb/rpmpkg.c writes it; Debian's rpm has no ndb."""
    slots, blobs = [b"RpmP" + struct.pack("<III", 0, 1, 1), struct.pack("<I12x", 9)], b""
    for number, header in enumerate(headers, 1):
        size = (16 + len(header) + 12 + 15) // 16
        slots += [
            struct.pack("<4sIII", b"Slot", 77, 0, 0),
            b"Slot" + struct.pack("<III", number, 256 + len(blobs) // 16, size),
        ]
        tail = struct.pack("<II4s", zlib.adler32(header), len(header), b"BlbE")
        blobs += (b"BlbS" + struct.pack("<III", number, 1, len(header)) + header).ljust(size * 16 - 12, b"\0") + tail
    return b"".join(slots).ljust(4096, b"\0")[: len(slots) * 16] + b"Slot".ljust(16, b"\0") * (256 - len(slots)) + blobs


@pytest.fixture(scope="module")
def headers(root: Path) -> list[bytes]:
    return list(sqlite_headers((root / "var/lib/rpm/rpmdb.sqlite").read_bytes()))


def test_an_ndb_database_tells_what_rpm_installed(root: Path, headers: list[bytes]) -> None:
    image = of_folder(root)
    del image.contents["/var/lib/rpm/rpmdb.sqlite"]
    database = image.contents["/usr/lib/sysimage/rpm/Packages.db"] = ndb(headers)
    check(image.packages())
    for damage in (b"BlbX\x02", b"BlbS\x03"):
        image.contents["/usr/lib/sysimage/rpm/Packages.db"] = database.replace(b"BlbS\x02", damage)
        packages, notes = image.read()
        assert len(packages) == 3
        assert [note.split(": ")[1] for note in notes] == ["package 2"]


def test_packages_that_share_one_place_are_not_read_again_and_again() -> None:
    # Each begins within the one before it, and goes to the end.
    count = 200
    slots = b"".join(struct.pack("<4sIII", b"Slot", one, 256 + one, 9) for one in range(1, count + 1))
    end = 4096 + 16 * (count + 1) + 100_000
    heads = b"".join(struct.pack("<4sIII", b"BlbS", one, 1, end - 4096 - 16 * (one + 1)) for one in range(1, count + 1))
    start = b"RpmP" + struct.pack("<III", 0, 1, 1) + bytes(16) + slots
    start += b"Slot".ljust(16, b"\0") * (256 - count - 2)
    packages, notes = of_files({"/var/lib/rpm/Packages.db": (start + bytes(16) + heads).ljust(end, b"\0")}).read()
    assert packages == []
    assert len(notes) == 2
    assert notes[-1].endswith("its packages are bigger than it is: what comes after its first 2 packages was not read")


@pytest.mark.skipif(shutil.which("db_load") is None, reason="needs db_load (Debian: db-util)")
@pytest.mark.parametrize("order", ["1234", "4321"])
@pytest.mark.parametrize("page", [512, 4096])
def test_a_berkeley_database_tells_what_rpm_installed(root: Path, tmp_path: Path, order: str, page: int) -> None:
    image = of_folder(root)
    endian: Literal["big", "little"] = "big" if order == "4321" else "little"
    pairs = [(0, (9).to_bytes(4, endian))]
    pairs += enumerate(sqlite_headers(image.contents.pop("/var/lib/rpm/rpmdb.sqlite")), 1)
    lines = [f"{number.to_bytes(4, endian).hex()}\n {value.hex()}" for number, value in pairs]
    head = f"VERSION=3\nformat=bytevalue\ntype=hash\ndb_lorder={order}\ndb_pagesize={page}\nHEADER=END\n "
    text = head + "\n ".join(lines) + "\nDATA=END\n"
    subprocess.run(["db_load", tmp_path / "Packages"], input=text.encode(), check=True, capture_output=True)
    image.contents["/var/lib/rpm/Packages"] = (tmp_path / "Packages").read_bytes()
    check(image.packages())
    assert list(image.packages()) == list(of_folder(root).packages())


def test_a_write_ahead_log_is_read_with_its_database(root: Path) -> None:
    file = root.parent / "wal.sqlite"
    shutil.copy(root / "var/lib/rpm/rpmdb.sqlite", file)
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("DELETE FROM Packages WHERE hnum IN (SELECT min(hnum) FROM Packages)")
    connection.commit()
    log = Path(f"{file}-wal").read_bytes()
    assert log
    content = file.read_bytes()
    connection.close()
    assert len(list(sqlite_headers(content))) == 4
    assert len(list(sqlite_headers(content, log))) == 3


def test_a_database_in_both_places_counts_once(root: Path) -> None:
    image = of_folder(root)
    image.contents["/usr/lib/sysimage/rpm/rpmdb.sqlite"] = image.contents["/var/lib/rpm/rpmdb.sqlite"]
    check(image.packages())


def test_what_dnf_protects_is_essential(root: Path) -> None:
    image = of_folder(root)
    image.contents["/etc/dnf/protected.d/a.conf"] = b"# words\nshell, idle # tool\n"
    found = image.packages()
    assert {name for name, one in found.items() if one.essential} == {"shell", "idle"}


def test_names_versions_and_requirements_are_those_that_rpm_tells(root: Path) -> None:
    found = of_folder(root).packages()
    told = rpm(root, "sqlite", "-qa", "--qf", "%{NAME} %{EVR} %{ARCH}\n").splitlines()
    assert {f"{one.name} {one.version} {one.architecture}" for one in found.values()} == set(told)
    for name, one in found.items():
        requires = {line.split(" ")[0] for line in rpm(root, "sqlite", "-q", "--requires", name).splitlines()}
        names = {group[0] for group in one.requires}
        assert names <= {word.strip("(") for word in requires}


def test_the_source_package_is_told(root: Path) -> None:
    image = of_folder(root)
    content = image.contents["/var/lib/rpm/rpmdb.sqlite"]
    assert b"tool-1.5-7.src.rpm" in content
    image.contents["/var/lib/rpm/rpmdb.sqlite"] = content.replace(b"tool-1.5-7.src.rpm", b"kits-1.5-7.src.rpm")
    assert {name: one.source for name, one in image.packages().items()} == {
        "tool": "kits",
        "shell": "",
        "plugin": "",
        "idle": "",
    }


@pytest.mark.parametrize("backend", ["rpmdb.sqlite", "Packages.db", "Packages"])
@pytest.mark.parametrize(
    "content", [b"", b"x", b"\0" * 9000, b"SQLite format 3\0" + b"\xff" * 9000, b"RpmP" + b"\0" * 5000]
)
def test_what_is_no_database_is_a_note(backend: str, content: bytes) -> None:
    packages, notes = of_files({f"/var/lib/rpm/{backend}": content}).read()
    assert packages == []
    # An ndb database without packages is one; rpm makes it so.
    assert notes or content == b"" or (backend, content[:4]) == ("Packages.db", b"RpmP")
    assert all(note.startswith(f"/var/lib/rpm/{backend}: ") for note in notes)


def test_a_damaged_package_loses_none_of_the_others(root: Path, tmp_path: Path) -> None:
    image = of_folder(root)
    file = tmp_path / "rpmdb.sqlite"
    file.write_bytes(image.contents["/var/lib/rpm/rpmdb.sqlite"])
    with contextlib.closing(sqlite3.connect(file)) as connection:
        second = "hnum = (SELECT hnum FROM Packages ORDER BY hnum LIMIT 1 OFFSET 1)"
        connection.execute(f"UPDATE Packages SET blob = x'ffffffffffffffff' || blob WHERE {second}")
        connection.execute("UPDATE Packages SET blob = CAST(blob AS BLOB)")
        connection.commit()
    image.contents["/var/lib/rpm/rpmdb.sqlite"] = file.read_bytes()
    packages, notes = image.read()
    assert len(packages) == 3
    assert len(notes) == 1
    assert notes[0].startswith("/var/lib/rpm/rpmdb.sqlite: package 2: ")


def test_a_truncated_database_gives_what_is_before_the_cut(root: Path) -> None:
    image = of_folder(root)
    content = image.contents["/var/lib/rpm/rpmdb.sqlite"]
    for size in range(0, len(content), len(content) // 50):
        cut = Image(image.contents | {"/var/lib/rpm/rpmdb.sqlite": content[:size]}, image.entries)
        packages, notes = cut.read()
        assert notes or size == 0 or len(packages) == 4


def test_an_expression_that_never_ends_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snoop_image.packages.rpm_databases._STEPS", 2_000_000)
    file = tmp_path / "hostile"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE other (hnum INTEGER, blob BLOB)")
        connection.execute("INSERT INTO other VALUES (1, x'00')")
        endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS hnum, i AS blob FROM n"
        connection.execute(f"CREATE VIEW Packages AS {endless}")
    packages, notes = of_files({"/var/lib/rpm/rpmdb.sqlite": file.read_bytes()}).read()
    assert (packages, notes) == ([], ["/var/lib/rpm/rpmdb.sqlite: has no table Packages"])
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET type = 'view', sql = 'CREATE TABLE Packages (hnum, blob)'")
    packages, notes = of_files({"/var/lib/rpm/rpmdb.sqlite": file.read_bytes()}).read()
    assert packages == []
    assert len(notes) == 1


def test_the_names_of_boolean_dependencies_are_found() -> None:
    # Forms of docs/manual/boolean_dependencies.md.
    for text, expected in {
        "(pkgA and pkgB)": ["pkgA", "pkgB"],
        "(pkgA >= 3.2 or pkgB)": ["pkgA", "pkgB"],
        "((a if b) unless (c < 2 with d))": ["a", "b", "c", "d"],
        "(libz.so.1()(64bit) or foo(x86-64) = 1:2-3)": ["libz.so.1()(64bit)", "foo(x86-64)"],
        "(": [],
        "(>=": [],
    }.items():
        assert list(rich(text)) == expected


def test_packages_without_files_are_told_and_not_read() -> None:
    manifest = of_files({"/var/lib/rpmmanifest/container-manifest-2": "a\t1\n", "/x": Link("y")})
    assert manifest.read()[1] == [
        "/var/lib/rpmmanifest/container-manifest-2: tells packages but not their files: it was not read"
    ]
