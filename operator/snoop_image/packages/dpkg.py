"""Debian packages: dpkg's database (dpkg(1), dpkg-query(1), deb822(5)), and distroless images' pieces of one.

`status` has a paragraph for each package; `info/PACKAGE[:ARCHITECTURE].list` its paths, `diversions` where dpkg put
those that were moved aside (dpkg-divert(1)). Distroless images have one paragraph in each `status.d/NAME`, and beside
it `NAME.md5sums` (deb-md5sums(5)), which names neither links nor configuration files.
"""

import io
import re
from collections.abc import Iterator, Mapping

from snoop_image.model import FileType, PackageKind
from snoop_image.packages.deb822 import decode, paragraphs
from snoop_image.packages.intake import Intake

_HOME = "/var/lib/dpkg/"
_STATUS = _HOME + "status"
_PIECES = _HOME + "status.d/"
_INFO = _HOME + "info/"
_DIVERSIONS = _HOME + "diversions"
_SUMS = ".md5sums"
_FIELDS = frozenset(
    (
        *("package", "status", "version", "architecture", "source", "multi-arch", "essential", "protected"),
        *("important", "depends", "pre-depends", "provides", "conffiles"),
    )
)
# deb-control(5); versions and architectures after it are left out.
_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9+._-]*)")
# States in which nothing of the package but configuration is there (dpkg(1), "Package states").
_GONE = ("not-installed", "config-files")


def wanted(path: str) -> bool:
    """Say whether `read` needs the content of the file."""
    if not path.startswith(_HOME):
        return False
    return (
        path in (_STATUS, _DIVERSIONS)
        or path.startswith(_PIECES)
        or (path.startswith(_INFO) and path.endswith((".list", _SUMS)))
    )


def read(intake: Intake) -> None:
    """Add the packages of `status` and of `status.d`."""
    reader = _Reader(intake)
    if (content := intake.contents.get(_STATUS)) is not None:
        for fields in paragraphs(content, _FIELDS):
            reader.package(dict(fields), _STATUS, None)
    for path in sorted(path for path in intake.contents if path.startswith(_PIECES) and not path.endswith(_SUMS)):
        pieces = [dict(fields) for fields in paragraphs(intake.contents[path], _FIELDS)]
        for fields_of_one in pieces:
            sums = intake.contents.get(path + _SUMS) if len(pieces) == 1 else None
            reader.package(fields_of_one, path, sums if sums is not None else b"")
        if not pieces:
            intake.note("status.d", f"{path}: names no package")
    reader.finish()


