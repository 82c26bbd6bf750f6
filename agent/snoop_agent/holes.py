"""Holes in compiled programs: numbers that stand for what is known only when they are loaded (bpf/kernel.h).

A hole is the immediate operand of an instruction that bpf/kernel.h or maps.h spells out. Its number says which one, and
is far from the next, so that a sum with one is found out rather than mistaken for another.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence

FIRST, MAPS, STEP = 0x5A000000, 0x5A800000, 0x100
_LAST = 0x5AFFFFFF
_ADD, _SUBTRACT, _MOVE, _AND, _LOAD_WIDE, _CALL = 0x07, 0x17, 0xB7, 0x57, 0x18, 0x85
_MAP_DESCRIPTOR, _KERNEL_FUNCTION = 1, 2
"""BPF_PSEUDO_MAP_FD and BPF_PSEUDO_KFUNC_CALL, in the place of the source register."""
_INSTRUCTION = struct.Struct("<BBhi")
SIZE = _INSTRUCTION.size


class HoleError(Exception):
    """A hole where none can be filled: the program was not written as bpf/kernel.h asks."""


def header(plain: Sequence[str], names: Sequence[str]) -> str:
    """Write snoop_holes.h: the number of each hole, by name, and how those of maps are numbered.

    Programs get theirs (`names`) as text for the assembler: with a text nobody calculates. `plain` are those that stand
    where nobody does, in maps' shapes and in calls.
    """
    lines = ["#pragma once", f"#define HOLES_OF_MAPS {MAPS:#x}", f"#define HOLE_STEP {STEP:#x}"]
    for name, number in numbers([*plain, *names]).items():
        lines.append(f"#define {name} {number:#x}" if name in plain else f'#define {name} "{number:#x}"')
    return "\n".join([*lines, ""])


def numbers(names: Sequence[str]) -> dict[str, int]:
    """Give each hole a number."""
    return {name: FIRST + index * STEP for index, name in enumerate(names)}


def find(code: bytes) -> Iterator[tuple[int, int]]:
    """List where `code` has holes: the instruction's offset in bytes, and the hole's number. HoleError if it cannot."""
    for at in range(0, len(code), SIZE):
        operation, _, _, number = _INSTRUCTION.unpack_from(code, at)
        # A number taken from one, or its negative, is as telling.
        if not any(FIRST - STEP <= one <= _LAST for one in (number, -number)):
            continue
        plain = operation in (_ADD, _SUBTRACT, _MOVE, _AND, _CALL) and number < MAPS
        if number < FIRST or number % STEP or not (plain or (operation == _LOAD_WIDE and number >= MAPS)):
            raise HoleError(f"the compiler calculated with a hole ({number:#x}, instruction {at // SIZE})")
        yield at, number


def fill(code: bytes, values: Mapping[int, int | None], maps: Mapping[int, int]) -> bytes:
    """Put values (by number) and maps' descriptors in.

    What is None must never be reached: there is an instruction then that no verifier lets pass.
    """
    filled = bytearray(code)
    for at, number in find(code):
        operation, registers, _, _ = _INSTRUCTION.unpack_from(code, at)
        if number >= MAPS:
            _INSTRUCTION.pack_into(filled, at, operation, registers & 0x0F | _MAP_DESCRIPTOR << 4, 0, maps[number])
            continue
        value = values[number]
        if value is None:
            _INSTRUCTION.pack_into(filled, at, *_NEVER)
        elif operation == _CALL:
            _INSTRUCTION.pack_into(filled, at, operation, _KERNEL_FUNCTION << 4, 0, value)
        else:
            _INSTRUCTION.pack_into(filled, at, operation, registers, 0, value)
    return bytes(filled)


_NEVER = (0x79, 0xA1, 8, 0)
"""r1 = *(u64 *)(r10 + 8): beyond the stack."""
