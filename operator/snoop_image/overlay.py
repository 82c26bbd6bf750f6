"""How layers come to lie on one another: as overlayfs shows them (kernel, Documentation/filesystems/overlayfs.rst)."""

from dataclasses import dataclass, field

from snoop_image.model import Entry, FileType
from snoop_image.tree import Tree


@dataclass(slots=True)
class Changes:
    """One layer by itself."""

    tree: Tree = field(default_factory=Tree)
    hidden: set[str] = field(default_factory=set)
    """What lower layers have here, and below it, is gone."""
    opaque: set[str] = field(default_factory=set)
    """What lower layers have below these directories is gone."""
    implied: set[str] = field(default_factory=set)
    """Directories that the tar only names as a part of other names."""


def apply(lower: Tree, changes: Changes) -> list[str]:
    """Lay a layer on what is below it, in place. Gives the symlinks that became directories."""
    upper = changes.tree
    below: set[str] = set()
    gone: list[str] = []
    hidden_links: list[str] = []
    for path in changes.hidden:
        entry = lower.entries.get(path)
        if entry is not None:
            gone.append(path)
            if entry.type is FileType.DIRECTORY:
                below.add(path)
    below.update(path for path in changes.opaque if path in lower.entries)
    for path, entry in upper.entries.items():
        known = lower.entries.get(path)
        if known is None or (known.type is FileType.DIRECTORY and entry.type is FileType.DIRECTORY):
            continue
        gone.append(path)
        if known.type is FileType.DIRECTORY:
            below.add(path)
        elif known.type is FileType.SYMLINK and path in changes.implied:
            hidden_links.append(path)
    if below:
        gone.extend(lower.below(below))
    for path in gone:
        lower.drop(path)
    if not lower.entries:
        lower.entries = upper.entries
    else:
        for path, entry in upper.entries.items():
            known = lower.entries.get(path)
            if known is None or not _same_directory(known, entry, path in changes.implied):
                lower.entries[path] = entry
    lower.elf.update(upper.elf)
    lower.scripts.update(upper.scripts)
    lower.contents.update(upper.contents)
    return hidden_links


def _same_directory(known: Entry, entry: Entry, implied: bool) -> bool:
    """Say whether a directory that is in both stays what it was, so that the lower layer brought it."""
    if known.type is not FileType.DIRECTORY or entry.type is not FileType.DIRECTORY:
        return False
    return implied or (
        (known.mode, known.uid, known.gid, known.attributes) == (entry.mode, entry.uid, entry.gid, entry.attributes)
    )
