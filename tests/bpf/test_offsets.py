"""Every member of a kernel struct that is read lies where another reader of BTF says, and programs are told so.

Kernels: the running one; those that tests/kernels has in its cache; and files of BTF named in SNOOP_TEST_BTF (with `:`
between them). The other reader is bpftool, which has libbpf's parser.
"""

import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from snoop_agent import compiler, holes, kernel, loader, objects, offsets
from snoop_agent.plan import (
    ATTACH_RAW,
    ATTACH_TRACEPOINT,
    ATTACH_VFS,
    READ_BY_CALLS,
    READ_BY_CASTS,
    READ_BY_TYPES,
    READINGS,
    Plan,
)

CACHE = Path(
    os.environ.get("SNOOP_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "snoop"
).expanduser()
EXTRACT = Path(__file__).parents[1] / "kernels/btf.py"
WAYS = [ATTACH_RAW, ATTACH_TRACEPOINT, ATTACH_VFS]
# What C calls the types by which members are read, and their bytes on a 64-bit machine.
WIDTHS = {
    "u8": 1,
    "u16": 2,
    "int": 4,
    "__u8": 1,
    "__u16": 2,
    "__u32": 4,
    "__s32": 4,
    "__u64": 8,
    "long": 8,
    "unsigned long": 8,
}


def kernels() -> list[Path]:
    """BTF, or a kernel that holds it."""
    named = [Path(path) for path in os.environ.get("SNOOP_TEST_BTF", "").split(":") if path]
    cached = CACHE.glob("kernels/kernel-*/vmlinuz")
    # 5.4 is there to show that it is refused.
    return [
        *filter(Path.exists, [kernel.BTF_PATH]),
        *named,
        *sorted(one for one in cached if not one.parent.name.startswith("kernel-5.4")),
    ]


def name_of(path: Path) -> str:
    version = path.with_name("version")
    return version.read_text().strip() if version.exists() else path.stem.replace("vmlinux", "running")


@pytest.fixture(scope="module", params=kernels(), ids=name_of)
def blob(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = request.param
    if path.name != "vmlinuz":
        return path
    out = tmp_path_factory.mktemp("btf") / "vmlinux"
    done = subprocess.run([sys.executable, EXTRACT, path, out], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(done.stderr.strip())
    return out


@pytest.fixture(scope="module")
def btf(blob: Path) -> kernel.Btf:
    return kernel.Btf(blob.read_bytes())


class Place(NamedTuple):
    """Of a member, in bits."""

    offset: int
    size: int
    bitfield: bool


class Reference:
    """Look-ups in what bpftool dumps."""

    def __init__(self, types: list[dict[str, Any]]) -> None:
        self._types = {one["id"]: one for one in types}
        self._structs: dict[str, list[dict[str, Any]]] = {}
        for one in types:
            if one["kind"] == "STRUCT" and "members" in one:
                self._structs.setdefault(one["name"], []).append(one)

    def places(self, struct: str, path: str) -> set[Place]:
        """All places of a member, one for each struct of that name which has it."""
        return {
            Place(offset, size, bitfield)
            for one in self._structs.get(struct, [])
            for name, offset, size, bitfield in self._flat(one, 0, "")
            if name == path
        }

    @cache  # noqa: B019 # lives as long as the module's tests
    def _size(self, type_id: int) -> int:
        one = self._types[type_id]
        if one["kind"] == "PTR":
            return 64
        if one["kind"] == "ARRAY":
            return int(one["nr_elems"]) * self._size(one["type_id"])
        return 8 * one["size"] if "size" in one else self._size(one["type_id"])

    def _flat(
        self, one: dict[str, Any], start: int, above: str, depth: int = 3
    ) -> Iterator[tuple[str, int, int, bool]]:
        for member in one["members"]:
            offset, inner = start + member["bits_offset"], self._types[member["type_id"]]
            bits = member.get("bitfield_size", 0)
            name = above
            if member["name"] != "(anon)":
                name = f"{above}.{member['name']}".lstrip(".")
                yield name, offset, bits or self._size(member["type_id"]), bits > 0
            while inner["kind"] in ("TYPEDEF", "CONST", "VOLATILE", "TYPE_TAG"):
                inner = self._types[inner["type_id"]]
            if inner["kind"] in ("STRUCT", "UNION") and (depth or name == above):
                yield from self._flat(inner, offset, name, depth - (name != above))


@pytest.fixture(scope="module")
def reference(blob: Path) -> Reference:
    bpftool = shutil.which("bpftool", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if bpftool is None:
        pytest.skip("bpftool is missing: make install brings it")
    dump = subprocess.run([bpftool, "-j", "btf", "dump", "file", blob], capture_output=True, check=True).stdout
    return Reference(json.loads(dump)["types"])


def wanted() -> Iterator[tuple[str, str, str, tuple[str, ...]]]:
    """Architecture, struct, the hole's member, and what the member may be called."""
    for owner, members in offsets.MEMBERS.items():
        yield from (("", owner, path.replace(".", "_"), (path,)) for path in members)
    for owner, name, candidates, _ in offsets.ALTERNATIVES:
        yield "", owner, name, candidates
    for architecture, structs in offsets.ARCHITECTURE_MEMBERS.items():
        for owner, members in structs.items():
            yield from ((architecture, owner, path.replace(".", "_"), (path,)) for path in members)


def test_every_offset_and_size_is_what_another_reader_says(btf: kernel.Btf, reference: Reference) -> None:
    machine = kernel.machine()
    told = offsets.values(btf, machine)
    expected: dict[str, int | None] = {}
    for architecture, owner, member, candidates in wanted():
        if architecture not in ("", machine):
            continue
        expected |= {f"OFF_{owner}_{member}": None, f"SIZE_{owner}_{member}": None}
        for path in candidates:
            places = reference.places(owner, path)
            assert len(places) <= 1, f"several {owner}.{path}: {places}"
            for place in places:
                assert not place.bitfield, f"{owner}.{path} is a bit field"
                assert place.offset % 8 == place.size % 8 == 0
                expected[f"OFF_{owner}_{member}"] = place.offset // 8
                expected[f"SIZE_{owner}_{member}"] = place.size // 8
    assert {name: value for name, value in told.items() if name.startswith(("OFF_", "SIZE_"))} == expected
    assert sum(value is not None for value in expected.values()) > 100
    for owner, member, _, required in offsets.ALTERNATIVES:
        if not required:
            assert told[f"HAS_{owner}_{member}"] == (expected[f"OFF_{owner}_{member}"] is not None)


def test_there_is_a_value_for_each_hole_and_a_hole_for_each_value(btf: kernel.Btf) -> None:
    told = offsets.values(btf, kernel.machine())

    assert sorted(told) == sorted(offsets.names(kernel.machine()))


def test_a_span_holds_its_members_and_nothing_before_them(btf: kernel.Btf) -> None:
    told = offsets.values(btf, kernel.machine())
    reads = re.findall(r"\bIN_SPAN\(([\w *]+?), [^,]+, \w+, (\w+), (\w+)\)", compiler.source())
    assert {owner for _, owner, _ in reads} == {*offsets.SPANS, "object"}
    for kind, owner, member in reads:
        if owner == "object":  # the macro's own argument
            continue
        start, first, size = (
            told[name] for name in (f"IN_SPAN_{owner}_{member}", f"SPAN_{owner}", f"SPAN_SIZE_{owner}")
        )
        width = 8 if kind.endswith("*") else WIDTHS[kind]
        assert start is not None
        assert first is not None
        assert size is not None
        assert told[f"OFF_{owner}_{member}"] == first + start
        assert start >= 0
        assert start + width <= size <= offsets.SPAN_MAX


# What the programs are made of.


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("architecture", kernel.ARCHITECTURES)
@pytest.mark.parametrize("way", WAYS)
def test_no_hole_is_used_that_there_is_not(way: str, architecture: str, reading: str, tmp_path: Path) -> None:
    text = preprocessed(compiler.source(), way, architecture, reading, tmp_path)

    assert set(re.findall(r"\b(?:OFF|SIZE|HAS|SPAN|IN_SPAN)_[a-z]\w*", text)) == set()
    assert "snoop_sweep" in text


@pytest.mark.parametrize("sum_", ["1 + OFF_file_f_mode", "(__u64)ctx & OFF_file_f_mode", "OFF_file_f_mode * 2"])
def test_the_compiler_cannot_calculate_with_a_hole(sum_: str) -> None:
    text = compiler.source() + f"int more(void *ctx) {{ int sum = {sum_}; return sum; }}"

    with pytest.raises((kernel.KernelError, holes.HoleError)):
        in_a_child(compiler.compile_text, text, compiler.cflags(ATTACH_RAW, READ_BY_TYPES, kernel.machine()))


def test_a_hole_that_there_is_not_would_be_found(tmp_path: Path) -> None:
    text = compiler.source() + "int more(void *ctx) { return GET(int, ctx, task_struct_none); }"

    assert "OFF_task_struct_none" in preprocessed(text, ATTACH_RAW, "aarch64", READ_BY_TYPES, tmp_path)


def preprocessed(text: str, way: str, architecture: str, reading: str, tree: Path) -> str:
    """What the OFF_ and their like have been replaced in, where they are known."""
    preprocessor = shutil.which("cc") or shutil.which("gcc")
    if preprocessor is None:
        pytest.skip("a C compiler is missing: make install brings it")
    compiler.write_tree(tree, architecture)
    other = [f"-U__{name}__" for name in kernel.ARCHITECTURES if name != architecture]
    ours = [flag for flag in compiler.cflags(way, reading, architecture) if flag.startswith("-D")]
    flags = [*ours, f"-D__{architecture}__=1", *other]
    include = ["-nostdinc", f"-I{tree}/include", "-include", "linux/kconfig.h"]
    done = subprocess.run(
        [preprocessor, "-E", "-P", "-w", *include, *flags, "-xc", "-"], input=text, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_member_is_used() -> None:
    used = compiler.source() + Path(str(compiler.__file__)).read_text()
    unused = {
        f"{owner}_{member}"
        for _, owner, member, _ in wanted()
        if not re.search(rf"(?:\b|OFF_|SIZE_|HAS_){owner}_{member}\b", used)
    }
    assert unused == set(), "read from BTF for nothing: take them out of offsets.py"


def test_no_member_is_read_wider_or_narrower_than_it_is(btf: kernel.Btf) -> None:
    told = offsets.values(btf, kernel.machine())
    text = re.sub(r"IN_SPAN\(([\w *]+?), [^,]+, (\w+), (\w+), (\w+)\)", r"GET(\1, \2, \3_\4)", compiler.source())
    reads = re.findall(r"\b(?:GET|MEMBER)\(([\w *]+?), [^,]+(?:\([^)]*\))?, (\w+)\)", text)
    assert len(reads) > 50
    for kind, member in reads:
        size = told.get(f"SIZE_{member}")
        # The name of the macro's own argument, and what only other kernels have.
        if size is None:
            continue
        width = 8 if kind.endswith("*") else WIDTHS[kind]
        # 32-bit callers leave nothing in the upper halves; of a struct the first member may be meant.
        part = width < size and (member.startswith("pt_regs_") or size > max(WIDTHS.values()))
        assert width == size or part, f"GET({kind}, …, {member}) reads {width} of {size} bytes"


@pytest.mark.parametrize("reading", [READ_BY_CALLS, READ_BY_CASTS])
@pytest.mark.parametrize("way", WAYS)
def test_every_load_is_as_wide_as_its_member(way: str, reading: str, btf: kernel.Btf) -> None:
    text, found = re.subn(
        r"#define LOAD\(to, from, member\) (.*)",
        r'#define LOAD(to, from, member) ({ _Static_assert(sizeof(to) <= WIDTH_##member, "wide: " #member); \1; })',
        compiler.source(),
    )
    assert found == 1, "LOAD has another form"
    # What this kernel lacks is never read.
    widths = [
        f"-DWIDTH_{name.removeprefix('SIZE_')}={4096 if size is None else size}"
        for name, size in offsets.values(btf, kernel.machine()).items()
        if name.startswith("SIZE_")
    ]

    done = in_a_child(compiler.compile_text, text, [*compiler.cflags(way, reading, kernel.machine()), *widths])

    assert len(done.programs) > 5


def in_a_child(call: Any, *arguments: Any) -> Any:
    """BCC reads its settings once, and never gives its memory back."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(call, *arguments).result()


# What the verifier sees.

OPTIONAL = {(owner, name) for owner, name, _, required in offsets.ALTERNATIVES if not required}
URING = {one for one in OPTIONAL if one[0].startswith("io_")}
# Memory areas lie in a list, or since 6.1 in a maple tree.
AREAS = {("mm_struct", "mmap"), ("vm_area_struct", "vm_next")}
TREE = {("mm_struct", "mm_mt_ma_root"), *(one for one in OPTIONAL if one[0].startswith("maple_"))}
CHOICES = [({("cgroup", "ancestors")}, {("cgroup", "ancestor_ids")}), (AREAS, TREE)]
NEEDLESS = OPTIONAL.difference(*(side for sides in CHOICES for side in sides))
VARIANTS: list[tuple[set[tuple[str, str]], str]] = [
    (set(), "all"),
    ({one for one in URING if one[0] not in ("io_kiocb", "io_open", "io_statx")}, "only io_uring's open and statx"),
    *((NEEDLESS | side, f"no {sorted(side)[0][1]}") for sides in CHOICES for side in sides),
]


@pytest.fixture(scope="module")
def compiled() -> dict[tuple[str, str], objects.Compiled]:
    return {(way, reading): in_a_child(loader.find, way, reading)[0] for way in WAYS for reading in READINGS}


def test_holes_are_where_the_compiler_could_have_put_something_else(
    compiled: dict[tuple[str, str], objects.Compiled],
) -> None:
    numbers = {
        number for one in compiled.values() for code in one.programs.values() for _, number in holes.find(code)
    } | {shape.entries for one in compiled.values() for shape in one.maps.values()}
    named = compiler.hole_numbers(kernel.machine())

    used = {name for name, number in named.items() if number in numbers}

    assert {name for name in named if name.startswith(("SPAN_", "IN_SPAN_", "SNOOP_"))} <= used
    assert len(used) > 100


@pytest.mark.bpf
@pytest.mark.skipif(not kernel.may_trace(), reason="needs root: the verifier is asked")
@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("lacks", [lacks for lacks, _ in VARIANTS], ids=[name for _, name in VARIANTS])
@pytest.mark.parametrize("way", [ATTACH_RAW, ATTACH_TRACEPOINT])
def test_what_a_kernel_lacks_is_never_reached(
    way: str, lacks: set[tuple[str, str]], reading: str, compiled: dict[tuple[str, str], objects.Compiled]
) -> None:
    assert load(compiled[way, reading], way, lacks) > 5


@pytest.mark.bpf
@pytest.mark.skipif(not kernel.may_trace(), reason="needs root: the verifier is asked")
def test_what_a_kernel_lacks_would_not_be_read_from_anywhere(
    compiled: dict[tuple[str, str], objects.Compiled],
) -> None:
    with pytest.raises(kernel.KernelError, match="the kernel refused program"):
        load(compiled[ATTACH_RAW, READ_BY_TYPES], ATTACH_RAW, AREAS | TREE)


@pytest.mark.bpf
@pytest.mark.skipif(not kernel.may_trace(), reason="needs root: the verifier is asked")
def test_where_the_best_way_to_read_is_refused_the_next_one_is_taken(
    compiled: dict[tuple[str, str], objects.Compiled],
) -> None:
    asked = loader.ask_kernel(Plan(ATTACH_RAW, ring_pages=1, seen_entries=8))
    crippled = replace(asked, values=asked.values | {"SNOOP_WORDS": None}, readings=list(READINGS[::-1]))
    with pytest.raises(kernel.KernelError, match="the kernel refused program"):
        loader.load(compiled[ATTACH_RAW, READ_BY_CASTS], crippled, ATTACH_RAW)
    before = descriptors()

    maps, loaded, is_new = loader.load_best(crippled, ATTACH_RAW)

    assert len(loaded) > 5
    assert not is_new
    for descriptor in (*maps.values(), *loaded.values()):
        os.close(descriptor)
    assert descriptors() == before


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def load(found: objects.Compiled, way: str, lacks: set[tuple[str, str]]) -> int:
    """Load as a kernel would that has nothing of `lacks` and all else. Counts programs."""
    asked = loader.ask_kernel(Plan(way, ring_pages=1, seen_entries=8))
    values = {name: 8 if value is None else value for name, value in asked.values.items()}
    for owner, member in OPTIONAL:
        here = (owner, member) not in lacks
        values[f"HAS_{owner}_{member}"] = int(here)
        if not here:
            values |= {f"OFF_{owner}_{member}": None, f"SIZE_{owner}_{member}": None}
    uring = asked.uring if {owner for owner, _ in lacks}.isdisjoint({"io_kiocb", "io_open", "io_statx"}) else ""
    maps, loaded = loader.load(found, replace(asked, values=values, uring=uring), way)
    for descriptor in (*maps.values(), *loaded.values()):
        os.close(descriptor)
    return len(loaded)
