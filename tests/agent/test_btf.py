"""Reading BTF: what C can do to a struct, and files that are not what they should be.

The bytes are put together here after Documentation/bpf/btf.rst in the kernel.
"""

import struct

import pytest

from snoop_agent.kernel import Btf, KernelError, Member

INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT = range(1, 12)
FUNC, FUNC_PROTO, VAR, DATASEC, FLOAT, DECL_TAG, TYPE_TAG, ENUM64 = range(12, 20)


class Writer:
    """Puts types together; each `add` gives the type's ID."""

    def __init__(self) -> None:
        self._types = bytearray()
        self._strings = bytearray(b"\0")
        self._count = 0

    def text(self, name: str) -> int:
        if not name:
            return 0
        at = len(self._strings)
        self._strings += name.encode() + b"\0"
        return at

    def add(
        self, kind: int, name: str = "", size_or_type: int = 0, *words: int, vlen: int = 0, flag: bool = False
    ) -> int:
        self._types += struct.pack("<III", self.text(name), flag << 31 | kind << 24 | vlen, size_or_type)
        self._types += struct.pack(f"<{len(words)}I", *(word & 0xFFFFFFFF for word in words))
        self._count += 1
        return self._count

    def integer(self, name: str, size: int) -> int:
        return self.add(INT, name, size, size * 8)

    def members(
        self, kind: int, name: str, size: int, *members: tuple[str, int, int], bits: tuple[int, ...] = ()
    ) -> int:
        """A struct or union. Members: name, type and offset in bits; `bits`: their widths, 0 for a whole type."""
        words = []
        for index, (label, type_id, offset) in enumerate(members):
            words += [self.text(label), type_id, offset | (bits[index] << 24 if bits else 0)]
        return self.add(kind, name, size, *words, vlen=len(members), flag=bool(bits))

    def blob(self, magic: int = 0xEB9F, order: str = "<") -> bytes:
        lengths = (0, len(self._types), len(self._types), len(self._strings))
        return struct.pack(f"{order}HBBIIIII", magic, 1, 0, 24, *lengths) + bytes(self._types + self._strings)


@pytest.fixture
def writer() -> Writer:
    return Writer()


def test_a_member_lies_where_its_struct_has_it(writer: Writer) -> None:
    byte, word = writer.integer("char", 1), writer.integer("int", 4)
    pointer = writer.add(PTR, "", byte)
    writer.members(STRUCT, "file", 24, ("f_mode", word, 0), ("f_flag", byte, 32), ("f_path", pointer, 64))
    btf = Btf(writer.blob())

    assert btf.member("file", "f_mode") == Member(0, 4)
    assert btf.member("file", "f_flag") == Member(4, 1)
    assert btf.member("file", "f_path") == Member(8, 8)
    assert btf.member("file", "f_pos") is None
    assert btf.member("fil", "f_mode") is None
    assert btf.member("ile", "f_mode") is None


def test_members_of_nested_structs_and_unions_without_a_name_are_the_outer_ones(writer: Writer) -> None:
    word, long = writer.integer("int", 4), writer.integer("long", 8)
    deepest = writer.members(STRUCT, "", 12, ("hash", word, 0), ("len", word, 32), ("more", word, 64))
    union = writer.members(UNION, "", 16, ("", deepest, 0), ("hash_len", long, 0))
    qstr = writer.members(STRUCT, "qstr", 24, ("", union, 0), ("name", long, 128))
    writer.members(STRUCT, "dentry", 64, ("d_flags", word, 0), ("d_name", qstr, 64))
    btf = Btf(writer.blob())

    assert btf.member("qstr", "len") == Member(4, 4)
    assert btf.member("dentry", "d_name.more") == Member(16, 4)
    assert btf.member("dentry", "d_name.name") == Member(24, 8)
    assert btf.member("dentry", "d_name.hash_len") == Member(8, 8)
    assert btf.member("dentry", "d_name") == Member(8, 24)
    # What has a name is reached through it alone.
    assert btf.member("dentry", "name") is None
    assert btf.member("dentry", "d_flags.len") is None


def test_typedefs_and_qualifiers_do_not_hide_a_type(writer: Writer) -> None:
    word = writer.integer("int", 4)
    inner = writer.members(STRUCT, "inner", 8, ("a", word, 0), ("b", word, 32))
    for kind in (CONST, TYPEDEF, VOLATILE, TYPE_TAG, RESTRICT, TYPEDEF):
        inner = writer.add(kind, "alias" if kind == TYPEDEF else "", inner)
    writer.members(STRUCT, "outer", 16, ("pad", word, 0), ("in", inner, 64))
    btf = Btf(writer.blob())

    assert btf.member("outer", "in.b") == Member(12, 4)
    assert btf.member("outer", "in") == Member(8, 8)
    assert btf.member("alias", "a") is None, "no struct of that name"


