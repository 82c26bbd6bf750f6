"""Where ld.so and musl find libraries; the last test asks the real ld.so."""

import os
import re
import shutil
import stat
import struct
import subprocess
from pathlib import Path

import pytest
from tests.image.closure.images import LOADER, MUSL, image, inventory, library, program

from snoop_image.closure import closure
from snoop_image.elf import read_elf
from snoop_image.ldcache import read_cache
from snoop_image.model import Elf, Entry, FileType, ImageConfig, ImageError

LIB = "/usr/lib/x86_64-linux-gnu"


def cache(*pairs: tuple[str, str], order: str = "<", flags: int = 2) -> bytes:
    strings, entries = b"", b""
    start = 48 + 24 * len(pairs)
    for name, path in pairs:
        entries += struct.pack(order + "iIIIQ", 0x303, start + len(strings), start + len(strings) + len(name) + 1, 0, 0)
        strings += name.encode() + b"\0" + path.encode() + b"\0"
    head = b"glibc-ld.so.cache1.1" + struct.pack(order + "II", len(pairs), len(strings)) + bytes([flags]) + b"\0" * 19
    return head + entries + strings


def test_a_cache_is_read_in_either_byte_order() -> None:
    pairs = (("libz.so.1", "/opt/z/libz.so.1"), ("libz.so.1", "/usr/lib/libz.so.1"))
    for order, flags in (("<", 2), (">", 3), ("<", 0), (">", 0)):
        assert read_cache(cache(*pairs, order=order, flags=flags)) == {
            "libz.so.1": ("/opt/z/libz.so.1", "/usr/lib/libz.so.1")
        }


def test_a_cache_embedded_in_the_old_format_is_read() -> None:
    old = b"ld.so-1.7.0\0" + struct.pack("<I", 1) + struct.pack("<iII", 3, 0, 0)
    data = old + b"\0" * (-len(old) % 8) + cache(("a.so", "/a.so"))
    assert read_cache(data) == {"a.so": ("/a.so",)}


@pytest.mark.parametrize("data", [b"", b"x" * 100, cache(("a", "/a"))[:30], cache(("a", "/a"))[:60]])
def test_a_broken_cache_is_refused(data: bytes) -> None:
    with pytest.raises(ImageError):
        read_cache(data)


def test_names_of_a_cache_that_share_their_bytes_do_not_fill_the_memory() -> None:
    start = 48 + 24 * 20_000
    entries = struct.pack("<iIIIQ", 3, start, start, 0, 0) * 20_000
    head = b"glibc-ld.so.cache1.1" + struct.pack("<II", 20_000, 4000) + bytes([2]) + b"\0" * 19
    with pytest.raises(ImageError, match="more than it can hold"):
        read_cache(head + entries + b"/" * 4000 + b"\0")


def test_libraries_interpreters_and_the_links_to_them_are_needed() -> None:
    found = closure(
        image(
            links={"/lib64": "usr/lib64", "/usr/lib64/libz.so.1": "libz.so.1.2"},
            elf={
                "/usr/bin/x": program("libz.so.1"),
                "/usr/lib64/ld-linux-x86-64.so.2": library(),
                "/usr/lib64/libz.so.1.2": library("libm.so.6", soname="libz.so.1"),
                "/usr/lib64/libm.so.6": library(),
            },
        ),
        ["/usr/bin/x"],
    )
    assert {"/lib64", "/usr/lib64/ld-linux-x86-64.so.2", "/usr/lib64/libz.so.1", "/usr/lib64/libz.so.1.2"} <= set(found)
    assert "/usr/lib64/libm.so.6" in found


def test_rpath_comes_before_the_cache_and_is_inherited_but_runpath_is_not() -> None:
    for path, inherited in (({"rpath": ("$ORIGIN/../own",)}, True), ({"runpath": ("/opt/own",)}, False)):
        found = closure(
            image(
                elf={
                    "/opt/bin/x": program("a.so", **path),
                    "/opt/own/a.so": library("b.so"),
                    "/opt/own/b.so": library(),
                    f"{LIB}/a.so": library(),
                    f"{LIB}/b.so": library(),
                }
            ),
            ["/opt/bin/x"],
        )
        assert "/opt/own/a.so" in found
        assert f"{LIB}/a.so" not in found
        assert ("/opt/own/b.so" in found) is inherited
        assert (f"{LIB}/b.so" in found) is not inherited