class _Reader:
    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._diverted = _diversions(intake)
        self._drafts: list[tuple[dict[str, str], str, dict[str, None]]] = []
        # Names of directories that anything lies in, as the lists write them.
        self._parents: set[str] = set()
        # Own paths of links to directories, and the names by which lists gave them.
        self._links: dict[str, set[str]] = {}
        self._no_list: list[str] = []
        self._lists: set[str] = set()
        # What a link in the same folder leads to, and the links.
        self._beside: dict[str, list[str]] = {}

    def package(self, fields: Mapping[str, str], database: str, sums: bytes | None) -> None:
        """Take one paragraph; `sums` is what tells of its files, None: `info` does."""
        name = fields.get("package", "")
        if not name:
            self._intake.note("dpkg", f"{database}: a paragraph names no package")
            return
        gone = fields.get("status", "").split(" ")[-1] in _GONE
        paths = self._listed(name, fields) if sums is None else _summed(sums)
        if paths is None:
            if not gone:
                self._no_list.append(name)
            paths = iter(())
        files = dict.fromkeys(self._own(name, paths))
        if gone:
            if files:
                words = f"{database}: {name} was removed, {len(files)} of its files were left: they have no package"
                self._intake.note("removed", words)
            return
        if sums is not None:
            self._add_links(files)
        self._drafts.append((dict(fields), database, files))

    def _listed(self, name: str, fields: Mapping[str, str]) -> Iterator[str] | None:
        # Only packages of which several architectures can be there have it in the name (Multi-Arch: same).
        for stem in (f"{name}:{fields.get('architecture', '')}", name):
            path = f"{_INFO}{stem}.list"
            if (content := self._intake.contents.get(path)) is not None:
                self._lists.add(path)
                return (decode(line.rstrip(b"\n")) for line in io.BytesIO(content))
        for stem in (f"{name}:{fields.get('architecture', '')}", name):
            if (content := self._intake.contents.get(f"{_INFO}{stem}{_SUMS}")) is not None:
                return _summed(content)
        return None

    def _own(self, name: str, paths: Iterator[str]) -> Iterator[str]:
        for path in paths:
            self._parents.add(path[: path.rfind("/")])
            aside = self._diverted.get(path)
            if aside is not None and aside[1] != name:
                path = aside[0]
            own = self._intake.own(path)
            if own is None:
                continue
            if self._intake.leads_to_directory(own):
                self._links.setdefault(own, set()).add(path)
            yield own

    def _add_links(self, files: dict[str, None]) -> None:
        """Add links that stand beside what they lead to (libz.so.1): md5sums does not name them."""
        if not self._beside:
            for path, entry in self._intake.entries.items():
                if entry.type is FileType.SYMLINK and "/" not in entry.target:
                    target = path[: path.rfind("/") + 1] + entry.target
                    self._beside.setdefault(target, []).append(entry.path)
        rest = list(files)
        # A link may lead to a link: libz.so → libz.so.1 → libz.so.1.2.
        while rest:
            for path in self._beside.get(rest.pop(), ()):
                if path not in files:
                    files[path] = None
                    rest.append(path)

    def finish(self) -> None:
        """Add the packages."""
        # The package had a directory there, and the image a link to one (/lib): all packages name it, none brought it.
        directories = {own for own, listed in self._links.items() if not listed.isdisjoint(self._parents)}
        for fields, database, files in self._drafts:
            configuration = dict.fromkeys(self._configuration(fields))
            self._intake.add(
                PackageKind.DEB,
                fields["package"],
                fields.get("version", ""),
                architecture=fields.get("architecture", ""),
                source=fields.get("source", "").split(" ")[0],
                # Configuration that a later version gave up is still its own, though no list has it.
                files=tuple(own for own in files | configuration if own not in directories),
                configuration=tuple(configuration),
                essential=any(fields.get(key) == "yes" for key in ("essential", "protected", "important")),
                requires=relations(fields.get("pre-depends", "") + "," + fields.get("depends", "")),
                provides=(name for group in relations(fields.get("provides", "")) for name in group),
                database=database,
            )
        if self._no_list:
            words = f"{_INFO}: has no list of the files of {len(self._no_list)} packages: {_some(self._no_list)}"
            self._intake.note("lists", words)
        lists = {path for path in self._intake.contents if path.startswith(_INFO) and path.endswith(".list")}
        if unknown := sorted(lists - self._lists):
            names = [path[len(_INFO) : -len(".list")] for path in unknown]
            words = f"{_INFO}: has lists of {len(names)} packages that {_STATUS} does not name: {_some(names)}"
            self._intake.note("lists", words)

    def _configuration(self, fields: Mapping[str, str]) -> Iterator[str]:
        paths = []
        for line in fields.get("conffiles", "").splitlines():
            words = line.strip().split(" ")
            while words and words[-1] in ("obsolete", "remove-on-upgrade"):
                words.pop()
            # The last one is its MD5 sum; a path may have blanks.
            paths.append(" ".join(words[:-1]))
        return self._own(fields["package"], (path for path in paths if path.startswith("/")))


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")


def relations(text: str) -> Iterator[list[str]]:
    """Give the groups of a relationship field (deb-control(5)): of each one name is enough."""
    for group in text.split(","):
        names = [found.group(1) for one in group.split("|") if (found := _NAME.match(one))]
        if names:
            yield names


def _summed(content: bytes) -> Iterator[str]:
    for line in io.BytesIO(content):
        # The sum, two blanks, the path without its first slash.
        _, blank, path = decode(line.rstrip(b"\n")).partition(" ")
        if blank and path.strip():
            yield "/" + path[1:].removeprefix("./").lstrip("/")


def _diversions(intake: Intake) -> dict[str, tuple[str, str]]:
    """Give, for a path, where it was moved and the package that may have it all the same (`:`: none)."""
    lines = decode(intake.contents.get(_DIVERSIONS, b"")).split("\n")
    return {lines[at]: (lines[at + 1], lines[at + 2]) for at in range(0, len(lines) - 2, 3)}
