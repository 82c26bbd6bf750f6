"""Where a name leads in an image: as the kernel resolves it (path_resolution(7)), with everything met on the way.

Nothing here looks at a disk: links are those of the image, and an absolute target starts at the image's root.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from snoop_image.model import Entry, FileType

# include/linux/namei.h: links followed in one resolution, of whatever depth.
MAXIMUM_LINKS = 40
# include/uapi/linux/limits.h; PATH_MAX counts the NUL. No file system takes a longer name or link target.
_PATH_MAX = 4096


class Lookup(StrEnum):
    """What a resolution comes to; the kernel's error beside it."""

    FOUND = "found"
    MISSING = "missing"
    """ENOENT."""
    NOT_A_DIRECTORY = "not_a_directory"
    """ENOTDIR."""
    LOOP = "loop"
    """ELOOP."""
    TOO_LONG = "too_long"
    """ENAMETOOLONG."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """Where a name leads."""

    path: str
    """The entry's own path, without links and dots. Where nothing is found: the name at which it ended."""
    entry: Entry | None
    """None unless found."""
    lookup: Lookup
    links: tuple[str, ...] = ()
    """Symlinks that were followed, by their own paths, in order."""
    directories: tuple[str, ...] = ()
    """Directories that were walked through, in order, `/` first; those of link targets included. Not the last entry."""

    @property
    def found(self) -> bool:
        """Whether the name leads to an entry."""
        return self.entry is not None


def resolve(entries: Mapping[str, Entry], path: str, *, follow: bool = True) -> Resolved:
    """Resolve an absolute path, `..` and links included. Without `follow` a last component that is a link stays it.

    As in the kernel, a trailing slash follows the link all the same and wants a directory.
    """
    links: list[str] = []
    # A dict, for order: each directory once.
    walked: dict[str, None] = {}
    # What is still to walk, last first.
    rest = _parts(path)
    wants_directory = path.endswith(("/", "/.", "/.."))
    at = "/"
    entry = entries.get("/")

    def end(lookup: Lookup, where: str) -> Resolved:
        return Resolved(where, None, lookup, tuple(links), tuple(walked))

    if not _fits(path):
        return end(Lookup.TOO_LONG, path)
    while rest:
        if entry is not None and entry.type is not FileType.DIRECTORY:
            return end(Lookup.NOT_A_DIRECTORY, at)
        walked[at] = None
        name = rest.pop()
        if name == "..":
            at = at[: at.rfind("/")] or "/"
            entry = entries.get(at)
            continue
        here = f"{at}/{name}" if at != "/" else f"/{name}"
        found = entries.get(here)
        if found is None:
            return end(Lookup.MISSING, here)
        if found.type is FileType.SYMLINK and (rest or follow or wants_directory):
            if len(links) >= MAXIMUM_LINKS:
                return end(Lookup.LOOP, here)
            links.append(here)
            if not found.target:
                return end(Lookup.MISSING, here)
            if not _fits(found.target):
                return end(Lookup.TOO_LONG, here)
            if not rest:
                wants_directory = wants_directory or found.target.endswith(("/", "/.", "/.."))
            rest += _parts(found.target)
            if found.target[0] == "/":
                at, entry = "/", entries.get("/")
            continue
        at, entry = here, found
    if entry is None:
        return end(Lookup.MISSING, at)
    if wants_directory and entry.type is not FileType.DIRECTORY:
        return end(Lookup.NOT_A_DIRECTORY, at)
    return Resolved(at, entry, Lookup.FOUND, tuple(links), tuple(walked))


class Directories:
    """Resolves many names of one image, each directory once: 200,000 names of 10,000 directories in well under 1 s."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._entries = entries
        self._known: dict[str, str] = {"": "/", "/": "/"}

    def own(self, path: str) -> str | None:
        """Give the path by which the image holds what `path` names; None if it has no such entry.

        A last component that is a link stays that link: /lib/x is /usr/lib/x where /lib is a link to usr/lib.
        """
        cut = path.rfind("/")
        directory, name = path[:cut], path[cut + 1 :]
        if name in ("", ".", ".."):
            found = resolve(self._entries, path, follow=False)
            return found.path if found.found else None
        inside = self._known.get(directory)
        if inside is None:
            led = resolve(self._entries, directory or "/")
            inside = led.path if led.entry is not None and led.entry.type is FileType.DIRECTORY else ""
            self._known[directory] = inside
        if not inside:
            return None
        own = f"{inside}/{name}" if inside != "/" else f"/{name}"
        return own if own in self._entries else None


def _parts(path: str) -> list[str]:
    """Split into components, last first."""
    return [part for part in reversed(path.split("/")) if part and part != "."]


def _fits(path: str) -> bool:
    # A component that is too long is in no image, so it is missing; that is as good.
    return len(path) < _PATH_MAX