def test_the_images_library_path_counts_and_its_cache() -> None:
    contents = {"/etc/ld.so.cache": cache(("b.so", "/srv/b.so"))}
    elf = {"/x": program("a.so", "b.so"), "/opt/l/a.so": library(), "/srv/b.so": library()}
    config = ImageConfig(environment=("LD_LIBRARY_PATH=/opt/l",))
    found = closure(image(elf=elf, contents=contents, config=config), ["/x"])
    assert {"/opt/l/a.so", "/srv/b.so"} <= set(found)
    assert [reason.code for reason in found["/opt/l/a.so"]] == ["library"]


def test_preloaded_libraries_are_needed_by_every_program() -> None:
    elf = {"/x": program(), "/opt/a.so": library(), f"{LIB}/b.so": library()}
    contents = {"/etc/ld.so.preload": b"/opt/a.so\n"}
    found = closure(image(elf=elf, contents=contents, config=ImageConfig(environment=("LD_PRELOAD=b.so",))), ["/x"])
    assert {"/opt/a.so", f"{LIB}/b.so"} <= set(found)


def test_libraries_of_another_machine_are_passed_over() -> None:
    elf = {
        "/x": program("a.so", rpath=("/one", "/two")),
        "/one/a.so": library(machine=3, bits=32),
        "/two/a.so": library(),
    }
    found = closure(image(elf=elf), ["/x"])
    assert "/two/a.so" in found
    assert "/one/a.so" not in found


def test_variants_for_other_processors_are_needed_too() -> None:
    elf = {
        "/x": program("a.so"),
        f"{LIB}/a.so": library(),
        f"{LIB}/glibc-hwcaps/x86-64-v3/a.so": library(),
        f"{LIB}/tls/haswell/a.so": library(),
    }
    found = closure(image(elf=elf), ["/x"])
    assert {*elf} - {"/x"} <= set(found)


def test_what_no_rule_finds_is_looked_for_by_name_and_told_so() -> None:
    elf = {"/x": program("libjvm.so"), "/opt/java/lib/server/libjvm.so": library()}
    found = closure(image(elf=elf), ["/x"])
    assert [reason.code for reason in found["/opt/java/lib/server/libjvm.so"]] == ["library_by_name"]


def test_musl_searches_its_own_path_and_is_its_own_libc() -> None:
    elf = {
        "/bin/x": program("libz.so.1", "libc.so", "libc.musl-x86_64.so.1", interpreter=MUSL),
        MUSL: library(),
        "/opt/z/libz.so.1": library("liby.so", runpath=("/opt/y",)),
        "/opt/y/liby.so": library("libx.so"),
        "/opt/y/libx.so": library(),
        f"{LIB}/libz.so.1": library(),
        f"{LIB}/libc.so": library(),
    }
    found = closure(image(elf=elf, contents={"/etc/ld-musl-x86_64.path": b"/lib\n/opt/z\n"}), ["/bin/x"])
    # Unlike glibc, musl lets a library's libraries inherit its RUNPATH.
    assert {MUSL, "/opt/z/libz.so.1", "/opt/y/liby.so", "/opt/y/libx.so"} <= set(found)
    assert [reason.code for reason in found["/opt/y/libx.so"]] == ["library"]
    assert f"{LIB}/libc.so" not in found
    assert f"{LIB}/libz.so.1" not in found


