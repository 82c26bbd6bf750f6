"""A file system in memory: the names, and what was read of their content. A layer is one, and all below it is one."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from snoop_image.model import Elf, Entry


@dataclass(slots=True)
class Tree:
    """Names by path, with what is known of the content of some of them."""

    entries: dict[str, Entry] = field(default_factory=dict)
    elf: dict[str, Elf] = field(default_factory=dict)
    scripts: dict[str, str] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    """Of all files that the packages or the closure want."""

    def drop(self, path: str) -> None:
        """Remove one name and what is known of it."""
        self.entries.pop(path, None)
        self.elf.pop(path, None)
        self.scripts.pop(path, None)
        self.contents.pop(path, None)

    def copy(self, path: str, source: "Tree", name: str) -> None:
        """Let `path` have what is known of the content of `name` in `source`: a hard link."""
        if (elf := source.elf.get(name)) is not None:
            self.elf[path] = elf
        if (script := source.scripts.get(name)) is not None:
            self.scripts[path] = script
        if (content := source.contents.get(name)) is not None:
            self.contents[path] = content

    def below(self, directories: set[str]) -> list[str]:
        """Give the names strictly below any of the directories, in one pass over all names."""
        inside: dict[str, bool] = {"": False, "/": "/" in directories}

        def within(directory: str) -> bool:
            # Iterative: a hostile path has thousands of components.
            climbed = []
            while (known := inside.get(directory)) is None:
                climbed.append(directory)
                if directory in directories:
                    known = True
                    break
                directory = parent(directory)
            for one in climbed:
                inside[one] = known
            return known

        return [path for path in self.entries if path != "/" and within(parent(path))]

    def finish(self) -> None:
        """Sort by path, and number the hard links: what is left with one name is none."""
        names: dict[int, int] = {}
        for entry in self.entries.values():
            if entry.link:
                names[entry.link] = names.get(entry.link, 0) + 1
        numbers: dict[int, int] = {0: 0}
        ordered: dict[str, Entry] = {}
        for path in sorted(self.entries):
            entry = self.entries[path]
            if entry.link:
                number = numbers.setdefault(entry.link, len(numbers)) if names[entry.link] > 1 else 0
                if number != entry.link:
                    entry = replace(entry, link=number)
            ordered[path] = entry
        self.entries = ordered


def parent(path: str) -> str:
    """Give the directory of a path other than `/`."""
    return path[: path.rfind("/")] or "/"


def ancestors(path: str) -> Iterator[str]:
    """Give the directories above a path, `/` first."""
    yield "/"
    at = path.find("/", 1)
    while at > 0:
        yield path[:at]
        at = path.find("/", at + 1)
