"""What Python distributions require of each other: names, without versions and conditions (PEP 508, PEP 685)."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from snoop_image.packages.deb822 import decode

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]{0,1000})\])?")
_EXTRA = re.compile(r"\bextra\s*==\s*['\"]([^'\"]{1,100})['\"]")
_DASHES = re.compile(r"[-_.]+")


class Requirement(NamedTuple):
    """That a distribution is needed; with its `extras`; and by which extra of this one, if only by one (else empty)."""

    name: str
    extras: tuple[str, ...]
    only: tuple[str, ...]


def normalized(name: str) -> str:
    """Give the name by which distributions are compared (PEP 503)."""
    return _DASHES.sub("-", name).lower()


def parse(fields: Iterable[str], file: bytes) -> list[Requirement]:
    """Read Requires-Dist fields, or where there are none an egg's requires.txt.

    Other conditions, such as the Python version, are passed over: what is not installed is needed in vain.
    """
    found = []
    for value in fields:
        text, _, marker = value.partition(";")
        if match := _REQUIREMENT.match(text):
            found.append(_requirement(match, tuple(map(normalized, _EXTRA.findall(marker)))))
    if found:
        return found
    only: tuple[str, ...] = ()
    for line in decode(file).splitlines():
        if line.startswith("["):
            # [extra], [extra:condition] or [:condition].
            extra = line[1:].partition("]")[0].partition(":")[0].strip()
            only = (normalized(extra),) if extra else ()
        elif match := _REQUIREMENT.match(line):
            found.append(_requirement(match, only))
    return found


def _requirement(match: re.Match[str], only: tuple[str, ...]) -> Requirement:
    extras = tuple(normalized(one.strip()) for one in (match[2] or "").split(",") if one.strip())
    return Requirement(normalized(match[1]), extras, only)


class Extras:
    """What the extras of all distributions need, so that `a[x]` brings that along."""

    def __init__(self) -> None:
        self._needs: dict[tuple[str, str], list[Requirement]] = {}

    def add(self, name: str, requirements: Iterable[Requirement]) -> None:
        """Take what one distribution requires."""
        for one in requirements:
            for extra in one.only:
                self._needs.setdefault((name, extra), []).append(one)

    def needed(self, requirements: Iterable[Requirement]) -> Iterator[str]:
        """Give the names that are needed, those through the extras asked for included."""
        seen: set[tuple[str, str]] = set()
        rest = [one for one in requirements if not one.only]
        # The list grows as it is walked.
        for one in rest:
            yield one.name
            for extra in one.extras:
                if (one.name, extra) not in seen:
                    seen.add((one.name, extra))
                    rest += self._needs.get((one.name, extra), ())
