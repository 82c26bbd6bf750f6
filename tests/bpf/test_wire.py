"""The C records and their Python mirror are the same bytes.

What there is to compare is read from the header, so that nothing new can be forgotten: struct snoop_held_task is
wire.HeldTask, SNOOP_LEVELS is wire.LEVELS.
"""

import ctypes
import re
import shutil
import subprocess
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import pytest

from snoop_agent import wire
from snoop_report.model import Kind

# What user space has no use for.
KERNEL_ONLY = {"DATA_MASK", "SEGMENT_MAX", "BASE_DEPTH", "STRINGS"}
RENAMED = {"NO_ARG": "NO_ARGUMENT"}
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


class Header(NamedTuple):
    """snoop.h, as far as names go. All without their prefix."""

    structs: dict[str, list[str]]
    enums: dict[str, list[str]]
    defines: list[str]


def parse(text: str) -> Header:
    text = _COMMENT.sub("", text)
    structs = {
        name: re.findall(r"(\w+)(?:\[[^]]*\])*;", body)
        for name, body in re.findall(r"struct snoop_(\w+)\s*{([^{}]*)}\s*;", text)
    }
    enums = {
        name: re.findall(r"\bSNOOP_(\w+)\s*(?:=[^,}]*)?(?:,|$)", body.strip())
        for name, body in re.findall(r"enum snoop_(\w+)\s*{([^}]*)}\s*;", text)
    }
    header = Header(structs, enums, re.findall(r"^#define SNOOP_(\w+)[ \t]+\S", text, re.MULTILINE))
    # What has another form than these would go unseen.
    assert len(structs) == len(re.findall(r"^struct \w+ {", text, re.MULTILINE))
    assert len(enums) == len(re.findall(r"^enum\b", text, re.MULTILINE))
    assert len(header.defines) == len(re.findall(r"^#define", text, re.MULTILINE))
    assert not re.search(r"\b(?:union|typedef|__attribute__)\b|:\s*\d+\s*;", text)
    return header


PATH = Path(str(resources.files("snoop_bpf").joinpath("snoop.h")))
HEADER = parse(PATH.read_text())
CONSTANTS = {RENAMED.get(name, name): name for names in (*HEADER.enums.values(), HEADER.defines) for name in names}


