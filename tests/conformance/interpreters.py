"""What the kernel opens to run a program, read from the program itself: `#!` lines and ELF interpreters."""

import os
import struct
from dataclasses import dataclass

from tests.conformance.paths import join, physical

_PT_INTERP = 3


@dataclass(frozen=True, slots=True)
class Interpreter:
    """One program that the kernel runs for another."""

    asked: bytes
    """Its name, absolute."""
    target: bytes
    """Where that leads to."""
    script: bool
    """Named by a `#!` line."""


def needed(path: bytes, root: bytes = b"/", cwd: bytes = b"/") -> list[Interpreter]:
    """The chain of interpreters of a program that is there now; empty if it is static, gone or nothing known."""
    found: list[Interpreter] = []
    for _ in range(6):  # BINPRM_MAX_RECURSION in the kernel, and the ELF interpreter
        target = physical(path, root)
        script, name = _interpreter(target)
        if name is None:
            return found
        path = join(name, cwd, root)
        found.append(Interpreter(path, physical(path, root), script))
        if not script:
            return found
    return found


def _interpreter(path: bytes) -> tuple[bool, bytes | None]:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - bytes
            head = file.read(256)
            if head.startswith(b"#!"):
                words = head[2:].split(b"\n", 1)[0].split()
                return True, words[0] if words else None
            if head.startswith(b"\x7fELF\x02"):
                return False, _elf_interpreter(file.fileno(), head)
    except OSError:
        pass
    return False, None


def _elf_interpreter(file: int, head: bytes) -> bytes | None:
    """elf(5): program headers of a 64-bit little-endian file."""
    offset, size, count = struct.unpack_from("<Q", head, 32) + struct.unpack_from("<HH", head, 54)
    for index in range(count):
        header = os.pread(file, size, offset + index * size)
        kind, _, start, _, _, length = struct.unpack_from("<IIQQQQ", header)
        if kind == _PT_INTERP:
            return os.pread(file, length, start).rstrip(b"\0")
    return None
