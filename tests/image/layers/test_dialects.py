"""Archives as tar programs write them, and as nobody should."""

import io
import os
import subprocess
import tarfile
import zlib
from pathlib import Path
from typing import Any

import pytest

from snoop_image.limits import GIB, MIB, Limits
from snoop_image.model import ImageError
from snoop_image.streams import Forward

SPARSE = {
    "gnu": ["--format=gnu"],
    "pax-0.0": ["--format=pax", "--sparse-version=0.0"],
    "pax-0.1": ["--format=pax", "--sparse-version=0.1"],
    "pax-1.0": ["--format=pax", "--sparse-version=1.0"],
}


def gnu_tar(folder: Path, *options: str) -> bytes:
    command = ["tar", "--create", "--numeric-owner", "--directory", str(folder), *options, "."]
    return subprocess.run(command, capture_output=True, check=True).stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "tree"
    made.mkdir()
    return made


@pytest.mark.parametrize("form", SPARSE)
def test_sparse_files_have_their_size_and_their_content(form: str, folder: Path, read: Any) -> None:
    with (folder / "holes").open("wb") as file:
        # Many pieces, so that the map needs headers of its own.
        for at in range(100):
            file.seek(at * 300_000)
            file.write(b"#!" if at == 0 else b"data")
        file.truncate(40 * MIB)
    with (folder / "lib.so").open("wb") as file:
        file.write(b"\x7fELF\x02")
        file.seek(3 * MIB)
        file.write(b"name")
    (folder / "next").write_bytes(b"after it")
    archive = gnu_tar(folder, "--sparse", *SPARSE[form])
    assert len(archive) < 2 * MIB, "tar found no holes here"

    found = read(archive, wanted=["/holes"])

    assert found.entries["/holes"].size == 40 * MIB
    assert found.contents["/holes"] == (folder / "holes").read_bytes()
    assert found.elf["/lib.so"].soname == "name"
    assert found.entries["/next"].size == 8


def test_a_sparse_file_whose_stored_size_is_a_pax_record_does_not_mislead(make: Any, read: Any) -> None:
    # So GNU tar writes one with more than 8 GiB of data: `size` is what is stored, `realsize` what it stands for.
    stored = b"1\n0\n4\n".ljust(512, b"\0") + b"data".ljust(512, b"\0")
    pax = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "holes",
        "size": "1024",
        "GNU.sparse.realsize": str(9 * GIB),
    }

    found = read(make.tar(make.file("GNUSparseFile.0/holes", stored, pax_headers=pax), make.file("next", b"1")))

    assert found.entries["/holes"].size == 9 * GIB
    assert found.entries["/next"].size == 1


@pytest.mark.parametrize("form", ["gnu", "pax"])
def test_long_and_strange_names(form: str, folder: Path, read: Any) -> None:
    deep = folder / ("d" * 200) / ("e" * 200)
    deep.mkdir(parents=True)
    names = [b"new\nline", b"not \xff utf-8", "ümläut".encode(), b"back\\slash", b" blank ", b"n" * 255]
    for name in names:
        Path(os.fsdecode(os.fsencode(deep) + b"/" + name)).write_bytes(b"x")
    (folder / "link").symlink_to("t" * 1000)

    found = read(gnu_tar(folder, f"--format={form}"))

    prefix = f"/{'d' * 200}/{'e' * 200}/"
    there = {path.removeprefix(prefix) for path in found.entries if path.startswith(prefix)}
    assert there == {name.decode("utf-8", "surrogateescape") for name in names}
    assert found.entries["/link"].target == "t" * 1000


def test_modes_owners_and_hard_links_as_tar_saw_them(folder: Path, read: Any) -> None:
    (folder / "su").write_bytes(b"x")
    (folder / "su").chmod(0o4755)
    (folder / "again").hardlink_to(folder / "su")
    (folder / "tmp").mkdir()
    (folder / "tmp").chmod(0o1777)

    found = read(gnu_tar(folder, "--owner=5000000", "--group=7"))

    assert (found.entries["/su"].mode, found.entries["/su"].uid, found.entries["/su"].gid) == (0o4755, 5_000_000, 7)
    assert found.entries["/su"].link == found.entries["/again"].link == 1
    assert found.entries["/tmp"].mode == 0o1777


