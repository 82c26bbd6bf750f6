"""JSON Patch (RFC 6902) between two JSON documents: made, and applied to prove it right. Pure; no I/O.

Small on purpose: only add, remove and replace, which every implementation agrees about.
"""

import copy
import difflib
import json
from typing import Any

Operation = dict[str, Any]


class PatchError(ValueError):
    """A patch that does not apply."""


def diff(before: Any, after: Any) -> list[Operation]:
    """Make the patch that turns `before` into `after`; the values in it are shared with `after`."""
    found: list[Operation] = []
    _diff(before, after, "", found)
    return found


def apply(document: Any, patch: list[Operation]) -> Any:
    """Apply a patch to a copy of `document`. PatchError if it does not apply."""
    root: Any = {"": copy.deepcopy(document)}
    for operation in patch:
        path = operation["path"]
        keys = ["", *(_unescape(part) for part in path.split("/")[1:])]
        try:
            parent = root
            for key in keys[:-1]:
                parent = parent[int(key)] if isinstance(parent, list) else parent[key]
            _act(operation, parent, keys[-1])
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise PatchError(f"{operation['op']} {path} does not apply: {error!r}") from error
    return root[""]


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal, where true is not 1 (as it is in Python)."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)


def _diff(before: Any, after: Any, path: str, found: list[Operation]) -> None:
    if same(before, after):
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before:
            if key not in after:
                found.append({"op": "remove", "path": f"{path}/{_escape(key)}"})
        for key, value in after.items():
            place = f"{path}/{_escape(key)}"
            if key not in before:
                found.append({"op": "add", "path": place, "value": value})
            else:
                _diff(before[key], value, place, found)
    elif isinstance(before, list) and isinstance(after, list):
        _diff_lists(before, after, path, found)
    else:
        found.append({"op": "replace", "path": path, "value": after})


def _diff_lists(before: list[Any], after: list[Any], path: str, found: list[Operation]) -> None:
    """Leave what both have in the same order; compare, take out or put in the rest, from the end on.

    From the end, so that no index shifts under the next.
    """
    head = _common(before, after)
    tail = _common(before[head:][::-1], after[head:][::-1])
    old_texts, new_texts = (
        [json.dumps(one, sort_keys=True) for one in every[head : len(every) - tail]] for every in (before, after)
    )
    steps = difflib.SequenceMatcher(None, old_texts, new_texts, autojunk=False).get_opcodes()
    for tag, start, end, first, last in reversed(steps):
        start, end = start + head, end + head
        old, new = before[start:end], after[first + head : last + head]
        if tag == "equal":
            continue
        if [_name(one) for one in old] == [_name(one) for one in new]:
            for index, (one, other) in enumerate(zip(old, new, strict=True), start):
                _diff(one, other, f"{path}/{index}", found)
            continue
        found.extend({"op": "remove", "path": f"{path}/{index}"} for index in reversed(range(start, end)))
        found.extend({"op": "add", "path": f"{path}/{index}", "value": value} for index, value in enumerate(new, start))


def _common(one: list[Any], other: list[Any]) -> int:
    """Count the items with which both begin."""
    return next(
        (at for at, pair in enumerate(zip(one, other, strict=False)) if not same(*pair)), min(len(one), len(other))
    )


def _name(item: Any) -> Any:
    """Tell what makes two items of a list the same thing in Kubernetes, if they are things."""
    return item.get("name") if isinstance(item, dict) else None


def _act(operation: Operation, parent: Any, key: str) -> None:
    kind = operation["op"]
    if isinstance(parent, list):
        index = len(parent) if key == "-" else int(key)
        if not 0 <= index <= len(parent) - (kind != "add"):
            raise IndexError(index)
        if kind == "add":
            parent.insert(index, copy.deepcopy(operation["value"]))
        elif kind == "remove":
            del parent[index]
        else:
            parent[index] = copy.deepcopy(operation["value"])
        return
    if not isinstance(parent, dict):
        raise TypeError(type(parent).__name__)
    if kind != "add" and key not in parent:
        raise KeyError(key)
    if kind == "remove":
        del parent[key]
    else:
        parent[key] = copy.deepcopy(operation["value"])


def _escape(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _unescape(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")
