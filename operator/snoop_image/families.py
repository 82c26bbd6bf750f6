"""Files of which a library or program loads one or another by name, as data, configuration or the processor say.

A workload that was recorded may have met one of them only: the next one meets another. The tables are
`families_system` and `families_applications`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from snoop_image.names import compiled, expanded


@dataclass(frozen=True, slots=True)
class Family:
    """What brings a family in, and what it consists of."""

    name: str
    trigger: tuple[str, ...]
    """Patterns (`names.expanded`): of a last component, or of a whole path if they begin with a slash."""
    members: tuple[str, ...]
    """Patterns of whole paths. $0, $1, $2 … stand for the trigger's directory, that one's directory, and so on."""
    words: str
    """Who loads which when; ends a sentence that begins with a path."""
    without: tuple[str, ...] = ()
    """Triggers, of those that match, that bring nothing in."""


_UP = re.compile(r"\$([0-9])")
LIBRARIES = "{/usr,}/{lib,lib64,lib32,lib/*-linux-*}"


class Families:
    """Finds the families that files bring in."""

    def __init__(self, table: tuple[Family, ...]) -> None:
        self._table = [(family, _any(family.trigger), _any(family.without)) for family in table]
        # Most files are no trigger at all: one look tells.
        self._some = re.compile("|".join(f"(?:{trigger.pattern})" for _, trigger, _ in self._table), re.DOTALL)

    def of(self, path: str) -> Iterator[tuple[Family, Iterator[str]]]:
        """Give each family that a path brings in, with the patterns of its members."""
        if not self._some.fullmatch(path):
            return
        for family, trigger, without in self._table:
            if trigger.fullmatch(path) and not (family.without and without.fullmatch(path)):
                yield family, _members(family, path)


def _any(patterns: tuple[str, ...]) -> re.Pattern[str]:
    whole = (pattern if pattern.startswith("/") else f"/**/{pattern}" for pattern in patterns)
    written = (compiled(one).pattern for pattern in whole for one in expanded(pattern))
    return re.compile("|".join(f"(?:{one})" for one in written) or "(?!)", re.DOTALL)


def _members(family: Family, path: str) -> Iterator[str]:
    parts = path.split("/")
    for member in family.members:
        above = [parts[: -1 - int(number)] for number in _UP.findall(member)]
        # A directory above the root is none, and what a path spells is no pattern.
        if all(len(directory) > 1 for directory in above) and not (above and any(one in path for one in "*?{")):
            yield _UP.sub(lambda match: "/".join(parts[: -1 - int(match.group(1))]), member)
