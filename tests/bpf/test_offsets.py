"""Every member of a kernel struct that is read lies where another reader of BTF says, and the compiler is told so.

Kernels: the running one; those that tests/kernels has in its cache; and files of BTF named in SNOOP_TEST_BTF (with `:`
between them). The other reader is bpftool, which has libbpf's parser.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from snoop_agent import compiler, kernel
from snoop_agent.plan import ATTACH_RAW, ATTACH_TRACEPOINT, ATTACH_VFS, Plan

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
    """Architecture, struct, the macro's member, and what the member may be called."""
    for owner, members in kernel.MEMBERS.items():
        yield from (("", owner, path.replace(".", "_"), (path,)) for path in members)
    for owner, name, candidates, _ in kernel.ALTERNATIVES:
        yield "", owner, name, candidates
    for architecture, structs in kernel.ARCHITECTURE_MEMBERS.items():
        for owner, members in structs.items():
            yield from ((architecture, owner, path.replace(".", "_"), (path,)) for path in members)


def macros(header: str) -> dict[str, int]:
    return {name: int(value) for name, value in re.findall(r"^#define (\w+) (\d+)$", header, re.MULTILINE)}


def test_every_offset_and_size_is_what_another_reader_says(btf: kernel.Btf, reference: Reference) -> None:
    machine = kernel.machine()
    told = macros(kernel.offsets_header(btf, machine))
    expected = {}
    for architecture, owner, member, candidates in wanted():
        if architecture not in ("", machine):
            continue
        for path in candidates:
            places = reference.places(owner, path)
            assert len(places) <= 1, f"several {owner}.{path}: {places}"
            for place in places:
                assert not place.bitfield, f"{owner}.{path} is a bit field"
                assert place.offset % 8 == place.size % 8 == 0
                expected[f"OFF_{owner}_{member}"] = place.offset // 8
                expected[f"SIZE_{owner}_{member}"] = place.size // 8
    assert {name: value for name, value in told.items() if not name.startswith("SPAN_")} == expected
    assert len(expected) > 100


def test_a_span_holds_its_members_and_nothing_before_them(btf: kernel.Btf) -> None:
    told = macros(kernel.offsets_header(btf, kernel.machine()))
    reads = re.findall(r"\bIN_SPAN\(([\w *]+?), [^,]+, (\w+), (\w+)\)", compiler.source())
    assert {owner for _, owner, _ in reads} == {*kernel.SPANS, "object"}
    for kind, owner, member in reads:
        if owner == "object":  # the macro's own argument
            continue
        start = told[f"OFF_{owner}_{member}"] - told[f"SPAN_{owner}"]
        width = 8 if kind.endswith("*") else WIDTHS[kind]
        assert start >= 0
        assert start + width <= told[f"SPAN_SIZE_{owner}"]


# What the compiler sees.


class Kernel:
    """As much of BTF as compiling asks for: a kernel that has what `lacks` does not name."""

    def __init__(self, lacks: set[tuple[str, str]]) -> None:
        self._lacks = lacks

    def member(self, struct: str, path: str) -> kernel.Member | None:
        return None if (struct, path) in self._lacks else kernel.Member(8, 8)

    def function(self, name: str) -> int:
        return 1

    def __getattr__(self, name: str) -> Any:
        return lambda *_: [] if name == "tracepoint_arguments" else {}


OPTIONAL = {
    (owner, path) for owner, _, candidates, required in kernel.ALTERNATIVES if not required for path in candidates
}
# Memory areas lie in a list, or since 6.1 in a maple tree.
AREAS = {("mm_struct", "mmap"), ("vm_area_struct", "vm_next")}
TREE = {("mm_struct", "mm_mt.ma_root"), *((owner, path) for owner, path in OPTIONAL if owner.startswith("maple_"))}
CHOICES = [*(({one}, {other}) for one, other in kernel.EITHER), (AREAS, TREE)]
NEEDLESS = OPTIONAL.difference(*(side for sides in CHOICES for side in sides))
VARIANTS = [
    (set(), "all"),
    *((NEEDLESS | left & OPTIONAL, f"no {sorted(left)[0][1]}") for sides in CHOICES for left in sides),
]


