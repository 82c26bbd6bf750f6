"""RPM packages: from rpm's SQLite and ndb databases, and from Berkeley DB's of before 2020.

Where they lie: `%_dbpath` of the distributions: /var/lib/rpm, /usr/lib/sysimage/rpm (Fedora 36, SUSE), /usr/share/rpm
(rpm-ostree). /etc/dnf/protected.d names packages without which dnf lets nothing be removed (dnf.conf(5),
protected_packages).
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from snoop_image.model import PackageKind
from snoop_image.packages import rpm_header as tags
from snoop_image.packages.berkeley import headers as berkeley_headers
from snoop_image.packages.deb822 import decode
from snoop_image.packages.intake import DatabaseError, Intake
from snoop_image.packages.rpm_databases import ndb_headers, sqlite_headers

_FOLDERS = ("/var/lib/rpm/", "/usr/lib/sysimage/rpm/", "/usr/share/rpm/")
_SQLITE, _LOG, _NDB, _BERKELEY = "rpmdb.sqlite", "rpmdb.sqlite-wal", "Packages.db", "Packages"
_FILES = frozenset(folder + name for folder in _FOLDERS for name in (_SQLITE, _LOG, _NDB, _BERKELEY))
_PROTECTED = re.compile(r"/etc/(?:dnf|yum)/protected\.d/[^/]+\.conf")
# Azure Linux's distroless images: packages (`rpm -qa`) without their files.
_MANIFEST = "/var/lib/rpmmanifest/container-manifest-2"


def wanted(path: str) -> bool:
    """Say whether `read` needs the content of the file."""
    return path in _FILES or (path.startswith("/etc/") and _PROTECTED.fullmatch(path) is not None)


_Headers = Iterator[bytes] | Iterator[bytes | DatabaseError]


@dataclass(slots=True)
class _Draft:
    """A package before it is known what others call its files."""

    name: str
    version: str
    architecture: str
    source: str
    files: tuple[str, ...]
    configuration: tuple[str, ...]
    folders: tuple[str, ...]
    requires: list[list[str]]
    provides: list[str]
    database: str


def read(intake: Intake) -> None:
    """Add the packages of each database."""
    drafts: list[_Draft] = []
    seen: list[bytes] = []
    for folder in _FOLDERS:
        for name, headers in _BACKENDS.items():
            content = intake.contents.get(folder + name)
            # One database may go by two names, one of them a link.
            if content and not any(content is one for one in seen):
                seen.append(content)
                log = intake.contents.get(folder + _LOG, b"")
                _read_database(intake, folder + name, headers(content, log), len(content) + len(log), drafts)
    if _MANIFEST in intake.entries and not drafts:
        intake.note("rpm", f"{_MANIFEST}: tells packages but not their files: it was not read")
    _name_files(intake, drafts)
    protected = _protected(intake)
    for one in drafts:
        intake.add(
            PackageKind.RPM,
            one.name,
            one.version,
            database=one.database,
            architecture=one.architecture,
            source=one.source,
            files=one.files,
            configuration=one.configuration,
            essential=one.name in protected,
            requires=one.requires,
            provides=one.provides,
        )


def _read_database(intake: Intake, path: str, headers: _Headers, size: int, drafts: list[_Draft]) -> None:
    number = 0
    try:
        for number, header in enumerate(headers, 1):
            try:
                if isinstance(header, DatabaseError):
                    raise header
                # Or a million packages share one place.
                size -= len(header)
                if size < 0:
                    break
                drafts.append(_draft(intake, tags.Header(header), path))
            except DatabaseError as error:
                intake.note("rpm", f"{path}: package {number}: {error}")
        if size < 0:
            raise DatabaseError("its packages are bigger than it is")
    except DatabaseError as error:
        rest = f": what comes after its first {number} packages was not read" if number else ""
        intake.note("rpm", f"{path}: {error}{rest}")


def _draft(intake: Intake, header: tags.Header, database: str) -> _Draft:
    files: dict[str, None] = {}
    configuration: dict[str, None] = {}
    folders: dict[str, None] = {}
    for file in header.files():
        own = None if file.directory else intake.own(file.path)
        if file.directory:
            folders[file.path] = None
        elif own is not None:
            files[own] = None
            if file.configuration:
                configuration[own] = None
    name = header.string(tags.NAME)
    provides = header.strings(tags.PROVIDENAME)
    own_names = {name, *provides}
    return _Draft(
        name,
        header.version(),
        header.string(tags.ARCH),
        header.source(),
        tuple(files),
        tuple(configuration),
        tuple(folders),
        [group for group in header.requires() if own_names.isdisjoint(group)],
        provides,
        database,
    )


def _name_files(intake: Intake, drafts: list[_Draft]) -> None:
    """Let a package provide those of its files and directories that others require, by the names that these use.

    /bin/sh, where /bin is a link, is the package's /usr/bin/sh.
    """
    required = {name for one in drafts for group in one.requires for name in group if name.startswith("/")}
    names: dict[str, list[str]] = {}
    folders: dict[str, list[str]] = {}
    for name in sorted(required):
        if (own := intake.own(name)) is not None:
            names.setdefault(own, []).append(name)
        if (own := intake.folder(name)) is not None:
            folders.setdefault(own, []).append(name)
    for one in drafts:
        for path in one.files:
            one.provides += names.get(path, ())
        for path in one.folders if folders else ():
            one.provides += folders.get(intake.folder(path) or "", ())


def _protected(intake: Intake) -> set[str]:
    return {
        word
        for path, content in intake.contents.items()
        if _PROTECTED.fullmatch(path)
        for line in decode(content[: 1 << 16]).splitlines()
        for word in line.split("#")[0].replace(",", " ").split()
    }


_BACKENDS: dict[str, Callable[[bytes, bytes], _Headers]] = {
    _SQLITE: sqlite_headers,
    _NDB: lambda content, _: ndb_headers(content),
    _BERKELEY: lambda content, _: berkeley_headers(content),
}
