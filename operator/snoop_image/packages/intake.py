"""Where the readers of package databases put what they find, within the bounds that hold for one image."""

import bisect
import re
from collections.abc import Iterable, Iterator, Mapping

from snoop_image.links import Directories, resolve
from snoop_image.model import Entry, FileType, Package, PackageKind

# Far above any real image: Debian has 70,000 packages in all, and each names some ten others.
_PACKAGES = 200_000
_NAMES = 4_000_000
_NOTES = 100
# Paths that are walked through, in folders that packages claim: each of 2,000,000 some ten times.
_WALKED = 20_000_000
# What names and versions of all five kinds are made of, and no more: they are printed.
_PLAIN = re.compile(r"[!-~]{1,300}")
_NAME = re.compile(r"(?!/)[!-~]{0,299}[!-.0-~]")


class DatabaseError(Exception):
    """A package database or a part of it cannot be understood; the message is one line and says why."""


def is_name(text: str) -> bool:
    """Whether something can be a package's name."""
    return _NAME.fullmatch(text) is not None and any(map(str.isalnum, text))


class Intake:
    """What the image holds, for readers to ask, and what they found."""

    def __init__(self, contents: Mapping[str, bytes], entries: Mapping[str, Entry]) -> None:
        self.contents = contents
        self.entries = entries
        self.packages: list[Package] = []
        self.notes: list[str] = []
        self._directories = Directories(entries)
        self._names: dict[str, str] = {}
        self._named = 0
        self._walked = 0
        self._noted: dict[str, int] = {}
        self._sorted: list[str] = []

    def note(self, kind: str, words: str) -> None:
        """Add a note; of one kind a hundred are kept, the others counted by `finish`."""
        count = self._noted[kind] = self._noted.get(kind, 0) + 1
        if count <= _NOTES:
            # One line, whatever a path holds.
            self.notes.append("".join(one if one.isprintable() else ascii(one)[1:-1] for one in words))

    def finish(self) -> tuple[list[Package], list[str]]:
        """Give packages and notes."""
        for kind, count in self._noted.items():
            if count > _NOTES:
                self.notes.append(f"{kind}: {count - _NOTES} more like these")
        return self.packages, self.notes

    def own(self, path: str) -> str | None:
        """Give the path by which the image holds the file or link that a database calls `path`; None if it does not."""
        own = self._directories.own(path)
        if own is None:
            return None
        entry = self.entries[own]
        # The entry's string, not a second one: there may be 200,000.
        return None if entry.type is FileType.DIRECTORY else entry.path

    def folder(self, path: str) -> str | None:
        """Give the path by which the image holds the directory that a database calls `path`; None if it does not."""
        found = resolve(self.entries, path)
        return found.path if found.entry is not None and found.entry.type is FileType.DIRECTORY else None

    def place(self, paths: Iterable[str]) -> tuple[str, ...]:
        """Give those of a package's paths that are there, each once; directories are left out."""
        return tuple(dict.fromkeys(own for path in paths if (own := self.own(path)) is not None))

    def leads_to_directory(self, path: str) -> bool:
        """Whether the own path `path` is a symlink to a directory."""
        if self.entries[path].type is not FileType.SYMLINK:
            return False
        found = resolve(self.entries, path).entry
        return found is not None and found.type is FileType.DIRECTORY

    def below(self, folder: str) -> Iterator[str]:
        """Give the paths of all files and links below a folder, in order."""
        return self._beginning(folder.rstrip("/") + "/")

    def starting(self, prefix: str, suffix: str) -> Iterator[str]:
        """Give the paths of files and links that begin with the path `prefix` and end so, in the same folder."""
        for path in self._beginning(prefix):
            if path.endswith(suffix) and "/" not in path[len(prefix) :]:
                yield path

    def _beginning(self, prefix: str) -> Iterator[str]:
        if not self._sorted:
            self._sorted = sorted(self.entries)
        for at in range(bisect.bisect_left(self._sorted, prefix), len(self._sorted)):
            path = self._sorted[at]
            if not path.startswith(prefix):
                return
            self._walked += 1
            if self._walked > _WALKED:
                self.note("folders", f"{prefix}: so many packages claim folders that some of their files are left out")
                return
            entry = self.entries[path]
            if entry.type is not FileType.DIRECTORY:
                yield entry.path

    def groups(self, groups: Iterable[Iterable[str]], where: str) -> tuple[tuple[str, ...], ...]:
        """Give requirements as a package keeps them: each once, equal names stored once."""
        kept: dict[tuple[str, ...], None] = {}
        for group in groups:
            if names := self.names(group, where):
                kept[names] = None
            elif self._named >= _NAMES:
                break
        return tuple(kept)

    def names(self, names: Iterable[str], where: str) -> tuple[str, ...]:
        """Give names of packages as a package keeps them: each once, equal ones stored once."""
        kept: dict[str, None] = {}
        for name in names:
            if self._named >= _NAMES:
                self.note(
                    "relations", f"{where}: names more packages than snoop keeps: some of what it needs is missing"
                )
                break
            if _PLAIN.fullmatch(name):
                self._named += 1
                kept[self._names.setdefault(name, name)] = None
        return tuple(kept)

    def add(
        self,
        kind: PackageKind,
        name: str,
        version: str,
        *,
        database: str,
        architecture: str = "",
        source: str = "",
        files: tuple[str, ...] = (),
        configuration: tuple[str, ...] = (),
        essential: bool = False,
        requires: Iterable[Iterable[str]] = (),
        provides: Iterable[str] = (),
    ) -> None:
        """Add a package, or say why it is none."""
        if not is_name(name):
            self.note("name", f"{database}: a package's name is none: {name[:40]!a}")
            return
        if len(self.packages) >= _PACKAGES:
            self.note("packages", f"{database}: holds more packages than snoop keeps: {name} was left out")
            return
        if not _PLAIN.fullmatch(version):
            if version:
                self.note("version", f"{database}: the version of {name} is none: {version[:40]!a}")
            version = ""
        self.packages.append(
            Package(
                kind,
                name,
                version,
                architecture=architecture if _PLAIN.fullmatch(architecture) else "",
                source=source if source != name and _PLAIN.fullmatch(source) else "",
                files=files,
                configuration=configuration,
                essential=essential,
                requires=self.groups(requires, f"{database}: {name}"),
                provides=self.names((one for one in provides if one != name), f"{database}: {name}"),
                database=database,
            )
        )
