"""Whether a run said the same as another one, and what a verdict foretold of it."""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.slimproof.app import App


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended."""

    status: int
    output: str
    """Its standard output; a workload's has its errors as well."""
    said: str = ""
    """The last line of its standard error."""
    memory: int = 0
    """Its peak, in bytes, where it was weighed."""

    @property
    def last(self) -> str:
        """Its last words, or its status if it had none."""
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        return lines[-1] if lines else f"status {self.status}, without a word"


def normal(output: str, pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Give an output's lines with what may differ between two runs replaced."""
    for pattern, instead in pairs:
        output = re.sub(pattern, instead, output)
    return output.splitlines()


def differences(app: App, first: Ran, second: Ran) -> list[str]:
    """Say how the second run differs from the first; nothing if it does not."""
    found = [f"status {second.status} instead of {first.status}"] if first.status != second.status else []
    before, after = (normal(one.output, app.normalise) for one in (first, second))
    compared = difflib.unified_diff(before, after, n=0, lineterm="")
    return found + [line for line in compared if not line.startswith(("---", "+++", "@@"))]


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What `snoop analyze -o json` says, as far as it is told here."""

    files: dict[str, str]
    """The verdict on each path that is no directory."""
    before: tuple[int, int]
    """Files and bytes; a hard-linked file's bytes once."""
    after: tuple[int, int]
    packages: tuple[int, int]
    """Those that nothing was seen of, of so many."""

    @staticmethod
    def of(document: dict[str, Any]) -> "Verdicts":
        """Read them. KeyError: it is no such document."""
        totals = document["totals"].values()
        before = sum(one["files"] for one in totals), sum(one["bytes"] for one in totals)
        unused = document["totals"]["unused"]
        packages = [one["use"] for one in document["packages"]]
        return Verdicts(
            files={one["path"]: one["verdict"] for one in document["files"]},
            before=before,
            after=(before[0] - unused["files"], before[1] - unused["bytes"]),
            packages=(packages.count("unused"), len(packages)),
        )


def lost(first: Verdicts, other: Verdicts) -> list[str]:
    """Give the files that the other workload used and the verdict on the first one calls unused.

    Only what was used counts: what is `needed` or `protected` for the other one's sake was not touched by it.
    """
    return sorted(path for path, verdict in other.files.items() if verdict == "used" and first.files[path] == "unused")


def agrees(without: Sequence[str], differs: Sequence[str]) -> bool:
    """Say whether what happened is what the verdict foretold.

    Nothing lost: it must say the same. Something lost: it may fail, or do without.
    """
    return bool(without) or not differs
