"""What a layer changes, read from its tar (image-spec, layer.md).

What a layer's tar leaves open is answered as containerd does it on overlayfs (pkg/archive/tar.go `applyNaive`, with
`OverlayConvertWhiteout`): a layer is unpacked by itself, so a symlink of a lower layer is not followed by a name of an
upper one: the upper directory hides it. Symlinks of the same layer are followed, and stay inside the root. Whiteouts
concern lower layers only, in whatever order they stand (layer.md, "Whiteouts").
"""

import tarfile
from dataclasses import replace

from snoop_image.gather import Gatherer
from snoop_image.limits import Limits
from snoop_image.model import Entry, FileType, ImageError
from snoop_image.overlay import Changes
from snoop_image.streams import Readable
from snoop_image.tar import Members
from snoop_image.tree import Tree, ancestors, parent

_WHITEOUT = ".wh."
_META = ".wh..wh."
_OPAQUE = ".wh..wh..opq"
_XATTR = "SCHILY.xattr."
# With the character device 0/0 how overlayfs itself writes it (kernel, Documentation/filesystems/overlayfs.rst).
_OVERLAY_OPAQUE = "trusted.overlay.opaque"
# MAXSYMLINKS is 40 in the kernel (include/linux/namei.h); continuity's fs.RootPath gives up at 255.
_LINKS = 255
_RENEWED = 1000
# uid_t and gid_t: what lchown(2) makes of a number.
_ID = (1 << 32) - 1
# off_t: no file system holds more.
_BIGGEST = (1 << 63) - 1
_TYPES = {
    tarfile.REGTYPE: FileType.FILE,
    tarfile.AREGTYPE: FileType.FILE,
    tarfile.CONTTYPE: FileType.FILE,
    tarfile.GNUTYPE_SPARSE: FileType.FILE,
    tarfile.DIRTYPE: FileType.DIRECTORY,
    tarfile.SYMTYPE: FileType.SYMLINK,
    tarfile.CHRTYPE: FileType.CHARACTER,
    tarfile.BLKTYPE: FileType.BLOCK,
    tarfile.FIFOTYPE: FileType.FIFO,
}


