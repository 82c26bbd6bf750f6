"""Why a file has its verdict: a code for programs, a sentence for people, and the file on whose account it is so."""

from dataclasses import dataclass
from enum import StrEnum


class ReasonCode(StrEnum):
    """The one list; a code, once told, keeps its meaning."""

    # Used: the evidence names it.
    OBSERVED = "observed"
    """A process asked for it by this name, or by one that leads to it."""
    PROGRAM = "program"
    """It ran: some file was first touched by it."""
    ASKED = "asked"
    """It was asked for and not had: no permission, another error, or a mount or a removal hid it."""
    ON_THE_WAY = "on_the_way"
    """A link or directory that a name led through."""
    DIRECTORY_CHANGED = "directory_changed"
    """A directory above it was renamed, removed or changed: its files may have been used under other names."""

    # Needed: something that is kept does not work without it.
    ELF_INTERPRETER = "elf_interpreter"
    LIBRARY = "library"
    """Found as the dynamic loader does."""
    LIBRARY_BY_NAME = "library_by_name"
    """The loader's rules do not find it, but it has the name: something may set another search path."""
    DLOPEN = "dlopen"
    """The file itself says that it may load it (its `.note.dlopen`)."""
    PRELOADED = "preloaded"
    SONAME_LINK = "soname_link"
    SCRIPT_INTERPRETER = "script_interpreter"
    LINK = "link"
    """A link on the way to something that is needed."""
    LINK_TARGET = "link_target"
    """What a link that is kept leads to."""
    DIRECTORY = "directory"
    """A directory on the way to something that is kept."""
    EMPTY_DIRECTORY = "empty_directory"
    """It is empty in the image: an application may write there."""
    SOURCE = "source"
    """Python source beside its byte code."""
    BYTECODE = "bytecode"
    FAMILY = "family"
    """One of several files of which a library loads one or another, as data, configuration or the processor say."""
    CONFIGURATION = "configuration"
    """A configuration file of a package that stays."""
    METADATA = "metadata"
    """What tells of a package that stays to its own language."""
    LICENCE = "licence"
    """The copyright file of a package that stays."""

    # Protected: kept whatever the evidence says, unless a person says otherwise.
    PACKAGE_DATABASE = "package_database"
    CERTIFICATES = "certificates"
    ACCOUNTS = "accounts"
    NAME_SERVICE = "name_service"
    IDENTITY = "identity"
    LOADER = "loader"
    TIME_ZONE = "time_zone"
    LOCALE = "locale"
    ENTRYPOINT = "entrypoint"
    PLACE = "place"
    """A volume, the working directory or a home."""
    CHOSEN = "chosen"
    """A person wants it kept."""

    # Neither.
    NOT_SEEN = "not_seen"
    LISTED = "listed"
    """Not seen in use, but its directory was listed: a program may notice that it is gone."""
    INCOMPLETE = "incomplete"
    """The evidence has gaps."""
    EXCLUDED = "excluded"
    """What lies there was not recorded."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason."""

    code: ReasonCode
    words: str
    """A plain sentence's end, such as `the library libz.so.1 of /usr/bin/git`."""
    because: str = ""
    """Path of the file on whose account; empty: none."""