def test_a_file_of_more_than_8_gib_has_a_size_in_base_256(make: Any, read: Any) -> None:
    class Zeros:
        """What a reader sees of a huge file, without its memory."""

        def __init__(self, head: bytes, size: int) -> None:
            self.parts = [head, size + -size % 512, bytes(1024)]

        def read(self, size: int, /) -> bytes:
            while self.parts and not self.parts[0]:
                self.parts.pop(0)
            if not self.parts:
                return b""
            part = self.parts[0]
            if isinstance(part, int):
                taken = min(size, part, MIB)
                self.parts[0] = part - taken
                return bytes(taken)
            self.parts[0] = part[size:]
            return part[:size]

    member, _ = make.file("huge")
    member.size = 9 * GIB
    header = member.tobuf(tarfile.GNU_FORMAT)
    assert header[124] == 0x80

    from snoop_image.tar import Members

    (only,) = Members(Zeros(header, 9 * GIB), Limits(), "tar")

    assert only.size == 9 * GIB


def test_a_global_header_changes_no_member(make: Any, read: Any) -> None:
    tar = make.tar(make.file("a", b"1"), pax_headers={"comment": "from git", "path": "evil", "size": "0"})

    assert sorted(read(tar).entries) == ["/", "/a"]


@pytest.mark.parametrize("tail", [0, 512, 1024, 10240])
def test_an_archive_may_end_without_its_two_zero_blocks(make: Any, read: Any, tail: int) -> None:
    whole = make.tar(make.file("a", b"1"))

    assert "/a" in read(whole[:1024] + bytes(tail)).entries


def test_a_layer_may_be_empty(make: Any, read: Any) -> None:
    assert list(read(b"", bytes(1024)).entries) == ["/"]


class TestIsRefusedInOneLine:
    @pytest.mark.parametrize("name", ["../x", "a/../../x", "/../x", "a/..", ".."])
    def test_a_name_that_climbs(self, make: Any, read: Any, name: str) -> None:
        refuses(read, make.tar(make.file(name)), "climbs")

    def test_a_hard_link_that_climbs(self, make: Any, read: Any) -> None:
        refuses(read, make.tar(make.hardlink("x", "../../etc/shadow")), "climbs")

    def test_a_name_with_a_nul(self, make: Any, read: Any) -> None:
        refuses(read, make.tar(make.file("x", pax_headers={"path": "a\0b"})), "NUL")

    def test_a_name_longer_than_the_kernel_takes(self, make: Any, read: Any) -> None:
        refuses(read, make.tar(make.file("x/" * 2100 + "y")), "longer than the kernel takes")

    def test_a_type_that_no_runtime_knows(self, make: Any, read: Any) -> None:
        refuses(read, make.tar((_typed(make, b"Z"), b"")), "unknown type")

    def test_a_symlink_without_a_target(self, make: Any, read: Any) -> None:
        refuses(read, make.tar(make.symlink("x", "")), "has no target")

    @pytest.mark.parametrize("cut", [1, 100, 512 + 5, 700, 1024 + 3])
    def test_a_cut_archive(self, make: Any, read: Any, cut: int) -> None:
        refuses(read, make.tar(make.file("a", b"x" * 400), make.file("b", b"y"))[:cut], "tar archive")

    def test_a_damaged_header_in_the_middle(self, make: Any, read: Any) -> None:
        # Where tarfile by itself would take it for the end.
        tar = bytearray(make.tar(make.file("a", b"1"), make.file("b", b"2")))
        tar[1024 + 20] ^= 1

        refuses(read, bytes(tar), "damaged")

    def test_what_is_no_archive(self, read: Any) -> None:
        refuses(read, b"<!DOCTYPE html>" * 100, "not a tar archive")

    @pytest.mark.parametrize(
        "kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK]
    )
    def test_a_header_that_wants_the_memory_of_the_machine(self, make: Any, read: Any, kind: bytes) -> None:
        member = _typed(make, kind)
        member.size = 8 * GIB - 1
        refuses(read, member.tobuf(tarfile.USTAR_FORMAT) + b"x" * 5000, "too big")

    @pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.REGTYPE, tarfile.GNUTYPE_SPARSE, b"Z"])
    def test_a_negative_size(self, make: Any, read: Any, kind: bytes) -> None:
        member = _typed(make, kind)
        member.size = -4096
        refuses(read, member.tobuf(tarfile.GNU_FORMAT) * 3, "negative size")

    def test_a_negative_size_in_a_pax_record(self, make: Any, read: Any) -> None:
        refuses(read, make.tar(make.file("a", pax_headers={"size": "-1024"}), make.file("b")), "tar archive")

    def test_a_map_of_holes_without_end(self, make: Any, read: Any) -> None:
        pax = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "10"}
        many = b"99999999\n" + b"0\n" * (4 * MIB)
        refuses(read, make.tar(make.file("a", many, pax_headers=pax)), "too big")

    def test_headers_behind_headers_without_end(self, make: Any, read: Any) -> None:
        header = _typed(make, tarfile.XHDTYPE).tobuf(tarfile.USTAR_FORMAT)
        refuses(read, header * 5000, "damaged|too big")

    def test_a_size_that_no_file_can_have(self, make: Any, read: Any) -> None:
        pax = {"GNU.sparse.map": "0,0", "GNU.sparse.realsize": str(1 << 63), "GNU.sparse.size": str(1 << 63)}
        refuses(read, make.tar(make.file("a", pax_headers=pax)), "forged")

    def test_more_names_than_the_limit_implied_ones_included(self, make: Any, read: Any) -> None:
        limits = Limits(entries=10)
        refuses(read, make.tar(make.file("a/b/c/d/e/f/g/h/i/j/k")), "more than 10 names", limits)

    def test_names_that_fill_the_memory(self, make: Any, read: Any) -> None:
        refuses(
            read,
            make.tar(*[make.file("n" * 90 + str(one)) for one in range(12)]),
            "longer than 1000",
            Limits(names=1000),
        )

    def test_a_layer_that_renews_its_directories_for_ever(self, make: Any, read: Any) -> None:
        members = [make.folder("d"), make.file("d/x"), make.file("d")] * 1001
        refuses(read, make.tar(*members), "replaces more than")