class LayerReader:
    """Reads layers, lowest first, each by itself, and knows which files have several names."""

    def __init__(self, gatherer: Gatherer, limits: Limits) -> None:
        self._gatherer = gatherer
        self._limits = limits
        self._count = 0
        self._link = 0
        self._modes: dict[int, int] = {}

    def read(self, source: Readable, index: int, lower: Tree, what: str) -> Changes:
        """Read one layer's tar. In `lower` it only numbers hard links. ImageError for what no runtime would unpack."""
        changes = Changes()
        self._changes = changes
        self._tree = changes.tree
        self._lower = lower
        self._index = index
        self._what = what
        self._names = 0
        self._renewed = 0
        # Directories of this layer that have anything below them in this layer.
        self._filled: set[str] = set()
        members = Members(source, self._limits, what)
        for member in members:
            self._member(member, members)
        return changes

    def _member(self, member: tarfile.TarInfo, members: Members) -> None:
        name = self._name(member.name)
        self._names += len(name) + len(member.linkname)
        if self._names > self._limits.names:
            raise ImageError(f"{self._what}: its names are longer than {self._limits.names} bytes together")
        if name == "/":
            if member.isdir():
                self._directory("/", member)
            return
        base = name[name.rfind("/") + 1 :]
        if base.startswith(_WHITEOUT):
            self._whiteout(parent(name), base)
            return
        directory = self._parent(parent(name))
        path = f"{directory}/{base}" if directory != "/" else f"/{base}"
        if member.islnk():
            self._hard_link(path, member)
            return
        kind = _TYPES.get(member.type)
        if kind is None:
            raise ImageError(f"{self._what}: {path!r} has the unknown type {member.type!r} in the tar archive")
        if kind is FileType.DIRECTORY:
            self._directory(path, member)
            return
        if kind is FileType.CHARACTER and not member.devmajor and not member.devminor:
            self._changes.hidden.add(path)
            return
        if kind is FileType.SYMLINK and not member.linkname:
            raise ImageError(f"{self._what}: the symlink {path!r} has no target")
        self._replace(path)
        size = member.size if kind is FileType.FILE else 0
        if size > _BIGGEST:
            raise ImageError(f"{self._what}: {path!r} says that it has {size} bytes: a forged image?")
        entry = self._entry(path, kind, member, size)
        self._add(entry)
        if kind is FileType.FILE:
            self._gatherer.take(self._tree, path, entry.mode, size, members.content())

    def _name(self, raw: str) -> str:
        """Make a member's name absolute and normal. ImageError if it climbs."""
        if "\0" in raw:
            raise ImageError(f"{self._what}: a name in the tar archive holds a NUL")
        # PATH_MAX of the kernel counts bytes, and the NUL; components end at NAME_MAX.
        if len(raw) > 4095:
            raise ImageError(f"{self._what}: the name {raw[:100]!r}… is longer than the kernel takes")
        if raw.startswith(("/", "./")) or "//" in raw or "/." in raw or raw in ("", ".", ".."):
            parts = [part for part in raw.split("/") if part and part != "."]
            if ".." in parts:
                raise ImageError(f"{self._what}: the name {raw!r} in the tar archive climbs with `..`: a forged image?")
            return "/" + "/".join(parts)
        if raw.startswith("../"):
            raise ImageError(f"{self._what}: the name {raw!r} in the tar archive climbs with `..`: a forged image?")
        return "/" + raw.rstrip("/")

    def _parent(self, directory: str) -> str:
        """Give the real path of a directory of this layer; it is made if it is not there."""
        known = self._tree.entries.get(directory)
        if known is None or known.type is not FileType.DIRECTORY:
            directory = self._resolve(directory)
            self._imply(directory)
        self._filled.add(directory)
        return directory

    def _resolve(self, directory: str) -> str:
        """Follow this layer's symlinks in a directory's name, never out of the root."""
        todo = [part for part in reversed(directory.split("/")) if part]
        done: list[str] = []
        followed = 0
        while todo:
            part = todo.pop()
            if part == "." or not part:
                continue
            if part == "..":
                if done:
                    done.pop()
                continue
            done.append(part)
            entry = self._tree.entries.get("/" + "/".join(done))
            if entry is None or entry.type is not FileType.SYMLINK:
                continue
            followed += 1
            if followed > _LINKS or len(todo) > 4096:
                raise ImageError(f"{self._what}: {directory!r} leads in circles of symlinks")
            done = [] if entry.target.startswith("/") else done[:-1]
            todo.extend(reversed(entry.target.split("/")))
        return "/" + "/".join(done)

    def _nearest(self, path: str) -> Entry | None:
        """Give what this layer has at a path, or the next above it."""
        while (entry := self._tree.entries.get(path)) is None and path != "/":
            path = parent(path)
        return entry

    def _imply(self, directory: str) -> None:
        """Make a directory, and those above it, that the tar has not."""
        entry = self._nearest(directory)
        if entry is not None and entry.type is not FileType.DIRECTORY:
            raise ImageError(
                f"{self._what}: {directory!r} is below {entry.path!r}, which is a {entry.type} and no directory"
            )
        for path in (*ancestors(directory), directory):
            if path in self._tree.entries:
                continue
            self._add(Entry(path, FileType.DIRECTORY, 0o755, layer=self._index))
            self._changes.implied.add(path)
            if path != "/":
                self._filled.add(parent(path))

    def _directory(self, path: str, member: tarfile.TarInfo) -> None:
        known = self._tree.entries.get(path)
        if known is not None and known.type is not FileType.DIRECTORY:
            self._replace(path)
        self._changes.implied.discard(path)
        entry = self._entry(path, FileType.DIRECTORY, member, 0)
        if _OVERLAY_OPAQUE in entry.attributes:
            self._changes.opaque.add(path)
            entry = replace(entry, attributes=tuple(one for one in entry.attributes if one != _OVERLAY_OPAQUE))
        self._add(entry)

    def _entry(self, path: str, kind: FileType, member: tarfile.TarInfo, size: int) -> Entry:
        mode = member.mode & 0o7777
        attributes: tuple[str, ...] = ()
        if member.pax_headers:
            attributes = tuple(
                sorted(key[len(_XATTR) :] for key in member.pax_headers if key.startswith(_XATTR) and key != _XATTR)
            )
        return Entry(
            path=path,
            type=kind,
            mode=self._modes.setdefault(mode, mode),
            uid=int(member.uid) & _ID,
            gid=int(member.gid) & _ID,
            size=size,
            target=member.linkname if kind is FileType.SYMLINK else "",
            layer=self._index,
            attributes=attributes,
        )

    def _add(self, entry: Entry) -> None:
        if entry.path not in self._tree.entries:
            self._count += 1
            if self._count > self._limits.entries:
                raise ImageError(f"{self._what}: the image has more than {self._limits.entries} names")
        self._tree.entries[entry.path] = entry

    def _replace(self, path: str) -> None:
        """Remove what this layer had here before: the last of two members is unpacked last."""
        known = self._tree.entries.get(path)
        if known is None:
            return
        if known.type is FileType.DIRECTORY and path in self._filled:
            self._renewed += 1
            if self._renewed > _RENEWED:
                raise ImageError(f"{self._what}: replaces more than {_RENEWED} of its own directories: a forged image?")
            for one in self._tree.below({path}):
                self._tree.drop(one)
            self._filled.discard(path)
        self._tree.drop(path)

    def _whiteout(self, directory: str, base: str) -> None:
        resolved = self._resolve(directory)
        at = self._nearest(resolved)
        if at is not None and at.type is not FileType.DIRECTORY:
            # umoci writes one for each name of a directory that became a file: that hides them all.
            return
        directory = self._parent(resolved)
        if base == _OPAQUE:
            self._changes.opaque.add(directory)
        elif not base.startswith(_META):
            gone = base[len(_WHITEOUT) :]
            if gone in ("", ".", ".."):
                raise ImageError(f"{self._what}: the whiteout {base!r} in {directory!r} names nothing")
            self._changes.hidden.add(f"{directory}/{gone}" if directory != "/" else f"/{gone}")
        # Else it is aufs's own book-keeping (.wh..wh.plnk, .wh..wh.orph), which is in no file system.

    def _hard_link(self, path: str, member: tarfile.TarInfo) -> None:
        name = self._name(member.linkname)
        target = name
        if name != "/":
            directory = self._resolve(parent(name))
            target = f"{directory}/{name[name.rfind('/') + 1 :]}" if directory != "/" else "/" + name.rsplit("/", 1)[1]
        tree = self._tree if target in self._tree.entries else self._lower
        entry = tree.entries.get(target)
        if entry is None:
            raise ImageError(f"{self._what}: the hard link {path!r} leads to {target!r}, which is not there")
        if entry.type is FileType.DIRECTORY:
            raise ImageError(f"{self._what}: the hard link {path!r} leads to the directory {target!r}")
        if tree is self._tree and target == path:
            return
        if not entry.link:
            self._link += 1
            entry = replace(entry, link=self._link)
            tree.entries[target] = entry
        self._replace(path)
        self._add(replace(entry, path=path, layer=self._index))
        self._tree.copy(path, tree, target)
