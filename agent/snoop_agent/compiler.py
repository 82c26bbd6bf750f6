"""Compiles the kernel side with BCC: for no kernel in particular, into programs with holes (`objects`, `holes`).

`python -m snoop_agent.compiler DIRECTORY` compiles all of it, for an image to bring along. It needs neither privileges
nor BTF. The only code that imports bcc.
"""

import argparse
import ctypes
import os
import struct
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import snoop_bpf

from snoop_agent import holes, kernel, objects, offsets, syscalls
from snoop_agent.plan import (
    ATTACH_RAW,
    ATTACH_TRACEPOINT,
    ATTACH_VFS,
    CONTAINERS,
    READ_BY_CALLS,
    READ_BY_CASTS,
    READINGS,
)
from snoop_agent.sources import checksum, source

_STUBS = (
    "uapi/linux/bpf.h",
    "uapi/linux/ptrace.h",
    "uapi/linux/if_packet.h",
    "linux/types.h",
    "linux/version.h",
    "linux/log2.h",
    "linux/if_ether.h",
    "linux/bpf_common.h",
    "linux/bpf.h",
    "asm/page.h",
)
_SYSCALL_NUMBER = {"x86_64": "pt_regs_orig_ax", "aarch64": "pt_regs_syscallno"}
_ATTACH = {
    ATTACH_TRACEPOINT: "SNOOP_ATTACH_TRACEPOINT",
    ATTACH_RAW: "SNOOP_ATTACH_RAW",
    ATTACH_VFS: "SNOOP_ATTACH_VFS",
}
_SHAPE = "snoop_map_"
"""What programs are called that tell a map's shape (bpf/maps.h)."""
_PLAIN = ("SNOOP_RING_BYTES", "SNOOP_BUCKETS", "SNOOP_TARGETS", "SNOOP_RDONLY_CAST")
"""Holes in maps' shapes, and a function's."""
_SETTINGS = (
    "SNOOP_FRONT",
    "SNOOP_FRONT_MASK",
    "SNOOP_BACK_MASK",
    "SNOOP_WALK_MAX",
    "SNOOP_REGS_ON_STACK",
    "SNOOP_URING_ARGUMENT",
    "SNOOP_WORDS",
)
"""Holes in programs that are no members of anything."""


def hole_numbers(architecture: str) -> dict[str, int]:
    """Tell the number of each hole, by name."""
    return holes.numbers([*_PLAIN, *_SETTINGS, *offsets.names(architecture)])


def _header(architecture: str) -> str:
    return holes.header(_PLAIN, [*_SETTINGS, *offsets.names(architecture)])


def write_tree(directory: Path, architecture: str) -> None:
    """Write the headers that stand in for a kernel tree."""
    include = directory / "include"
    for name in _STUBS:
        stub = include / name
        stub.parent.mkdir(parents=True, exist_ok=True)
        stub.write_text("")
    kconfig = Path(snoop_bpf.__path__[0], "stubs/kconfig.h").read_text()
    (include / "linux/kconfig.h").write_text(kconfig)
    (include / "snoop_holes.h").write_text(_header(architecture))


def cflags(attach: str, reading: str, architecture: str) -> list[str]:
    """Configure the kernel side. `reading`: how it may read kernel memory (`plan.READINGS`)."""
    narrow = syscalls.numbers32(architecture)
    flags: dict[str, int | str] = {
        "SNOOP_CONTAINERS": CONTAINERS,
        "SNOOP_CALLS": max(syscalls.numbers(architecture)) + 1,
        "SNOOP_CALLS32": max(narrow, default=0) + 1,
        "SNOOP_CALLS32_KNOWN": int(bool(narrow)),
        "SNOOP_SYSCALL_NUMBER": _SYSCALL_NUMBER[architecture],
        "SPAN_MAX": offsets.SPAN_MAX,
        _ATTACH[attach]: 1,
    }
    if reading != READ_BY_CALLS:
        flags["SNOOP_TYPED"] = 1
    if reading == READ_BY_CASTS:
        flags["SNOOP_CAST"] = 1
    # BCC asks for debug information, which takes a fifth of the time and nobody reads.
    # Unrolled loops are no faster to run here, and a fifth slower to compile and verify.
    # A hole is a text, with which the compiler is not to calculate.
    strict = ["-Werror=int-conversion", "-Werror=string-plus-int", "-Werror=pointer-integer-compare"]
    return ["-g0", "-fno-unroll-loops", *strict, *(f"-D{name}={value}" for name, value in flags.items())]