def _typed(make: Any, kind: bytes) -> tarfile.TarInfo:
    member: tarfile.TarInfo = make.file("x")[0]
    member.type = kind
    return member


def refuses(read: Any, layer: bytes, words: str, limits: Limits | None = None) -> None:
    with pytest.raises(ImageError, match=words) as caught:
        read(layer, limits=limits)
    assert str(caught.value).startswith("image: layer 1 of 1: ")
    assert "\n" not in str(caught.value)


def test_a_stream_goes_forward_only() -> None:
    stream = Forward(io.BytesIO(bytes(100)), "tar")
    stream.seek(50)
    with pytest.raises(ImageError, match="sizes in the tar archive are wrong"):
        stream.seek(49)


class TestOfAFile:
    def test_too_big_to_be_kept_there_is_a_note(self, make: Any, read: Any) -> None:
        layer = make.tar(make.file("db", b"x" * 100))

        found = read(layer, wanted=["/db"], limits=Limits(content=99))

        assert (found.contents, len(found.notes)) == ({}, 1)
        assert found.notes[0].startswith("/db: 100 bytes are more")

    def test_that_is_one_too_many_there_is_a_note(self, make: Any, read: Any) -> None:
        layer = make.tar(make.file("a", b"x" * 100), make.file("b", b"x" * 100))

        found = read(layer, wanted=["/a", "/b"], limits=Limits(contents=150))

        assert list(found.contents) == ["/a"]
        assert found.notes[0].startswith("/b: was not read")

    def test_a_big_elf_file_is_read_from_disk(self, make: Any, read: Any) -> None:
        layer = make.tar(make.file("lib.so", b"\x7fELF\x02" + bytes(5000) + b"name"))

        assert read(layer, limits=Limits(memory=100)).elf["/lib.so"].soname == "name"
        found = read(layer, limits=Limits(memory=100, temporary=1000))
        assert (found.elf, found.notes[0][:9]) == ({}, "/lib.so: ")

    def test_the_first_line_of_a_script_is_read_only_if_it_is_executable(self, make: Any, read: Any) -> None:
        lines = {
            "a": (b"#! /bin/sh -e \n", 0o755, "/bin/sh -e"),
            "b": (b"#!/bin/sh", 0o644, None),
            "c": (b"#!/usr/bin/env python3\r\nx", 0o711, "/usr/bin/env python3"),
            "d": (b"#!" + b"x" * 1000, 0o755, "x" * 254),
            "e": (b"#!", 0o755, ""),
            "f": (b"#", 0o755, None),
        }
        found = read(make.tar(*[make.file(name, text, mode) for name, (text, mode, _) in lines.items()]))

        assert found.scripts == {f"/{name}": line for name, (_, _, line) in lines.items() if line is not None}


def test_a_bomb_is_ended_by_its_ratio_and_by_its_size(make: Any, known_parsers: Any) -> None:
    import contextlib
    import io

    from snoop_image.assemble import Image, assemble
    from snoop_image.model import ImageConfig, Layer

    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = packer.compress(make.tar(make.file("zeros", bytes(64 * MIB)))) + packer.flush()
    assert len(packed) < MIB // 4
    image = Image("image", "", ImageConfig(), [Layer()], lambda _: contextlib.nullcontext(io.BytesIO(packed)))

    with pytest.raises(ImageError, match="more than 400 times its size"):
        assemble(image, known_parsers(), Limits(ratio_from=8 * MIB))
    with pytest.raises(ImageError, match="unpacks to more than 1048576 bytes"):
        assemble(image, known_parsers(), Limits(unpacked=MIB))
    assert assemble(image, known_parsers(), Limits()).entries["/zeros"].size == 64 * MIB
