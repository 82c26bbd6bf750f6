"""Patches between any two documents, and the small ones that matter."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snoop_operator.admission import jsonpatch

_leaf = st.none() | st.booleans() | st.integers(-3, 3) | st.text("a/~0", max_size=3)
_json = st.recursive(
    _leaf,
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(["name", "a", "b/c", "~", ""]), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(_json, _json)
def test_the_patch_between_two_documents_applied_to_the_first_gives_the_second(before: Any, after: Any) -> None:
    assert jsonpatch.same(jsonpatch.apply(before, jsonpatch.diff(before, after)), after)


@given(_json)
def test_nothing_changed_is_an_empty_patch(document: Any) -> None:
    assert jsonpatch.diff(document, document) == []


@given(st.lists(st.integers(0, 5), max_size=6), st.integers(0, 5), st.integers(0, 6))
def test_one_more_item_is_one_operation(items: list[int], item: int, place: int) -> None:
    after = [*items[:place], item, *items[place:]]
    assert [step["op"] for step in jsonpatch.diff(items, after)] == ["add"]


def test_true_is_not_one() -> None:
    assert jsonpatch.diff({"a": True}, {"a": 1}) == [{"op": "replace", "path": "/a", "value": 1}]


def test_keys_with_slashes_and_tildes_are_escaped() -> None:
    assert jsonpatch.diff({"a": {}}, {"a": {"x/y~z": 1}}) == [{"op": "add", "path": "/a/x~1y~0z", "value": 1}]


def test_a_thing_that_moves_is_taken_out_and_put_in() -> None:
    one, two, three = ({"name": name, "image": name} for name in "abc")
    patch = jsonpatch.diff({"c": [one, two, three]}, {"c": [three, one, two]})
    assert patch == [{"op": "remove", "path": "/c/2"}, {"op": "add", "path": "/c/0", "value": three}]


@pytest.mark.parametrize(
    "step",
    [
        {"op": "remove", "path": "/b"},
        {"op": "replace", "path": "/b", "value": 1},
        {"op": "add", "path": "/b/c", "value": 1},
        {"op": "add", "path": "/a/3", "value": 1},
        {"op": "remove", "path": "/a/1"},
        {"op": "add", "path": "/a/x", "value": 1},
    ],
)
def test_a_patch_that_does_not_fit_is_refused(step: dict[str, Any]) -> None:
    with pytest.raises(jsonpatch.PatchError):
        jsonpatch.apply({"a": [0]}, [step])
