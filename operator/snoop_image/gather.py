"""What is read of a file's content while it passes: ELF headers, the `#!` line, small files that others want."""

import io
import tempfile
from collections.abc import Callable
from typing import BinaryIO

from snoop_image.limits import Limits
from snoop_image.model import Elf, ImageError
from snoop_image.streams import CHUNK, Readable
from snoop_image.tree import Tree

# What the kernel reads of a script (BINPRM_BUF_SIZE, include/uapi/linux/binfmts.h).
_HEAD = 256
_NOTES = 100


class Gatherer:
    """Reads what is wanted of each regular file. `read_elf` may raise ImageError: then the file has a note."""

    def __init__(
        self,
        wanted: Callable[[str], bool],
        read_elf: Callable[[BinaryIO], Elf | None],
        limits: Limits,
    ) -> None:
        self.wanted = wanted
        self._read_elf = read_elf
        self._limits = limits
        self._kept = 0
        self._notes: dict[str, int] = {}
        self.notes: list[str] = []

    def count(self, tree: Tree) -> None:
        """Count anew what is kept, once a layer has hidden what is below it."""
        self._kept = sum(map(len, tree.contents.values()))

    def note(self, kind: str, words: str) -> None:
        """Add a note; of one kind a hundred are kept, the others counted."""
        count = self._notes.get(kind, 0) + 1
        self._notes[kind] = count
        if count <= _NOTES:
            self.notes.append(words)

    def finish(self) -> list[str]:
        """Give all notes."""
        for kind, count in self._notes.items():
            if count > _NOTES:
                self.notes.append(f"{kind}: {count - _NOTES} more of these were left out")
        self._notes.clear()
        return self.notes

    def take(self, tree: Tree, path: str, mode: int, size: int, file: Readable) -> None:
        """Read what is wanted of the regular file `path` of `size` bytes into the tree."""
        if size < 2:
            if self.wanted(path):
                tree.contents[path] = file.read(size) if size else b""
            return
        head = _exactly(file, min(size, _HEAD))
        keep = self.wanted(path) and self._fits(path, size)
        if keep:
            content = head + _exactly(file, size - len(head))
            tree.contents[path] = content
            if head[:4] == b"\x7fELF":
                self._elf(tree, path, io.BytesIO(content))
        elif head[:4] == b"\x7fELF":
            self._seekable(tree, path, size, head, file)
        if head[:2] == b"#!" and mode & 0o111:
            line = head[2:].split(b"\n", 1)[0].split(b"\0", 1)[0]
            tree.scripts[path] = line.decode("utf-8", "surrogateescape").strip(" \t\r")

    def _fits(self, path: str, size: int) -> bool:
        if size > self._limits.content:
            self.note("content", f"{path}: {size} bytes are more than snoop reads of one file: it was not understood")
            return False
        if size + self._kept > self._limits.contents:
            self.note("content", f"{path}: was not read, as the files before it filled what snoop keeps of an image")
            return False
        self._kept += size
        return True

    def _seekable(self, tree: Tree, path: str, size: int, head: bytes, file: Readable) -> None:
        if isinstance(file, io.FileIO):
            buffered = io.BufferedReader(file)
            try:
                self._elf(tree, path, buffered)
            finally:
                buffered.detach()  # the file is its opener's to close
        elif size <= self._limits.memory:
            self._elf(tree, path, io.BytesIO(head + _exactly(file, size - len(head))))
        elif size > self._limits.temporary:
            self.note(
                "ELF", f"{path}: an ELF file of {size} bytes is more than snoop reads: what it needs is not known"
            )
        else:
            with tempfile.TemporaryFile(prefix="snoop-") as copy:
                copy.write(head)
                while data := file.read(CHUNK):
                    copy.write(data)
                copy.seek(0)
                self._elf(tree, path, copy)

    def _elf(self, tree: Tree, path: str, file: BinaryIO) -> None:
        try:
            found = self._read_elf(file)
        except ImageError as error:
            self.note("ELF", f"{path}: what it needs is not known: {error}")
            return
        if found is not None:
            tree.elf[path] = found


def _exactly(file: Readable, size: int) -> bytes:
    """Read `size` bytes, fewer only at the end."""
    data = file.read(size) if size else b""
    while len(data) < size and (more := file.read(size - len(data))):
        data += more
    return data
