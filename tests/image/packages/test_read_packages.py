import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.image.packages.images import DATABASES, Image, Link, check_sane, of_files
from tests.image.packages.test_apk import INSTALLED

from snoop_image.packages import read_packages, wanted
from snoop_image.packages.compiled import source


@pytest.mark.parametrize(
    "path",
    [
        *DATABASES,
        "/etc/os-release",
        "/etc/dnf/protected.d/dnf.conf",
        "/opt/venv/lib/python3.12/site-packages/a-1.dist-info/RECORD",
        "/app/node_modules/@a/b/package.json",
        "/app/package.json",
    ],
)
def test_databases_are_wanted(path: str) -> None:
    assert wanted(path)


@pytest.mark.parametrize(
    "path",
    [
        "/var/lib/dpkg/info/a.postinst",
        "/srv/var/lib/dpkg/status",
        "/app/node_modules/a/lib/package.json",
        "/app/node_modules/.bin/package.json",
        "/usr/lib/x.so",
        "/var/lib/rpm/Index.db",
        "/s/a.egg-info/SOURCES.txt",
    ],
)
def test_other_files_are_not_wanted(path: str) -> None:
    assert not wanted(path)


def test_an_image_without_packages_has_none() -> None:
    assert read_packages({}, of_files({"/app": ""}).entries) == ([], [])


def test_databases_that_are_not_read_are_told() -> None:
    _, notes = of_files({"/var/lib/pacman/local/": ""}).read()
    assert notes == ["/var/lib/pacman/local: snoop does not read pacman's packages: its files are told one by one"]


def test_one_broken_database_loses_none_of_the_others() -> None:
    image = of_files(
        {
            "/var/lib/dpkg/status": b"\0\xff\n\n: x\nPackage\n",
            "/lib/apk/db/installed": INSTALLED,
            "/var/lib/rpm/rpmdb.sqlite": b"SQLite format 3\0" * 9,
            "/a/node_modules/b/package.json": "{",
            "/s/c.dist-info/METADATA": "Name: c\nVersion: 1\n",
            "/s/c.py": "",
        }
    )
    packages, notes = image.read()
    assert {one.name for one in packages} >= {"musl", "b", "c"}
    assert len(notes) == 2


@pytest.mark.parametrize("database", DATABASES)
@pytest.mark.parametrize(
    "content",
    [
        b"\0" * 1_000_000,
        b"\n" * 1_000_000,
        b"Package: a\nName: a\nP:a\n\n" * 40_000,
        b"R:x\n" * 500_000,
        b"x" * 3_000_000,
    ],
    ids=["NULs", "empty lines", "packages", "files", "one line"],
)
def test_a_hostile_database_takes_bounded_time(database: str, content: bytes) -> None:
    began = time.monotonic()
    check_sane(of_files({database: content, "/x": ""}))
    assert time.monotonic() - began < 30


def test_relations_without_end_are_cut_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snoop_image.packages.intake._NAMES", 1000)
    many = ", ".join(f"a{number}" for number in range(2000))
    packages, notes = of_files({"/var/lib/dpkg/status.d/x": f"Package: x\nVersion: 1\nDepends: {many}\n"}).read()
    assert len(packages[0].requires) == 1000
    assert notes[0].startswith("/var/lib/dpkg/status.d/x: x: names more packages than snoop keeps")


def test_packages_without_end_are_cut_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snoop_image.packages.intake._PACKAGES", 10)
    text = "".join(f"Package: p{number}\nVersion: 1\n\n" for number in range(500))
    packages, notes = of_files({"/var/lib/dpkg/status.d/x": text}).read()
    assert len(packages) == 10
    assert notes[-1] == "packages: 390 more like these"


@settings(max_examples=300)
@given(st.sampled_from(DATABASES), st.binary(max_size=300))
def test_no_content_is_too_much(database: str, content: bytes) -> None:
    check_sane(of_files({database: content, "/x": "", "/lib": Link("usr/lib")}))


@settings(max_examples=300)
@given(
    st.lists(
        st.text(alphabet=st.sampled_from("PVFRADp:\n /.ab|,(=)<\x00\xe9\x1b"), max_size=30).map(str.encode), max_size=12
    ),
    st.sampled_from(DATABASES),
)
def test_no_lines_are_too_much(lines: list[bytes], database: str) -> None:
    check_sane(of_files({database: b"Package: a\nName: a\nP:a\n" + b"\n".join(lines), "/a/b": "", "/b": Link("a")}))


def test_a_compiled_file_s_source_is_known() -> None:
    assert source("/a/__pycache__/b.cpython-311.pyc") == "/a/b.py"
    assert source("/a/__pycache__/b.c.cpython-311.opt-1.pyc") == "/a/b.c.py"
    assert source("/a/b.pyc") == "/a/b.py"
    assert source("/a/b.py") == ""


def test_a_compiled_file_that_a_package_lists_is_only_that_one_s() -> None:
    # Alpine has packages of compiled files alone.
    text = "P:py3-a\nV:1\nF:s\nR:a.py\n\nP:py3-a-pyc\nV:1\nF:s/__pycache__\nR:a.cpython-312.pyc\n"
    compiled = {f"/s/__pycache__/{name}.cpython-312.pyc": "" for name in ("a", "b")}
    image = of_files({"/lib/apk/db/installed": text, "/s/a.py": "", "/s/a.pyc": "", **compiled})
    found = image.packages()
    assert found["py3-a"].files == ("/s/a.py", "/s/a.pyc")
    assert found["py3-a-pyc"].files == ("/s/__pycache__/a.cpython-312.pyc",)


def test_paths_that_are_not_text_stay_as_they_are() -> None:
    path = b"/a/\xff\n".decode("utf-8", "surrogateescape")
    image = of_files({"/lib/apk/db/installed": b"P:a\nV:1\nF:a\nR:\xff\n", "/a/\udcff": "", path: ""})
    assert image.packages()["a"].files == ("/a/\udcff",)


def test_a_loop_of_links_ends() -> None:
    image = of_files(
        {
            "/var/lib/dpkg/status": "Package: a\nVersion: 1\n",
            "/var/lib/dpkg/info/a.list": "/l/x\n/l\n/m/../m/x\n/../../x\n//x\n/x/\n/x/.\n",
            "/l": Link("m"),
            "/m": Link("l"),
            "/x": "",
        }
    )
    assert Image(image.contents, image.entries).packages()["a"].files == ("/l", "/x")
