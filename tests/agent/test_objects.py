"""What was compiled is kept, found again, and trusted only if nobody else can have written it."""

import os
import zlib
from pathlib import Path

import pytest
import snoop_bpf

from snoop_agent import objects

COMPILED = objects.Compiled(
    {"snoop_one": bytes(range(16)), "snoop_two": b"\n" * 8},
    {"seen": objects.Shape(0x5A800000, 2, 4, 64, 0x5A000100, 0)},
)
NAME = "x86_64-raw_tp-0123456789abcdef"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(snoop_bpf, "__path__", [str(tmp_path / "image")])
    return tmp_path / "snoop/programs"


def test_what_is_kept_is_found(cache: Path) -> None:
    assert objects.read(NAME) is None

    objects.keep(NAME, COMPILED)

    assert objects.read(NAME) == COMPILED
    assert cache.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in cache.iterdir()] == [NAME]


def test_what_an_image_brings_along_comes_first(cache: Path, tmp_path: Path) -> None:
    objects.keep(NAME, objects.Compiled({}, {}))
    objects.keep(NAME, COMPILED, tmp_path / "image/compiled")

    assert objects.read(NAME) == COMPILED


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_file_that_others_can_write_to_is_left_alone(cache: Path, mode: int) -> None:
    objects.keep(NAME, COMPILED)
    (cache / NAME).chmod(mode)

    assert objects.read(NAME) is None


def test_a_directory_that_others_can_write_to_is_left_alone(cache: Path) -> None:
    objects.keep(NAME, COMPILED)
    cache.chmod(0o777)

    assert objects.read(NAME) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("what", ["file", "directory"])
def test_what_is_anothers_is_left_alone(cache: Path, what: str) -> None:
    objects.keep(NAME, COMPILED)
    os.chown(cache / NAME if what == "file" else cache, 12345, 0)

    assert objects.read(NAME) is None


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:-9], lambda data: b"what" + data])
def test_a_damaged_file_counts_as_none(cache: Path, damage: object) -> None:
    objects.keep(NAME, COMPILED)
    assert callable(damage)
    (cache / NAME).write_bytes(damage((cache / NAME).read_bytes()))

    assert objects.read(NAME) is None


@pytest.mark.parametrize(
    "text",
    [
        b"{}\n",
        b"[]\n",
        b'{"programs": {"one": 8}, "maps": {}}\n1234',
        b'{"programs": {}, "maps": {"a": {"b": 1}}}\n',
    ],
)
def test_a_file_of_another_layout_counts_as_none(cache: Path, text: bytes) -> None:
    objects.keep(NAME, COMPILED)
    (cache / NAME).write_bytes(zlib.compress(text))

    assert objects.read(NAME) is None


def test_nowhere_to_keep_it_is_an_error_that_leaves_nothing(cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("no directory")

    with pytest.raises(OSError, match="exists"):
        objects.keep(NAME, COMPILED)


def test_who_has_no_home_compiles_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)

    assert objects.read(NAME) is None
    with pytest.raises(OSError, match="no home directory"):
        objects.keep(NAME, COMPILED)
