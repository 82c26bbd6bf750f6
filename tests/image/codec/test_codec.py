"""An inventory as bytes and back."""

import dataclasses
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from snoop_image import codec
from snoop_image.model import Elf, Entry, FileType, ImageConfig, ImageError, Inventory, Layer, Package, PackageKind

# Whatever a file's name or a forged JSON document can hold: lone surrogates too.
text = st.text(st.characters(), max_size=8)
words = st.lists(text, max_size=3).map(tuple)
number = st.integers(0, 2**64)
path = st.lists(st.text(st.characters(exclude_characters="/"), min_size=1, max_size=3), max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)
entries = st.builds(
    Entry,
    path=path,
    type=st.sampled_from(FileType),
    mode=number,
    uid=number,
    gid=number,
    size=number,
    target=text,
    layer=number,
    link=number,
    attributes=words,
)
configurations = st.builds(
    ImageConfig,
    architecture=text,
    os=text,
    variant=text,
    user=text,
    entrypoint=words,
    command=words,
    environment=words,
    working_directory=text,
    volumes=words,
    ports=words,
    stop_signal=text,
    labels=st.lists(st.tuples(text, text), max_size=2).map(tuple),
    raw=st.binary(max_size=20),
)
packages = st.builds(
    Package,
    kind=st.sampled_from(PackageKind),
    name=text,
    version=text,
    architecture=text,
    source=text,
    files=st.lists(path, max_size=3).map(tuple),
    configuration=words,
    essential=st.booleans(),
    requires=st.lists(words, max_size=3).map(tuple),
    provides=words,
    database=text,
    files_known=st.booleans(),
)
programs = st.builds(
    Elf,
    bits=number,
    machine=number,
    interpreter=text,
    soname=text,
    needed=words,
    dlopen=words,
    rpath=words,
    runpath=words,
)
inventories = st.builds(
    Inventory,
    source=text,
    digest=text,
    config=configurations,
    layers=st.lists(st.builds(Layer, digest=text, blob=text, size=number, command=text), max_size=3),
    entries=st.lists(entries, max_size=12).map(lambda found: {one.path: one for one in found}),
    packages=st.lists(packages, max_size=3),
    elf=st.dictionaries(path, programs, max_size=3),
    scripts=st.dictionaries(path, text, max_size=3),
    contents=st.dictionaries(path, st.binary(max_size=20), max_size=3),
    notes=st.lists(text, max_size=3),
)


@given(inventories)
@settings(max_examples=300)
def test_comes_back_exactly_and_in_its_order(inventory: Inventory) -> None:
    again = codec.loads(codec.dumps(inventory))

    assert again == inventory
    assert list(again.entries) == list(inventory.entries)
    assert codec.dumps(again) == codec.dumps(inventory)


@pytest.mark.parametrize("kind", [Inventory, Entry, Layer, ImageConfig, Elf, Package])
def test_a_field_that_is_added_is_to_be_written_too(kind: Any) -> None:
    """Then write and read it in codec.py and above, raise VERSION, and count it here."""
    counts = {Inventory: 10, Entry: 10, Layer: 4, ImageConfig: 13, Elf: 8, Package: 12}
    assert len(dataclasses.fields(kind)) == counts[kind]


def big(count: int) -> Inventory:
    found = Inventory("image", entries={"/": Entry("/", FileType.DIRECTORY, 0o755)})
    for at in range(count):
        name = f"/usr/lib/x86_64-linux-gnu/directory-{at // 40}/file-{at * 7919 % 100_003}.so.{at % 7}"
        found.entries[name] = Entry(name, FileType.FILE, 0o644, 0, 0, at * 7919 % 1_000_003, layer=at % 9)
    names = list(found.entries)
    for at in range(0, count, 100):
        found.packages.append(Package(PackageKind.DEB, f"package-{at}", "1.0", files=tuple(names[at : at + 100])))
        found.elf[names[at]] = Elf(64, 62, soname=f"lib{at}.so", needed=("libc.so.6",))
    found.contents["/etc/ld.so.cache"] = bytes(3_000_000)
    return found


def test_200_000_files_take_less_than_10_mb() -> None:
    inventory = big(200_000)

    content = codec.dumps(inventory)

    assert len(content) < 10_000_000
    assert codec.loads(content) == inventory


def test_an_entry_under_another_path_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="stands under"):
        codec.dumps(Inventory("x", entries={"/a": Entry("/b", FileType.FILE, 0)}))


def packed(*lines: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(b"".join(line + b"\n" for line in lines))


HEAD = zstandard.ZstdDecompressor().decompressobj().decompress(codec.dumps(Inventory("x"))).splitlines()[0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "damaged"),
        (b"{}", "none"),
        (packed(), "cut off"),
        (packed(b"{}"), "is no inventory"),
        (packed(HEAD), "cut off"),
        (packed(HEAD, b'["end",1]'), "0 entries"),
        (packed(HEAD, b'["end",0]', b'["end",0]'), "goes on after its end"),
        (packed(HEAD, b'["news"]', b'["end",0]'), "KeyError"),
        (packed(HEAD, b"{}"), "no array"),
        (packed(HEAD, b'["entries",[0,"/a",0,1,1,1,1,"",0]]'), "ValueError"),
        (packed(HEAD, b'["entries",[0,"/a",99,1,1,1,1,"",0,0]]'), "IndexError"),
        (packed(HEAD, b'["entries",[0,"/a",0,-1,1,1,1,"",0,0]]'), "a number is wanted"),
        (packed(HEAD, b'["entries",[0,"/a",0,true,1,1,1,"",0,0]]'), "a number is wanted"),
        (packed(HEAD, b'["package","deb","n","v","a","s",[7],[],false,[],[],"d",true]'), "IndexError"),
        (packed(HEAD, b'["content","/a","%%%"]'), "Error"),
        (packed(HEAD, b"[" * 100_000), "RecursionError"),
        (packed(HEAD.replace(b'"version":1', b'"version":2')), "of version 2, and this snoop reads 1"),
    ],
)
def test_what_is_damaged_is_refused_in_one_line(content: bytes, words: str) -> None:
    with pytest.raises(ImageError, match=words) as caught:
        codec.loads(content)
    assert "\n" not in str(caught.value)


def test_every_cut_and_every_changed_byte_is_noticed() -> None:
    content = codec.dumps(big(30))
    for at in range(0, len(content), 7):
        for broken in (content[:at], content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :]):
            try:
                found = codec.loads(broken)
            except ImageError:
                continue
            assert found == big(30), at


def test_a_bomb_does_not_fill_the_memory() -> None:
    zeros = zstandard.ZstdCompressor().compress(b"0" * 200_000_000)
    with pytest.raises(ImageError, match="too big"):
        codec.loads(zeros)
