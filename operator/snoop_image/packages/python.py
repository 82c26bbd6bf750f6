"""Python distributions, wherever they are installed: what pip and others record of them.

`NAME.dist-info` has METADATA and RECORD (packaging.python.org: recording-installed-packages). `NAME.egg-info` is a file
or a folder of setuptools' and distutils' (setuptools' formats.txt), with `installed-files.txt` if pip wrote it; its
SOURCES.txt tells what was built, not what is installed. Debian leaves RECORD out: what its package has in that folder
counts then. The last resort are the names in top_level.txt, and the distribution's own.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from snoop_image.model import Package, PackageKind
from snoop_image.packages import requirements
from snoop_image.packages.deb822 import decode, paragraphs
from snoop_image.packages.editable import folder_of_editable
from snoop_image.packages.intake import Intake
from snoop_image.packages.requirements import normalized

_METADATA = re.compile(r"(?P<site>.*)/(?:(?P<info>[^/]+\.dist-info)/METADATA|(?P<egg>[^/]+\.egg-info)(?:/PKG-INFO)?)")
_INSIDE_EGG = re.compile(r"(?P<site>.*\.egg)/(?P<info>EGG-INFO)/PKG-INFO")
_SUFFIXES = (
    *(".dist-info/METADATA", ".dist-info/RECORD", ".dist-info/top_level.txt", ".dist-info/direct_url.json"),
    *(".egg-info", ".egg-info/PKG-INFO", ".egg-info/installed-files.txt", ".egg-info/requires.txt"),
    *(".egg-info/top_level.txt", "/EGG-INFO/PKG-INFO", "/EGG-INFO/requires.txt"),
)
_FIELDS = frozenset(("name", "version", "requires-dist"))
# What a module of a name can be, besides a folder.
_MODULE = (".py", ".pyc")
_WORD = re.compile(r"[\w./-]+")


def wanted(path: str) -> bool:
    """Say whether `read` needs the content of the file."""
    return path.endswith(_SUFFIXES)


def read(intake: Intake, owners: Mapping[str, Sequence[int]], installed: Sequence[Package]) -> None:
    """Add each distribution; `owners` tells which of the `installed` packages of the distribution have a file."""
    extras = requirements.Extras()
    packages = _of_one(owners, installed)
    found = []
    for path in sorted(intake.contents):
        match = _METADATA.fullmatch(path) or _INSIDE_EGG.fullmatch(path)
        if match is None:
            continue
        fields = next(paragraphs(intake.contents[path], _FIELDS), [])
        values = dict(fields)
        if "name" not in values:
            intake.note("python", f"{path}: names no distribution")
            continue
        one = _Distribution(intake, match, path, values["name"], packages.get(path))
        needs = [value for key, value in fields if key == "requires-dist"]
        parsed = requirements.parse(needs, intake.contents.get(f"{one.info}/requires.txt", b""))
        extras.add(normalized(one.name), parsed)
        found.append((one, values.get("version", ""), parsed))
    recorded: set[str] = set()
    for one, _, _ in found:
        one.read_record()
        recorded.update(one.files)
    for one, version, parsed in found:
        if not one.told:
            one.guess(recorded)
        intake.add(
            PackageKind.PYTHON,
            one.name,
            version,
            files=tuple(one.files),
            requires=([name] for name in extras.needed(parsed)),
            provides=(normalized(one.name),),
            database=one.path,
        )


def _of_one(owners: Mapping[str, Sequence[int]], installed: Sequence[Package]) -> dict[str, Package]:
    """Give, by path of its metadata, the packages that hold one distribution: their files are all its."""
    found: dict[int, list[str]] = {}
    for path, indexes in owners.items():
        if len(indexes) == 1 and path.endswith(_SUFFIXES) and _METADATA.fullmatch(path):
            found.setdefault(indexes[0], []).append(path)
    return {paths[0]: installed[index] for index, paths in found.items() if len(paths) == 1}


class _Distribution:
    """One distribution and its files."""

    def __init__(
        self,
        intake: Intake,
        match: re.Match[str],
        path: str,
        name: str,
        package: Package | None,
    ) -> None:
        groups = match.groupdict()
        self._intake = intake
        self._site: str = groups["site"]
        self._egg = self._site.endswith(".egg") and groups["info"] == "EGG-INFO"
        self.info = f"{self._site}/{groups['info'] or groups['egg']}"
        self.path = path
        self.name = name
        self._package = package
        self.files: dict[str, None] = {}
        self.told = False
        """Whether something told its files, so that nothing is left to guess."""
        self._recorded = False

    def read_record(self) -> None:
        """Take what the installer recorded, or what holds its files and nothing else."""
        contents = self._intake.contents
        if self._egg:
            self._take(self._intake.below(self._site), told=True)
            return
        self._take([self.path])
        self._take(self._intake.below(self.info))
        if (record := contents.get(f"{self.info}/RECORD")) is not None:
            self._take_recorded(self._placed(self._rows(record), self._site))
        elif (installed := contents.get(f"{self.info}/installed-files.txt")) is not None:
            self._take_recorded(self._placed(decode(installed).splitlines(), self.info))
        elif self._package is not None:
            inside = (path for path in self._package.files if path.startswith(self._site + "/"))
            self._take(inside, told=True)
        folder = folder_of_editable(contents.get(f"{self.info}/direct_url.json", b""))
        if folder:
            self._take_editable(folder)

    def _rows(self, record: bytes) -> Iterator[str]:
        rows = csv.reader(decode(record).splitlines())
        while True:
            try:
                row = next(rows, None)
            except csv.Error as error:
                words = f"{self.info}/RECORD: line {rows.line_num}: {error}: that file has no distribution"
                self._intake.note("RECORD", words)
                continue
            if row is None:
                return
            if row:
                yield row[0]

    def _placed(self, paths: Iterable[str], folder: str) -> Iterator[str]:
        for path in paths:
            own = self._intake.own(path if path.startswith("/") else f"{folder}/{path}")
            if own is not None:
                yield own

    def _take_recorded(self, paths: Iterable[str]) -> None:
        """Take what a record names; one that is cut off, and names nothing but itself, has not told its files."""
        before = len(self.files)
        self._take(paths)
        self._recorded = True
        self.told = len(self.files) > before

    def _take(self, paths: Iterable[str], told: bool = False) -> None:
        self.files.update(dict.fromkeys(paths))
        self.told = self.told or told

    def _take_editable(self, folder: str) -> None:
        real = self._intake.folder(folder) or folder
        modules = [path for site in (real, f"{real}/src") for path in self._modules(site)]
        self._take(modules)
        if not modules:
            self._intake.note(
                "editable", f"{self.path}: is installed from {folder}, where it has no module of its name"
            )

    def guess(self, recorded: set[str]) -> None:
        """Take the modules that bear its names, as far as no other distribution recorded them."""
        modules = [path for path in self._modules(self._site) if path not in recorded]
        self._take(modules)
        # With a record, a distribution may well have no modules.
        if not modules and not self._recorded:
            self._intake.note("no-record", f"{self.path}: nothing tells what files {self.name} has")

    def _modules(self, site: str) -> Iterator[str]:
        names = [line.strip() for line in decode(self._intake.contents.get(f"{self.info}/top_level.txt", b"")).split()]
        # Without the list: the import name is most often the distribution's.
        names = names or [self.name, normalized(self.name).replace("-", "_"), self.name.lower()]
        for name in dict.fromkeys(names):
            if not _WORD.fullmatch(name) or ".." in name:
                continue
            yield from self._intake.below(f"{site}/{name}")
            for suffix in _MODULE:
                yield from self._placed([name + suffix], site)
            yield from self._intake.starting(f"{site}/{name}.", ".so")