def test_an_array_is_as_large_as_its_elements(writer: Writer) -> None:
    word = writer.integer("int", 4)
    row = writer.add(ARRAY, "", 0, word, word, 3)
    table = writer.add(ARRAY, "", 0, writer.add(TYPEDEF, "row_t", row), word, 5)
    flexible = writer.add(ARRAY, "", 0, word, word, 0)
    writer.members(STRUCT, "s", 64, ("table", table, 0), ("rest", flexible, 480))
    btf = Btf(writer.blob())

    assert btf.member("s", "table") == Member(0, 60)
    assert btf.member("s", "rest") == Member(60, 0)


def test_a_bit_field_has_no_offset_in_bytes_and_its_neighbours_have(writer: Writer) -> None:
    word = writer.integer("int", 4)
    writer.members(STRUCT, "s", 12, ("bit", word, 3), ("five", word, 32), ("whole", word, 64), bits=(1, 5, 0))
    btf = Btf(writer.blob())

    assert btf.member("s", "whole") == Member(8, 4)
    assert btf.member("s", "bit") is None
    assert btf.member("s", "five") is None


def test_of_structs_of_one_name_the_one_that_has_the_member_is_meant(writer: Writer) -> None:
    word = writer.integer("int", 4)
    writer.add(FWD, "twin")
    writer.members(UNION, "twin", 4, ("b", word, 0))
    writer.members(STRUCT, "twin", 4, ("a", word, 0))
    writer.members(STRUCT, "twin", 8, ("a", word, 0), ("b", word, 32))
    btf = Btf(writer.blob())

    assert btf.member("twin", "b") == Member(4, 4)


def test_every_kind_of_type_is_stepped_over(writer: Writer) -> None:
    word = writer.integer("int", 4)
    pointer = writer.add(PTR, "", word)
    writer.add(ARRAY, "", 0, word, word, 2)
    writer.members(UNION, "u", 4, ("x", word, 0))
    writer.add(ENUM, "e", 4, writer.text("A"), 1, writer.text("B"), -1, vlen=2)
    writer.add(FWD, "f")
    proto = writer.add(FUNC_PROTO, "", word, writer.text("p"), word, 0, 0, vlen=2)
    function = writer.add(FUNC, "do_it", proto, vlen=1)
    variable = writer.add(VAR, "v", word, 1)
    writer.add(DATASEC, ".data", 4, variable, 0, 4, vlen=1)
    writer.add(FLOAT, "double", 8)
    writer.add(DECL_TAG, "tag", word, -1)
    writer.add(ENUM64, "e64", 8, writer.text("C"), 1, 1, vlen=1)
    writer.members(STRUCT, "last", 8, ("m", pointer, 0))
    btf = Btf(writer.blob())

    assert btf.member("last", "m") == Member(0, 8)
    assert btf.function("do_it") == function
    assert btf.function("v") == 0
    assert btf.enumeration("e") == {"A": 1, "B": -1}
    assert btf.enumeration("u") == {}


def test_the_arguments_of_a_tracepoint_are_those_after_the_first(writer: Writer) -> None:
    word = writer.integer("int", 4)
    task = writer.members(STRUCT, "task_struct", 4, ("pid", word, 0))
    pointer = writer.add(PTR, "", writer.add(CONST, "", task))
    proto = writer.add(FUNC_PROTO, "", 0, 0, writer.add(PTR), 0, pointer, 0, word, vlen=3)
    writer.add(TYPEDEF, "btf_trace_sched", writer.add(PTR, "", proto))
    btf = Btf(writer.blob())

    assert btf.tracepoint_arguments("sched") == ["task_struct", ""]
    assert btf.tracepoint_arguments("other") == []


# Files that are not what they should be.


@pytest.fixture
def sound(writer: Writer) -> bytes:
    word = writer.integer("int", 4)
    union = writer.members(UNION, "", 4, ("inner", writer.add(TYPEDEF, "t", word), 0))
    writer.members(STRUCT, "s", 8, ("a", word, 0), ("", union, 32))
    return writer.blob()


def test_big_endian_btf_is_refused_in_words(writer: Writer) -> None:
    with pytest.raises(KernelError, match="little-endian"):
        Btf(writer.blob(order=">"))
    with pytest.raises(KernelError, match="little-endian"):
        Btf(writer.blob(magic=0x1234))


def test_btf_that_ends_early_is_refused_in_words(sound: bytes) -> None:
    Btf(sound)
    for length in range(len(sound)):
        with pytest.raises(KernelError):
            Btf(sound[:length])


def test_a_kind_of_a_later_kernel_is_refused_in_words(writer: Writer) -> None:
    writer.integer("int", 4)
    writer.add(29, "news", 0, 1, 2, 3)

    with pytest.raises(KernelError, match="kind 29"):
        Btf(writer.blob())
