"""Finds names of an image: below a directory, or by pattern. Built once, for many questions."""

import bisect
import itertools
import math
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from snoop_image.model import Entry, ImageError

_BRACES = re.compile(r"\{([^{}]*)\}")
_PIECES = re.compile(r"\*\*/|\*\*|\*|\?|[^*?]+")
_CHOICES = 4096


class Names:
    """All paths of an image, in order."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._entries = entries
        self._sorted = sorted(entries)

    def below(self, directory: str) -> Iterator[str]:
        """Give every path strictly below a directory."""
        # "0" is the character after "/": what begins with the directory and a slash lies between the two.
        stem = directory.rstrip("/")
        first = bisect.bisect_left(self._sorted, stem + "/")
        last = bisect.bisect_left(self._sorted, stem + "0")
        for at in range(first, last):
            if self._sorted[at] != "/":
                yield self._sorted[at]

    def children(self, directory: str) -> Iterator[str]:
        """Give the paths of a directory's own entries, in time that does not depend on what is below them."""
        inside = directory.rstrip("/") + "/"
        at = bisect.bisect_right(self._sorted, inside)
        while at < len(self._sorted) and (path := self._sorted[at]).startswith(inside):
            slash = path.find("/", len(inside))
            if slash < 0:
                yield path
                at += 1
            else:
                at = bisect.bisect_left(self._sorted, path[:slash] + "0")

    def beginning(self, prefix: str) -> Iterator[str]:
        """Give every path that begins with the text."""
        at = bisect.bisect_left(self._sorted, prefix)
        while at < len(self._sorted) and (path := self._sorted[at]).startswith(prefix):
            yield path
            at += 1

    def matching(self, pattern: str) -> Iterator[str]:
        """Give every path that a pattern matches, once. ImageError: it has too many choices (see `expanded`)."""
        seen: set[str] = set()
        for one in expanded(pattern):
            for path in self._walk("/", one.split("/")[1:]) if one.startswith("/") else self._all(one):
                if path not in seen:
                    seen.add(path)
                    yield path

    def _all(self, pattern: str) -> Iterator[str]:
        match = compiled(pattern).fullmatch
        return (path for path in self._sorted if match(path))

    def _walk(self, directory: str, parts: list[str]) -> Iterator[str]:
        while parts and not ("*" in parts[0] or "?" in parts[0]):
            directory = f"{directory.rstrip('/')}/{parts[0]}"
            parts = parts[1:]
            if directory not in self._entries:
                return
        if not parts:
            yield directory
            return
        inside = directory.rstrip("/") + "/"
        if "**" in parts[0]:
            match = compiled("/".join(parts)).fullmatch
            # Cheap, and as a rule enough to say no.
            tail = f"/{parts[-1]}" if not ("*" in parts[-1] or "?" in parts[-1]) else ""
            yield from (path for path in self.below(directory) if path.endswith(tail) and match(path, len(inside)))
            return
        match = compiled(parts[0]).fullmatch
        for child in self.children(directory):
            if match(child, len(inside)):
                yield from self._walk(child, parts[1:]) if len(parts) > 1 else (child,)


def expanded(pattern: str) -> list[str]:
    """Write out the choices of a path pattern: `{a,b}` stands for one of several, of which one may be empty.

    The rest is as in glob(7), but that `**` stands for any number of directories, `*` and `?` match no slash and a
    leading dot like any other character, and there are no `[…]`. ImageError: there are too many choices.
    """
    pieces = _BRACES.split(pattern)
    choices = [piece.split(",") if at % 2 else [piece] for at, piece in enumerate(pieces)]
    if math.prod(map(len, choices)) > _CHOICES:
        raise ImageError(f"{pattern}: is a pattern of more than {_CHOICES} choices: write several")
    return ["".join(chosen) for chosen in itertools.product(*choices)]


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> re.Pattern[str]:
    """Compile a pattern without choices."""
    return re.compile("".join(_piece(piece) for piece in _PIECES.findall(pattern)), re.DOTALL)


def _piece(piece: str) -> str:
    if piece == "**/":
        return "(?:[^/]+/)*"
    if piece == "**":
        return ".*"
    if piece == "*":
        return "[^/]*"
    if piece == "?":
        return "[^/]"
    return re.escape(piece)
