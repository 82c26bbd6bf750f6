"""Images for tests: from a folder on disk, or from paths and what lies there."""

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from snoop_image.model import Entry, FileType, Package
from snoop_image.packages import Dependencies, distribution, ownership, purl, read_packages, wanted


@dataclass
class Image:
    contents: dict[str, bytes]
    entries: dict[str, Entry]

    def read(self) -> tuple[list[Package], list[str]]:
        return read_packages(self.contents, self.entries)

    def packages(self) -> dict[str, Package]:
        """Its packages by name, when there is nothing to note."""
        packages, notes = self.read()
        assert notes == []
        named = {one.name: one for one in packages}
        assert len(named) == len(packages)
        return named


@dataclass
class Link:
    target: str


def of_files(files: Mapping[str, bytes | str | Link]) -> Image:
    """Text is a file's content, a path that ends in a slash a directory."""
    contents: dict[str, bytes] = {}
    entries: dict[str, Entry] = {}
    for path, what in files.items():
        _parents(entries, path)
        if path.endswith("/"):
            entries[path[:-1]] = Entry(path[:-1], FileType.DIRECTORY, 0o755)
        elif isinstance(what, Link):
            entries[path] = Entry(path, FileType.SYMLINK, 0o777, target=what.target)
        else:
            content = what.encode() if isinstance(what, str) else what
            entries[path] = Entry(path, FileType.FILE, 0o644, size=len(content))
            if wanted(path):
                contents[path] = content
    return Image(contents, entries)


def of_folder(root: Path, inside: str = "/") -> Image:
    """What lies below `root`/`inside`, by its path below `root`."""
    paths = []
    for folder, folders, names in os.walk(f"{root}{inside}"):
        paths += [f"{folder.rstrip('/')}/{name}"[len(str(root).rstrip("/")) :] for name in folders + names]
    return of_paths(root, paths)


def of_paths(root: Path, paths: Iterable[str]) -> Image:
    """Those of the paths that are there, with the directories above them."""
    image = Image({}, {"/": Entry("/", FileType.DIRECTORY, 0o755)})
    rest = list(dict.fromkeys(paths))
    while rest:
        path = os.path.normpath(rest.pop())
        if path in image.entries:
            continue
        folder = path[: path.rfind("/")] or "/"
        file = Path(f"{root}{path}")
        real = os.path.normpath(os.path.realpath(file.parent))
        own = f"{real}/{file.name}"[len(str(root).rstrip("/")) :] if real != "/" else f"/{file.name}"
        try:
            found = file.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        if own != path:
            rest += [own, folder]
            continue
        rest.append(folder)
        kind, target, size = FileType.FILE, "", 0
        if stat.S_ISLNK(found.st_mode):
            kind, target = FileType.SYMLINK, str(file.readlink())
        elif stat.S_ISDIR(found.st_mode):
            kind = FileType.DIRECTORY
        elif stat.S_ISREG(found.st_mode):
            size = found.st_size
            if wanted(path):
                image.contents[path] = file.read_bytes()
        image.entries[path] = Entry(path, kind, found.st_mode & 0o7777, size=size, target=target)
    return image


def _parents(entries: dict[str, Entry], path: str) -> None:
    entries.setdefault("/", Entry("/", FileType.DIRECTORY, 0o755))
    at = path.find("/", 1)
    while at > 0:
        entries.setdefault(path[:at], Entry(path[:at], FileType.DIRECTORY, 0o755))
        at = path.find("/", at + 1)


DATABASES = [
    "/var/lib/dpkg/status",
    "/var/lib/dpkg/status.d/a",
    "/var/lib/dpkg/status.d/a.md5sums",
    "/var/lib/dpkg/info/a.list",
    "/var/lib/dpkg/info/a.md5sums",
    "/var/lib/dpkg/diversions",
    "/lib/apk/db/installed",
    "/var/lib/rpm/rpmdb.sqlite",
    "/usr/lib/sysimage/rpm/Packages.db",
    "/var/lib/rpm/Packages",
    "/s/a.dist-info/METADATA",
    "/s/a.dist-info/RECORD",
    "/s/a.dist-info/direct_url.json",
    "/s/a.egg-info",
    "/s/a.egg-info/PKG-INFO",
    "/s/a.egg-info/installed-files.txt",
    "/s/a.egg-info/requires.txt",
    "/s/a.egg-info/top_level.txt",
    "/a/node_modules/b/package.json",
]


def check_sane(image: Image) -> None:
    """Whatever the databases say: what comes out is of this image, and can be printed."""
    packages, notes = image.read()
    for one in packages:
        assert one.name
        assert (one.name + one.version + one.architecture + one.source).isprintable()
        assert len(set(one.files)) == len(one.files)
        assert all(path in image.entries and image.entries[path].type != "directory" for path in one.files)
        assert set(one.configuration) <= set(one.files)
        assert all(group and all(map(str.isprintable, group)) for group in one.requires)
        purl(one, distribution(image.contents))
    assert all(note.isprintable() and len(note) < 9000 for note in notes)
    graph = Dependencies(packages)
    graph.needed(range(0, len(packages), 2))
    ownership(packages)