def test_libraries_that_need_each_other_come_to_an_end() -> None:
    elf = {
        "/x": program("a.so", rpath=("$ORIGIN/$ORIGIN", "/l")),
        "/l/a.so": library("b.so", soname="a.so", rpath=("/l/$PLATFORM/$LIB",)),
        "/l/b.so": library("a.so", soname="liba.so", rpath=("$ORIGIN/..",)),
    }
    found = closure(image(elf=elf, links={"/l/liba.so": "b.so"}), ["/x"])
    assert {"/l/a.so", "/l/b.so", "/l/liba.so"} <= set(found)


def host(*folders: Path) -> tuple[list[Entry], dict[str, Elf]]:
    """Entries of the machine itself, below some folders and of a few places that ld.so looks at."""
    entries: list[Entry] = []
    elf: dict[str, Elf] = {}
    for folder in folders:
        for at in (folder, *sorted(folder.rglob("*"))):
            status = at.lstat()
            if stat.S_ISLNK(status.st_mode):
                entries.append(Entry(str(at), FileType.SYMLINK, 0o777, target=str(at.readlink())))
            elif stat.S_ISDIR(status.st_mode):
                entries.append(Entry(str(at), FileType.DIRECTORY, 0o755))
            elif stat.S_ISREG(status.st_mode):
                entries.append(Entry(str(at), FileType.FILE, 0o755, size=status.st_size))
                with at.open("rb") as file:
                    if (found := read_elf(file)) is not None:
                        elf[str(at)] = found
    return entries, elf


@pytest.mark.skipif(not shutil.which("gcc") or not Path(LOADER).exists(), reason="needs gcc and an x86-64 glibc")
def test_the_real_loader_finds_the_same(tmp_path: Path) -> None:
    def build(name: str, *options: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        source = "int main(void){return 0;}" if name.startswith("bin/") else f"int {re.sub('[^a-z]', '_', name)};"
        arguments = ["gcc", "-xc", "-", "-xnone", "-o", str(tmp_path / name), "-Wl,--no-as-needed", *options]
        subprocess.run(arguments, input=source, text=True, check=True, cwd=tmp_path)

    for name, options in (
        ("deep/libd.so", ("-Wl,-soname,libd.so",)),
        ("one/libc1.so", ("-Wl,-soname,libc1.so", "-Ldeep", "-l:libd.so")),
        (
            "two/libb.so",
            ("-Wl,-soname,libb.so", "-Lone", "-l:libc1.so", "-Wl,-rpath,$ORIGIN/../one", "-Wl,--disable-new-dtags"),
        ),
        ("two/liba.so.1.5", ("-Wl,-soname,liba.so.1", "-Wl,--enable-new-dtags", "-Wl,-rpath,$ORIGIN")),
    ):
        build(name, "-shared", *options, "-Wl,--allow-shlib-undefined")
    (tmp_path / "two/liba.so.1").symlink_to("liba.so.1.5")
    build("bin/x", "-Ltwo", "-l:libb.so", "-l:liba.so.1.5", "-lm", "-Wl,-rpath,$ORIGIN/../two:$ORIGIN/../deep",
          "-Wl,--disable-new-dtags", "-Wl,-rpath-link,one:deep")  # fmt: skip
    told = subprocess.run([LOADER, "--list", tmp_path / "bin/x"], capture_output=True, text=True, check=True).stdout
    real = {os.path.realpath(path) for path in re.findall(r"=> (/\S+) \(", told)}
    folders = {Path(os.path.realpath(path)).parent for path in real}
    entries, elf = host(tmp_path, *sorted(folders - {one for one in folders if tmp_path in one.parents}))
    lib = Path("/lib")
    entries += [Entry("/lib", FileType.SYMLINK, 0o777, target=str(lib.readlink()))] if lib.is_symlink() else []
    found = closure(
        inventory(entries, elf, contents={"/etc/ld.so.cache": Path("/etc/ld.so.cache").read_bytes()}),
        [str(tmp_path / "bin/x")],
    )
    assert len(real) >= 5
    assert real <= set(found)
    ours = {path for path in found if path.startswith(str(tmp_path)) and path in elf}
    assert ours == {path for path in real if path.startswith(str(tmp_path))}
    assert not any(reason.code == "library_by_name" for path in real for reason in found[path])
