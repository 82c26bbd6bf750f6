"""Holes are filled where they are meant to be, and nowhere else."""

import struct

import pytest

from snoop_agent import holes

INSTRUCTION = struct.Struct("<BBhi")
ADD, SUBTRACT, MOVE, AND, LOAD, LOAD_WIDE, CALL, EXIT = 0x07, 0x17, 0xB7, 0x57, 0x79, 0x18, 0x85, 0x95
NAMES = ["OFF_one", "OFF_two"]
NUMBERS = holes.numbers(NAMES)
ONE, TWO = NUMBERS["OFF_one"], NUMBERS["OFF_two"]
MAP = holes.MAPS + 3 * holes.STEP


def code(*instructions: tuple[int, int, int, int]) -> bytes:
    return b"".join(INSTRUCTION.pack(*one) for one in instructions)


@pytest.mark.parametrize("operation", [ADD, SUBTRACT, MOVE, AND])
def test_a_value_takes_the_place_of_its_number(operation: int) -> None:
    text = code((operation, 3, 0, ONE), (MOVE, 0, 0, 7), (operation, 5, 0, TWO), (EXIT, 0, 0, 0))

    assert list(holes.find(text)) == [(0, ONE), (16, TWO)]
    filled = holes.fill(text, {ONE: 184, TWO: 0}, {})
    assert filled == code((operation, 3, 0, 184), (MOVE, 0, 0, 7), (operation, 5, 0, 0), (EXIT, 0, 0, 0))


def test_a_function_of_the_kernels_is_called_by_its_number() -> None:
    text = code((CALL, 0, 0, ONE), (CALL, 0, 0, 113))

    assert holes.fill(text, {ONE: 71234}, {}) == code((CALL, 0x20, 0, 71234), (CALL, 0, 0, 113))


def test_a_map_is_named_by_its_descriptor() -> None:
    text = code((LOAD_WIDE, 1, 0, MAP), (0, 0, 0, 0))

    assert holes.fill(text, {}, {MAP: 9}) == code((LOAD_WIDE, 0x11, 0, 9), (0, 0, 0, 0))


def test_what_a_kernel_lacks_becomes_what_no_verifier_lets_pass() -> None:
    text = code((ADD, 3, 0, ONE), (EXIT, 0, 0, 0))

    # r1 = *(u64 *)(r10 + 8)
    assert holes.fill(text, {ONE: None}, {}) == code((LOAD, 0xA1, 8, 0), (EXIT, 0, 0, 0))


@pytest.mark.parametrize(
    "instruction",
    [
        (ADD, 1, 0, ONE + 8),  # summed up by the compiler
        (ADD, 1, 0, ONE - 8),
        (ADD, 1, 0, -ONE),
        (MOVE, 1, 0, 8 - TWO),
        (0x67, 1, 0, ONE),  # shifted by
        (0x04, 1, 0, ONE),  # 32 bits
        (0x15, 1, 0, ONE),  # compared with
        (ADD, 1, 0, MAP),
        (LOAD_WIDE, 1, 0, ONE),
    ],
)
def test_a_hole_that_the_compiler_has_calculated_with_is_found_out(instruction: tuple[int, int, int, int]) -> None:
    with pytest.raises(holes.HoleError, match="the compiler calculated with a hole"):
        list(holes.find(code((EXIT, 0, 0, 0), instruction)))


def test_the_header_tells_each_number_once() -> None:
    lines = holes.header(["OFF_one"], ["OFF_two"]).splitlines()

    assert f"#define OFF_one {ONE:#x}" in lines
    assert f'#define OFF_two "{TWO:#x}"' in lines
    assert f"#define HOLES_OF_MAPS {holes.MAPS:#x}" in lines
    assert len(set(NUMBERS.values())) == 2
