import pytest
from hypothesis import given
from hypothesis import strategies as st

from snoop_agent.keys import Keys


@given(st.lists(st.binary(max_size=6), unique=True, max_size=60), st.binary(max_size=6))
def test_strings_are_found_by_the_number_they_got(strings: list[bytes], other: bytes) -> None:
    keys = Keys()
    assert [keys.add(one) for one in strings] == list(range(len(strings)))
    assert list(keys) == strings
    assert [keys.find(one) for one in strings] == list(range(len(strings)))
    assert keys.find(other) == (strings.index(other) if other in strings else -1)


def test_it_grows_and_loses_nothing() -> None:
    keys = Keys()
    strings = [b"/usr/share/%d/%d" % (number % 7, number) for number in range(20_000)]
    for one in strings:
        assert keys.find(one) == -1
        keys.add(one)
    assert [keys.find(one) for one in strings] == list(range(20_000))
    assert keys[19_999] == strings[-1]
    with pytest.raises(IndexError):
        keys[20_000]


def test_one_that_ends_like_another_is_another() -> None:
    keys = Keys()
    keys.add(b"/a/b")
    assert keys.find(b"/b") == -1
    assert keys.find(b"") == -1
    assert keys.add(b"") == 1
    assert keys.find(b"") == 1
