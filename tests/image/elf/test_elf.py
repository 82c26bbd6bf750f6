import contextlib
import io
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.image.elf.elfs import elf

from snoop_image.elf import read_elf
from snoop_image.model import Elf, ImageError

TAGS = ((1, "libz.so.1"), (1, "libc.so.6"), (14, "libme.so.2"), (15, "/a:$ORIGIN/b"), (29, "/c"))


def read(data: bytes) -> Elf | None:
    return read_elf(io.BytesIO(data))


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("order", ["<", ">"])
def test_each_class_and_byte_order_is_read(bits: int, order: str) -> None:
    data = elf(bits=bits, order=order, machine=8, interpreter="/lib/ld.so.1", tags=TAGS)
    assert read(data) == Elf(
        bits,
        8,
        "/lib/ld.so.1",
        "libme.so.2",
        ("libz.so.1", "libc.so.6"),
        rpath=("/a", "$ORIGIN/b"),
        runpath=("/c",),
    )


def test_what_the_loader_loads_besides_counts_as_needed() -> None:
    data = elf(tags=((1, "a.so"), (0x7FFFFFFF, "filtered.so"), (0x7FFFFFFD, "auxiliary.so"), (0x6FFFFEFC, "x.so:y.so")))
    found = read(data)
    assert found is not None
    assert found.needed == ("a.so", "filtered.so", "auxiliary.so", "x.so", "y.so")


def test_a_note_tells_what_may_be_loaded_later() -> None:
    note = b'[{"feature":"z","priority":"suggested","soname":["libzstd.so.1","liblz4.so.1"]},{"soname":3},7]'
    found = read(elf(tags=TAGS, dlopen=note))
    assert found is not None
    assert found.dlopen == ("libzstd.so.1", "liblz4.so.1")


@pytest.mark.parametrize("note", [b"[", b'{"soname":["x"]}', b"[" * 100_000, b'[{"soname":["a\\u0000b","\\ud800"]}]'])
def test_a_note_that_is_not_understood_says_nothing(note: bytes) -> None:
    found = read(elf(tags=TAGS, dlopen=note))
    assert found is not None
    assert found.dlopen == ()


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "an empty file"),
        (b"#!/bin/sh\n", "a script"),
        (b"\x7fELF", "a magic alone"),
        (elf(kind=1, tags=TAGS), "an object file"),
        (elf(kind=4, tags=TAGS), "a core dump"),
        (elf(kind=2), "a static program"),
    ],
)
def test_what_needs_nothing_is_none(data: bytes, what: str) -> None:
    assert read(data) is None, what


def test_a_static_program_with_an_interpreter_is_told() -> None:
    assert read(elf(kind=2, interpreter="/lib/ld.so")) == Elf(64, 62, "/lib/ld.so")


@pytest.mark.parametrize("size", [20, 70, 200, 300])
def test_a_truncated_file_is_refused_in_one_line(size: int) -> None:
    with pytest.raises(ImageError) as caught:
        read(elf(interpreter="/lib/ld.so.1", tags=TAGS)[:size])
    assert "\n" not in str(caught.value)


def test_names_that_share_their_bytes_do_not_fill_the_memory() -> None:
    data = elf(tags=((1, "x" * 4000),))
    (offset,) = [at for at in range(len(data)) if data.startswith(struct.pack("<QQ", 1, 1), at)]
    many = struct.pack("<QQ", 1, 1) * 60_000
    headers = bytearray(data + many + struct.pack("<QQQQQQ", 5, 0x400000 + 64 + 2 * 56, 10, 4002, 0, 0))
    struct.pack_into("<QQQQ", headers, 64 + 56 + 8, len(data), 0, 0, len(headers) - len(data))
    struct.pack_into("<QQ", headers, 64 + 32, len(headers), len(headers))
    assert offset
    with pytest.raises(ImageError, match="than any linker writes"):
        read(bytes(headers))


@given(data=st.data())
def test_any_damage_is_refused_or_read(data: st.DataObject) -> None:
    whole = bytearray(elf(interpreter="/lib/ld.so.1", tags=TAGS, dlopen=b'[{"soname":["a"]}]'))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(16, len(whole) - 1))
        whole[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ImageError):
        read(bytes(whole))


def test_a_real_program_is_read_as_readelf_reads_it() -> None:
    readelf = shutil.which("readelf")
    if readelf is None:
        pytest.skip("no readelf")
    for path in map(Path, ("/bin/bash", "/usr/bin/python3", readelf)):
        if not path.exists():
            continue
        told = subprocess.run([readelf, "-dlW", path], capture_output=True, text=True, check=True).stdout
        with path.open("rb") as file:
            found = read_elf(file)
        assert found is not None
        assert list(found.needed) == re.findall(r"\(NEEDED\).*\[(.*)\]", told)
        assert [found.interpreter] == re.findall(r"interpreter: (.*)\]", told)