def mirror_of(struct: str) -> type[ctypes.Structure]:
    name = struct.title().replace("_", "")
    found = getattr(wire, name, None)
    assert found is not None, f"struct snoop_{struct} has no mirror: add wire.{name}"
    assert issubclass(found, ctypes.Structure)
    return found


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Sizes, offsets and values by the C compiler."""
    lines = []
    for name, members in HEADER.structs.items():
        lines.append(f'printf("{name} %zu\\n", sizeof(struct snoop_{name}));')
        for member in members:
            place = f"((struct snoop_{name} *)0)->{member}"
            lines.append(f'printf("{name}.{member} %zu\\n", offsetof(struct snoop_{name}, {member}));')
            lines.append(f'printf("{name}.{member}.size %zu\\n", sizeof({place}));')
            lines.append(f'printf("{name}.{member}.signed %d\\n", SIGNED({place}));')
    lines += [f'printf("{mirror} %lld\\n", (long long)SNOOP_{name});' for mirror, name in CONSTANTS.items()]
    signed = "_Generic((one), __s8: 1, __s16: 1, __s32: 1, __s64: 1, default: 0)"
    source = (
        "#include <stdio.h>\n#include <stddef.h>\n#include <linux/types.h>\n"
        f'#include "{PATH}"\n#define SIGNED(one) {signed}\nint main(void){{{"".join(lines)}return 0;}}'
    )
    program = tmp_path_factory.mktemp("wire") / "sizes"
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("a C compiler is missing: make install brings it")
    subprocess.run([compiler, "-o", program, "-xc", "-"], input=source.encode(), check=True)
    output = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    return {name: int(value) for name, value in (line.split() for line in output.splitlines())}


@pytest.mark.parametrize("name", HEADER.structs)
def test_struct_has_the_members_size_and_offsets_of_its_mirror(name: str, measured: dict[str, int]) -> None:
    mirror = mirror_of(name)
    assert [field[0] for field in mirror._fields_] == HEADER.structs[name]
    assert ctypes.sizeof(mirror) == measured[name]
    for field, kind, *_ in mirror._fields_:
        descriptor = getattr(mirror, field)
        assert descriptor.offset == measured[f"{name}.{field}"], field
        assert descriptor.size == measured[f"{name}.{field}.size"], field
        is_signed = kind in (ctypes.c_int8, ctypes.c_int16, ctypes.c_int32, ctypes.c_int64)
        assert is_signed == measured[f"{name}.{field}.signed"], field


@pytest.mark.parametrize("name", HEADER.structs)
def test_padding_is_explicit(name: str, measured: dict[str, int]) -> None:
    assert sum(measured[f"{name}.{member}.size"] for member in HEADER.structs[name]) == measured[name]


def test_every_mirror_is_one_of_a_struct() -> None:
    mirrors = {one for one in vars(wire).values() if isinstance(one, type) and issubclass(one, ctypes.Structure)}
    assert mirrors == {mirror_of(name) for name in HEADER.structs}


@pytest.mark.parametrize("name", sorted(CONSTANTS.keys() - KERNEL_ONLY))
def test_a_constant_has_the_value_of_its_mirror(name: str, measured: dict[str, int]) -> None:
    assert hasattr(wire, name), f"SNOOP_{name} has no mirror: add wire.{name}, or name it in KERNEL_ONLY with a reason"
    assert getattr(wire, name) == measured[name]


def test_every_constant_is_one_of_the_header_or_follows_from_it(measured: dict[str, int]) -> None:
    ours = {name for name, value in vars(wire).items() if isinstance(value, int) and name.isupper()}
    assert ours - {"KINDS"} <= CONSTANTS.keys()
    assert {name for name in KERNEL_ONLY if hasattr(wire, name)} == set(), "no longer the kernel side's alone"


@pytest.mark.parametrize("name", ["kind", "flag"])
def test_bits_are_one_each_and_without_a_hole(name: str, measured: dict[str, int]) -> None:
    assert [measured[one] for one in HEADER.enums[name]] == [1 << bit for bit in range(len(HEADER.enums[name]))]


def test_every_kind_of_a_report_is_a_bit(measured: dict[str, int]) -> None:
    assert sorted(kind.name for kind in Kind) == sorted(HEADER.enums["kind"])


def test_a_record_holds_as_many_strings_as_are_named(measured: dict[str, int]) -> None:
    assert measured["record.lengths.size"] == 2 * measured["STRINGS"]
    assert measured["DATA_MASK"] + 1 == measured["STRINGS"] * measured["NAME_MAX"]


@pytest.mark.parametrize(
    "text",
    [
        "struct snoop_new {\n\t__u32 a; /* b; */\n\t__u8 c[4];\n};\n",
        "#define SNOOP_NEW 1 /* SNOOP_OLD */\n",
        "enum snoop_new { SNOOP_A, SNOOP_B = 1 << 3 };\n",
    ],
)
def test_whatever_is_new_in_the_header_is_found(text: str) -> None:
    found = parse(text)
    assert found in (
        ({"new": ["a", "c"]}, {}, []),
        ({}, {}, ["NEW"]),
        ({}, {"new": ["A", "B"]}, []),
    )


@pytest.mark.parametrize(
    "text",
    [
        "struct other {\n\t__u32 a;\n};\n",
        "struct snoop_bits {\n\t__u32 a : 3;\n};\n",
        "struct snoop_inner {\n\tunion { __u32 a; };\n};\n",
        "struct snoop_tight {\n\t__u8 a;\n} __attribute__((packed));\n",
        "#define OTHER 1\n",
        "enum { SNOOP_NAMELESS };\n",
    ],
)
def test_what_cannot_be_compared_has_no_place_in_the_header(text: str) -> None:
    with pytest.raises(AssertionError):
        parse(text)
