"""Layers of random trees, laid on one another by the kernel's overlayfs and by us."""

import os
import random
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from snoop_image.model import FileType

NAMES = ["a", "b", "c"]
SHOWN = {"f": FileType.FILE, "d": FileType.DIRECTORY, "l": FileType.SYMLINK, "p": FileType.FIFO}


class Layer:
    """A layer in the making: as members of a tar, and as overlayfs wants its folder."""

    def __init__(self, folder: Path, make: Any) -> None:
        self.folder = folder
        self.make = make
        self.members: list[Any] = []
        folder.mkdir()

    def put(self, name: str, kind: str, size: int) -> None:
        path = self.folder / name
        if path.is_symlink() or path.exists() or any(_is_other(one) for one in self._above(path)):
            return
        for one in reversed(self._above(path)):
            if not one.exists():
                one.mkdir()
                self.members.append(self.make.folder(str(one.relative_to(self.folder))))
        if kind == "f":
            path.write_bytes(bytes(size))
            self.members.append(self.make.file(name, bytes(size)))
        elif kind == "d":
            path.mkdir()
            self.members.append(self.make.folder(name))
        elif kind == "l":
            path.symlink_to(str(size))
            self.members.append(self.make.symlink(name, str(size)))
        elif kind == "whiteout":
            os.mknod(path, stat.S_IFCHR, 0)
            self.members.append(self.make.gone(name))

    def opaque(self, name: str) -> None:
        path = self.folder / name
        if path.is_dir() and not path.is_symlink():
            os.setxattr(path, "trusted.overlay.opaque", b"y")
            self.members.append(self.make.opaque(name))

    def _above(self, path: Path) -> list[Path]:
        return [one for one in path.parents if self.folder in one.parents]


def _is_other(path: Path) -> bool:
    return path.is_symlink() or (path.exists() and not path.is_dir())


def overlaid(folders: list[Path], scratch: Path) -> dict[str, tuple[FileType, int, str]]:
    """What the kernel makes of the layers, the lowest first."""
    root = scratch / "root"
    root.mkdir()
    # overlayfs wants two lower directories, or an upper one.
    (scratch / "nothing").mkdir()
    lower = ":".join(str(one) for one in [*reversed(folders), scratch / "nothing"])
    # Where a folder has no other below it, readdir shows a whiteout that is not there to stat: find complains.
    find = 'find "$2" -mindepth 1 -printf "%P\\t%y\\t%s\\t%l\\n" 2>/dev/null || true'
    script = f'mount -t overlay overlay -o "lowerdir=$1" "$2" && {find}'
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", lower, str(root)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = {}
    for line in told.splitlines():
        path, kind, size, target = line.split("\t")
        found[f"/{path}"] = (SHOWN[kind], int(size) if kind == "f" else 0, target)
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mounts overlayfs")
@pytest.mark.parametrize("seed", range(40))
def test_the_kernel_agrees(seed: int, make: Any, read: Any, tmp_path: Path) -> None:
    # Layers lie on the file system of the checkout's temporary folder, which takes trusted.* attributes.
    chance = random.Random(seed)
    layers = []
    for number in range(4):
        layer = Layer(tmp_path / f"layer-{number}", make)
        for _ in range(25):
            name = "/".join(chance.choices(NAMES, k=chance.randint(1, 4)))
            layer.put(name, chance.choices("fdl", [5, 3, 1])[0], chance.randint(1, 9))
        if number:
            for _ in range(8):
                layer.put("/".join(chance.choices(NAMES, k=chance.randint(1, 4))), "whiteout", 0)
            for _ in range(2):
                layer.opaque("/".join(chance.choices(NAMES, k=chance.randint(1, 3))))
        layers.append(layer)
    expected = overlaid([one.folder for one in layers], tmp_path)

    tars = []
    for layer in layers:
        # Whiteouts come wherever; what is made keeps its order, since folders come before what is in them.
        made = [one for one in layer.members if ".wh." not in one[0].name]
        for one in layer.members:
            if ".wh." in one[0].name:
                made.insert(chance.randint(0, len(made)), one)
        tars.append(make.tar(*made))
    found = read(*tars)

    assert {
        path: (entry.type, entry.size, entry.target) for path, entry in found.entries.items() if path != "/"
    } == expected
    shutil.rmtree(tmp_path, ignore_errors=True)
