"""Declarations that make no sense are refused with the place."""

from pathlib import Path

import pytest
from tests.slimproof.app import AppError, load


def test_all_that_are_declared_can_be_read_and_two_are_core() -> None:
    apps = load()
    assert len(apps) >= 10
    assert sum(one.core for one in apps) == 2
    assert all(one.others for one in apps)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[app]", "a.toml: "),
        ("[app]\n", "a.toml: "),
        ("[[app]]\nabout = 'x'\nrun = 'x'", "a.toml: an app without a name: without name"),
        ("[[app]]\nname = 'b'\nabout = 'x'", "a.toml: b: without run"),
        ("[[app]]\nname = '../b'\nabout = 'x'\nrun = 'x'", "a.toml: ../b: a name is of"),
        ("[[app]]\nname = 'b'\nabout = 'x'\nrun = 'x'\nother = [{name = 'c'}]", "a.toml: b: other: without about, run"),
        ("[[app]]\nname = 'b'\nabout = 'x'\nrun = 'x'\nnormalise = [['(', '']]", "a.toml: b: (: "),
        ("[[app]]\nname = 'b'\nabout = 'x'\nrun = 'x'\nexpect = 1", "a.toml: b: unknown: expect"),
        ("[[app]]\nname = 'b'\nabout = 'x'\nrun = 'x'\n" * 2, "b: declared twice"),
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(AppError) as refused:
        load(tmp_path)
    assert str(refused.value).startswith(words)