@pytest.mark.parametrize("lacks", [lacks for lacks, _ in VARIANTS], ids=[name for _, name in VARIANTS])
@pytest.mark.parametrize("architecture", kernel.ARCHITECTURE_MEMBERS)
@pytest.mark.parametrize("way", WAYS)
def test_no_macro_is_used_that_the_kernel_may_lack(
    way: str, architecture: str, lacks: set[tuple[str, str]], tmp_path: Path
) -> None:
    fake: Any = Kernel(lacks)
    assert undefined(way, architecture, fake, tmp_path) == set()


@pytest.mark.parametrize("way", WAYS)
def test_no_macro_is_used_that_this_kernel_lacks(way: str, btf: kernel.Btf, tmp_path: Path) -> None:
    assert undefined(way, kernel.machine(), btf, tmp_path) == set()


def undefined(way: str, architecture: str, btf: kernel.Btf, tree: Path) -> set[str]:
    """Preprocess the kernel side; the OFF_ and SIZE_ that are left over are nowhere defined."""
    preprocessor = shutil.which("cc") or shutil.which("gcc")
    if preprocessor is None:
        pytest.skip("a C compiler is missing: make install brings it")
    compiler.write_tree(tree, btf, architecture)
    other = [f"-U__{name}__" for name in kernel.ARCHITECTURE_MEMBERS if name != architecture]
    flags = [*compiler.cflags(Plan(way), btf, architecture), f"-D__{architecture}__=1", *other]
    done = subprocess.run(
        [
            preprocessor,
            "-E",
            "-P",
            "-w",
            "-nostdinc",
            f"-I{tree}/include",
            "-include",
            "linux/kconfig.h",
            *flags,
            "-xc",
            "-",
        ],
        input=compiler.source(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "snoop_sweep" in done.stdout
    return set(re.findall(r"\b(?:OFF|SIZE|SPAN|SPAN_SIZE)_[a-z]\w*", done.stdout))


def test_every_macro_is_used() -> None:
    used = compiler.source() + Path(str(compiler.__file__)).read_text()
    unused = {
        f"{owner}_{member}"
        for _, owner, member, _ in wanted()
        if not re.search(rf"(?:\b|OFF_|SIZE_){owner}_{member}\b", used)
    }
    assert unused == set(), "read from BTF for nothing: take them out of kernel.py"


def test_no_member_is_read_wider_or_narrower_than_it_is(btf: kernel.Btf) -> None:
    told = macros(kernel.offsets_header(btf, kernel.machine()))
    text = re.sub(r"IN_SPAN\(([\w *]+?), ([^,]+), (\w+), (\w+)\)", r"GET(\1, \2, \3_\4)", compiler.source())
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


COMPILE = """
import os, re, sys, tempfile
from pathlib import Path
from snoop_agent import compiler, kernel
from snoop_agent.plan import Plan
btf, way = kernel.Btf(Path(sys.argv[1]).read_bytes()), sys.argv[2]
plan = Plan(way, ring_pages=1, seen_entries=8)
with tempfile.TemporaryDirectory() as tree:
    compiler.write_tree(Path(tree), btf, kernel.machine())
    os.environ["BCC_KERNEL_SOURCE"] = tree
    import bcc
    text, found = re.subn(
        r"#define LOAD\\(to, from, member\\) (.*)",
        r'#define LOAD(to, from, member) ({ _Static_assert(sizeof(to) <= SIZE_##member, "wide: " #member); \\1; })',
        compiler.source(),
    )
    assert found == 1, "LOAD has another form"
    module = bcc.BPF(text=text, cflags=compiler.cflags(plan, btf, kernel.machine()))
    print(bcc.lib.bpf_num_functions(module.module))
    sys.stdout.flush()
    os._exit(0)
"""


@pytest.mark.bpf
@pytest.mark.skipif(not kernel.may_trace(), reason="needs root: BCC makes the maps as it compiles")
@pytest.mark.parametrize("way", WAYS)
def test_it_compiles_for_this_kernel_and_every_load_is_as_wide_as_its_member(way: str, blob: Path) -> None:
    done = subprocess.run([sys.executable, "-c", COMPILE, blob, way], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 5
