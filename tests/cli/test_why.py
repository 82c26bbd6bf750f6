"""`snoop why` gives every piece of evidence for one file's verdict."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import used
from tests.cli.images import make_root, ran


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = make_root(tmp_path / "root")
    (folder / "lib").symlink_to("usr/lib")
    return folder


@pytest.fixture
def web(written: Callable[..., Path]) -> Path:
    other = ran(used("/lib/libapp.so", target="/usr/lib/libapp.so"), pod_name="web-1", pod_uid="uid-1")
    return written(ran(), other)


def test_a_used_file_has_who_used_it_and_where(snoop, web, root) -> None:
    done = snoop("why", "/usr/lib/libapp.so", web, "--rootfs", root)
    assert (done.returncode, done.stderr) == (0, "")
    assert "libapp\n" in done.stdout
    assert "shop/web-0 app and 1 more" in done.stdout
    assert "/lib/libapp.so -> /usr/lib/libapp.so" in done.stdout


def test_any_name_of_a_file_will_do(snoop, web, root) -> None:
    told = json.loads(snoop("why", "/lib/../lib/libapp.so", web, "--rootfs", root, "-o", "json").stdout)
    assert (told["path"], told["verdict"], told["packages"]) == ("/usr/lib/libapp.so", "used", ["libapp"])
    assert {where for one in told["observations"] for where in one["in"]} == {"shop/web-0 app", "shop/web-1 app"}


def test_an_unused_file_has_where_was_looked(snoop, web, root) -> None:
    told = json.loads(snoop("why", "/usr/bin/spare", web, "--rootfs", root, "-o", "json").stdout)
    assert (told["verdict"], told["observations"]) == ("unused", [])
    assert told["reasons"][0]["words"].startswith("not seen in use in 2 pods")


def test_a_protected_file_has_its_rule(snoop, web, root) -> None:
    told = json.loads(snoop("why", "/etc/passwd", web, "--rootfs", root, "-o", "json").stdout)
    assert (told["verdict"], told["reasons"][0]["code"]) == ("protected", "accounts")


@pytest.mark.parametrize(("path", "words"), [("/nix", "no such file"), ("usr/bin/app", "does not begin with /")])
def test_a_name_that_is_none_gets_one_line(snoop, web, root, path, words) -> None:
    done = snoop("why", path, web, "--rootfs", root)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert words in done.stderr
