"""The C records and their Python mirror are the same bytes."""

import ctypes
import re
import shutil
import subprocess
from importlib import resources
from pathlib import Path

import pytest

from snoop_agent import wire

PAIRS = {
    "snoop_record": wire.Record,
    "snoop_call": wire.Call,
    "snoop_target": wire.Target,
    "snoop_counters": wire.Counters,
    "snoop_key": wire.Key,
    "snoop_config": wire.Config,
    "snoop_cgroup": wire.Cgroup,
    "snoop_whereabouts": wire.Whereabouts,
}


@pytest.fixture(scope="module")
def header() -> Path:
    return Path(str(resources.files("snoop_bpf").joinpath("snoop.h")))


@pytest.fixture(scope="module")
def measured(header: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    lines = []
    for name, mirror in PAIRS.items():
        lines.append(f'printf("{name} %zu\\n", sizeof(struct {name}));')
        for field, *_ in mirror._fields_:
            lines.append(f'printf("{name}.{field} %zu\\n", offsetof(struct {name}, {field}));')
            lines.append(f'printf("{name}.{field}.size %zu\\n", sizeof(((struct {name} *)0)->{field}));')
    source = (
        "#include <stdio.h>\n#include <stddef.h>\n#include <linux/types.h>\n"
        f'#include "{header}"\nint main(void){{{"".join(lines)}return 0;}}'
    )
    program = tmp_path_factory.mktemp("wire") / "sizes"
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler, "a C compiler is missing: make install brings it"
    subprocess.run([compiler, "-o", program, "-xc", "-"], input=source.encode(), check=True)
    output = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    return {name: int(value) for name, value in (line.split() for line in output.splitlines())}


@pytest.mark.parametrize("name", PAIRS)
def test_struct_has_the_size_and_offsets_of_its_mirror(name: str, measured: dict[str, int]) -> None:
    mirror = PAIRS[name]
    assert measured[name] == ctypes.sizeof(mirror)
    for field, *_ in mirror._fields_:
        descriptor = getattr(mirror, field)
        assert measured[f"{name}.{field}"] == descriptor.offset, field
        assert measured[f"{name}.{field}.size"] == descriptor.size, field


def test_every_member_of_a_struct_is_mirrored(header: Path) -> None:
    text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.DOTALL)
    for name, mirror in PAIRS.items():
        body = re.search(rf"struct {name} {{(.*?)}};", text, re.DOTALL)
        assert body, name
        members = re.findall(r"(\w+)(?:\[[^]]*\])?;", body.group(1))
        assert members == [field[0] for field in mirror._fields_]


@pytest.mark.parametrize(
    ("prefix", "names"),
    [
        (
            "SNOOP_",
            [
                "READ",
                "WRITE",
                "CREATE",
                "EXECUTE",
                "MAP",
                "STAT",
                "READLINK",
                "LIST",
                "CHDIR",
                "MODIFY",
                "OPEN",
                "HELD",
            ],
        ),
        (
            "SNOOP_",
            [
                "ASKED_UNREADABLE",
                "TRUNCATED",
                "RESOLVED",
                "VOLUME",
                "DELETED",
                "OUTSIDE",
                "BASE_OUTSIDE",
                "INTERPRETER",
                "NAME_MAX",
                "RECORD_OBJECT",
                "RECORD_CONTAINER",
                "BY_NAME",
                "BY_OPEN",
                "BY_OPENAT2",
                "BY_FD",
                "BY_EXEC",
                "BY_BLIND",
                "CGROUP_DEPTH",
                "CGROUP_NAME",
                "LEVELS",
                "FORMAT",
            ],
        ),
    ],
)
def test_constants_are_those_of_the_header(prefix: str, names: list[str], header: Path, tmp_path: Path) -> None:
    lines = "".join(f'printf("{name} %d\\n", (int){prefix}{name});' for name in names)
    source = f'#include <stdio.h>\n#include <linux/types.h>\n#include "{header}"\nint main(void){{{lines}return 0;}}'
    program = tmp_path / "constants"
    subprocess.run(["cc", "-o", program, "-xc", "-"], input=source.encode(), check=True)
    output = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    for line in output.splitlines():
        name, value = line.split()
        assert getattr(wire, name) == int(value), name
