"""What is known of an image: its files, their layers and packages, and what they say that they need. Values; no I/O.

Paths are in the report's memory form (`snoop_report.paths`): absolute, lexically normal, surrogateescape for bytes that
are not UTF-8. Sizes are bytes.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class ImageError(Exception):
    """An image or a part of it cannot be read; the message is one line, names it and says what to do."""


class FileType(StrEnum):
    """What an entry is."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    CHARACTER = "character"
    BLOCK = "block"
    FIFO = "fifo"
    SOCKET = "socket"


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in the image's root file system."""

    path: str
    type: FileType
    mode: int
    """Permission bits, with set-user-ID, set-group-ID and sticky."""
    uid: int = 0
    gid: int = 0
    size: int = 0
    """Bytes of a regular file's content; 0 for all else."""
    target: str = ""
    """Of a symlink, as written."""
    layer: int = 0
    """Index into `Inventory.layers` of the one that brought it (its content, for a hard link: the link)."""
    link: int = 0
    """Names of one file (hard links) share this number; 0: it has one name. Its bytes count once."""
    attributes: tuple[str, ...] = ()
    """Names of extended attributes, such as `security.capability`."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer, lowest first in `Inventory.layers`. A root file system folder is one layer without a digest."""

    digest: str = ""
    """Of its uncompressed tar (the configuration's diff_id): the same layer has the same one in every image."""
    blob: str = ""
    """Of what the registry holds, often compressed."""
    size: int = 0
    """Bytes of that blob; 0: not known."""
    command: str = ""
    """What made it, from the configuration's history."""


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """How the image runs, from its configuration (OCI image-spec, config.md)."""

    architecture: str = ""
    os: str = ""
    variant: str = ""
    user: str = ""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    working_directory: str = ""
    volumes: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    stop_signal: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    raw: bytes = b""
    """The configuration as it was read (JSON); empty for a folder."""


@dataclass(frozen=True, slots=True)
class Elf:
    """What an ELF file says that it needs (gABI, chapter 5)."""

    bits: int
    """32 or 64."""
    machine: int
    """e_machine: a program's libraries have the same."""
    interpreter: str = ""
    """PT_INTERP."""
    soname: str = ""
    needed: tuple[str, ...] = ()
    """DT_NEEDED, in order, then what DT_FILTER, DT_AUXILIARY, DT_AUDIT and DT_DEPAUDIT name: ld.so loads these too."""
    dlopen: tuple[str, ...] = ()
    """Sonames that its `.note.dlopen` says it may load (systemd.io/ELF_DLOPEN_METADATA), whatever their priority."""
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()


class PackageKind(StrEnum):
    """Whose database a package stands in."""

    DEB = "deb"
    APK = "apk"
    RPM = "rpm"
    PYTHON = "pypi"
    NODE = "npm"


@dataclass(frozen=True, slots=True)
class Package:
    """One installed package."""

    kind: PackageKind
    name: str
    version: str
    architecture: str = ""
    source: str = ""
    """The source package's name, where it is another one."""
    files: tuple[str, ...] = ()
    """What it installed and is there, as entries' own paths (links on the way resolved), directories left out."""
    files_known: bool = True
    """False: the list of its files is missing or damaged. That none of them was seen then means nothing."""
    configuration: tuple[str, ...] = ()
    """Those of them that a person may have changed (conffiles)."""
    essential: bool = False
    """The distribution says that nothing works without it."""
    requires: tuple[tuple[str, ...], ...] = ()
    """What it needs: of each group one package (or what one provides) is enough. Names only, versions left out."""
    provides: tuple[str, ...] = ()
    """Other names under which others may require it."""
    database: str = ""
    """Path of the file that told of it."""

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What tells it from every other one of the image. Two versions of one name may be there (npm, Python)."""
        return (
            self.kind,
            self.name,
            self.version,
            self.database if self.kind in ("pypi", "npm") else self.architecture,
        )


@dataclass(slots=True)
class Inventory:
    """All that an image holds."""

    source: str
    """What was read, as a person gave it: a reference, an archive, a folder."""
    digest: str = ""
    """`sha256:…` of the manifest of this one platform; empty for a folder."""
    config: ImageConfig = ImageConfig()
    layers: list[Layer] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)
    """By path, `/` and every directory included."""
    packages: list[Package] = field(default_factory=list)
    elf: dict[str, Elf] = field(default_factory=dict)
    """By path, of the regular files that are ELF programs and libraries."""
    scripts: dict[str, str] = field(default_factory=dict)
    """By path, the `#!` line of executable scripts, without the two characters and outer blanks."""
    contents: dict[str, bytes] = field(default_factory=dict)
    """Small files that the closure reads (`closure.wanted`)."""
    notes: list[str] = field(default_factory=list)
    """What could not be understood, a sentence each: an unknown package database, a broken ELF header …"""