def name_of(attach: str, reading: str) -> str:
    """Name what compiling gives, after all that it depends on."""
    architecture = kernel.machine()
    text = "\n".join([source(), _header(architecture), *cflags(attach, reading, architecture)])
    return f"{architecture}-{attach}-{reading}-{checksum(text)}"


def names() -> list[str]:
    """Name all that there is to compile."""
    return [name_of(attach, reading) for attach in _ATTACH for reading in READINGS]


def compile_text(text: str, flags: list[str]) -> objects.Compiled:
    """Compile. KernelError if BCC is not there, or will not."""
    with tempfile.TemporaryDirectory(prefix="snoop-headers-") as tree:
        write_tree(Path(tree), kernel.machine())
        # BCC reads the variable when it is loaded.
        os.environ["BCC_KERNEL_SOURCE"] = tree
        bcc = _bcc()
        try:
            module = bcc.BPF(text=text, cflags=flags)
        except Exception as error:  # bcc raises nothing more precise
            raise kernel.KernelError(f"BCC could not compile the kernel side: {error}") from error
    programs, shapes = {}, {}
    for index in range(bcc.lib.bpf_num_functions(module.module)):
        label = bcc.lib.bpf_function_name(module.module, index).decode()
        start = bcc.lib.bpf_function_start(module.module, label.encode())
        code = ctypes.string_at(start, bcc.lib.bpf_function_size(module.module, label.encode()))
        if label.startswith(_SHAPE):
            shapes[label.removeprefix(_SHAPE)] = _shape(code)
        else:
            for _ in holes.find(code):
                pass  # all of them can be filled
            programs[label] = code
    return objects.Compiled(programs, shapes)


def _bcc() -> Any:
    try:
        import bcc
    except ImportError as error:
        raise kernel.KernelError(
            f"BCC is not installed for {sys.executable} ({error}): apt-get install python3-bpfcc"
        ) from error
    if not hasattr(bcc, "BPF"):
        raise kernel.KernelError(
            "the Python package `bcc` found here is not BCC (PyPI's is another one): apt-get install python3-bpfcc"
        )
    return bcc


def _shape(code: bytes) -> objects.Shape:
    """Read the numbers that such a program holds: it moves one after another into a register."""
    told = [number for operation, _, _, number in struct.iter_unpack("<BBhi", code) if operation == 0xB7]
    return objects.Shape(*told[:6])


def compiled(attach: str, reading: str) -> objects.Compiled:
    """Compile the kernel side."""
    return compile_text(source(), cflags(attach, reading, kernel.machine()))


def main(arguments: list[str] | None = None) -> int:
    """Compile everything into a directory, but for what the cache has."""
    parser = argparse.ArgumentParser(prog="python -m snoop_agent.compiler", description=main.__doc__)
    parser.add_argument("directory", type=Path)
    directory = parser.parse_args(arguments).directory
    for attach in _ATTACH:
        for reading in READINGS:
            began = time.monotonic()
            try:
                name = name_of(attach, reading)
                objects.keep(name, objects.read(name) or compiled(attach, reading), directory)
            except (kernel.KernelError, OSError, holes.HoleError) as error:
                print(f"snoop_agent.compiler: {error}", file=sys.stderr)
                return 1
            print(f"{directory / name}: {time.monotonic() - began:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
