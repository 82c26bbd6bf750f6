"""Names, times and sizes as people read them."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snoop_cli.formats.table import Column, cells, table
from snoop_cli.output import chunks
from snoop_cli.spelling import duration, moment, printable, shown, size
from snoop_report.paths import decode, unescape


@given(st.binary(min_size=1, max_size=40).filter(lambda raw: b"\0" not in raw))
def test_every_name_is_one_printable_line_and_can_be_read_back(raw: bytes) -> None:
    text = shown(decode(raw))
    assert text.isprintable()
    assert os.fsencode(unescape(text)) == raw


@pytest.mark.parametrize("raw", [b"/a\\x0a\n", b"/\\x5c\x1b", b"/\\\xff", b"/\\x0a"])
def test_a_name_that_looks_spelled_out_already_is_not_taken_for_another(raw: bytes) -> None:
    assert os.fsencode(unescape(shown(decode(raw)))) == raw


@given(st.text(max_size=40))
def test_any_words_are_one_printable_line(text: str) -> None:
    assert printable(text).isprintable()


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1023 * 1024, "1.0 MiB"),
        (200 << 20, "200 MiB"),
        (99 << 30, "99.0 GiB"),
        (5 << 60, "5.0 EiB"),
        (-2048, "-2.0 KiB"),
    ],
)
def test_sizes_are_in_iec_units(count, text) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.6, "1m"), (61, "1m1s"), (3600, "1h"), (3661, "1h1m"), (86400 * 8 + 7, "8d"), (-3, "0s")],
)
def test_time_spans_have_two_units_at_most(seconds, text) -> None:
    assert duration(seconds) == text


def test_a_time_that_is_not_known_is_a_dash() -> None:
    assert (moment(0), moment(1_768_473_000)) == ("-", "2026-01-15 10:30:00Z")


def test_wide_characters_take_two_columns() -> None:
    assert [cells(text) for text in ("abc", "日本", "e\u0301")] == [3, 4, 1]
    lines = list(table([Column("A"), Column("B")], [("日本", "x"), ("abc", "y")]))
    assert lines == ["A      B", "日本   x", "abc    y"]


def test_gathering_pieces_changes_nothing() -> None:
    pieces = [f"/tmp/é{number}\udcff\n" for number in range(20_000)]
    gathered = list(chunks(pieces))
    assert 1 < len(gathered) < 20
    assert b"".join(gathered) == "".join(pieces).encode("utf-8", "surrogateescape")
