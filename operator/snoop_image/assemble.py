"""From layers to an inventory: each is streamed once, checked against its digests and laid on those below it."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import BinaryIO

from snoop_image import overlay
from snoop_image.ahead import Ahead
from snoop_image.gather import Gatherer
from snoop_image.layers import LayerReader
from snoop_image.limits import Limits
from snoop_image.model import Elf, Entry, FileType, ImageConfig, Inventory, Layer, Package
from snoop_image.streams import CHUNK, Bounded, Hashed, Readable, decompressed
from snoop_image.tree import Tree

Progress = Callable[[str, int, int], None]
"""Called with what is done (words), and bytes done and in total (0: not known)."""


@dataclass(frozen=True, slots=True)
class Parsers:
    """What others of this package make of files: which ones they want to see whole, and what these say."""

    packages_wanted: Callable[[str], bool]
    closure_wanted: Callable[[str], bool]
    read_elf: Callable[[BinaryIO], Elf | None]
    read_packages: Callable[[Mapping[str, bytes], Mapping[str, Entry]], tuple[list[Package], list[str]]]
    resolve: Callable[[Mapping[str, Entry], str], str]
    """The path that a name leads to, its own if that is not there."""

    def wanted(self, path: str) -> bool:
        """Say whether a file is to be kept while the image is read."""
        return self.packages_wanted(path) or self.closure_wanted(path)


@dataclass(frozen=True, slots=True)
class Image:
    """An image before its layers are read."""

    source: str
    digest: str
    config: ImageConfig
    layers: list[Layer]
    open: Callable[[int], AbstractContextManager[Readable]]
    """Opens a layer's blob, by its index, from its first byte."""
    notes: list[str] = field(default_factory=list)


def assemble(image: Image, parsers: Parsers, limits: Limits, progress: Progress | None = None) -> Inventory:
    """Read all layers. ImageError if one cannot be read or is not what was announced."""
    gatherer = Gatherer(parsers.wanted, parsers.read_elf, limits)
    for words in image.notes:
        gatherer.note("image", words)
    tree = Tree()
    reader = LayerReader(gatherer, limits)
    passes = _Passes(image, limits, progress)
    for index in range(len(image.layers)):
        with passes.open(index) as (source, what):
            changes = reader.read(source, index, tree, what)
        for path in overlay.apply(tree, changes):
            gatherer.note("symlink", _HIDDEN.format(what=what, path=path))
        gatherer.count(tree)
    if "/" not in tree.entries:
        tree.entries["/"] = Entry("/", FileType.DIRECTORY, 0o755)
    _read_again(image, tree, parsers, limits, passes, gatherer)
    found = Inventory(source=image.source, digest=image.digest, config=image.config, layers=image.layers)
    return finish(found, tree, parsers, gatherer)


_HIDDEN = (
    "{what}: has files below {path}, a symlink of a lower layer: the directory hides it, as on overlayfs; runtimes "
    "that unpack layers on one another follow it"
)


class _Passes:
    """Opens layers and checks them, with what is left of the limits."""

    def __init__(self, image: Image, limits: Limits, progress: Progress | None) -> None:
        self._image = image
        self._limits = limits
        self._progress = progress
        self._left = limits.unpacked
        self._done = 0
        self._total = sum(layer.size for layer in image.layers)

    @contextlib.contextmanager
    def open(self, index: int) -> Iterator[tuple[Readable, str]]:
        layer = self._image.layers[index]
        what = f"{self._image.source}: layer {index + 1} of {len(self._image.layers)}"

        with self._image.open(index) as raw:
            packed = Hashed(raw, what, layer.blob, layer.size)
            bounded = Bounded(decompressed(packed, what), packed, self._limits, self._left, what)
            unpacked = Hashed(bounded, what, layer.digest)

            def report() -> None:
                if self._progress:
                    words = f"layer {index + 1} of {len(self._image.layers)}"
                    self._progress(words, self._done + packed.taken, self._total)

            with Ahead(unpacked, report) as ahead:
                yield ahead, what
                # Beyond the tar's end too: the digests are those of the whole.
                while ahead.read(CHUNK):
                    pass
            unpacked.finish()
            packed.finish()
            self._left -= bounded.taken
            self._done += packed.taken


def _read_again(
    image: Image, tree: Tree, parsers: Parsers, limits: Limits, passes: _Passes, gatherer: Gatherer
) -> None:
    """Fetch what is wanted under a name whose content passed under another one: a symlink, or a hard link's later name.

    Seldom; costs a second pass over the layers concerned.
    """
    names: dict[str, set[str]] = {}
    for path, entry in tree.entries.items():
        if path in tree.contents or not (entry.link or entry.type is FileType.SYMLINK) or not parsers.wanted(path):
            continue
        target = path if entry.type is FileType.FILE else parsers.resolve(tree.entries, path)
        found = tree.entries.get(target)
        if found is None or found.type is not FileType.FILE or found.size > limits.content:
            continue
        if target in tree.contents:
            tree.contents[path] = tree.contents[target]
        else:
            names.setdefault(target, set()).add(path)
    groups = _link_groups(tree, names)
    by_layer: dict[int, set[str]] = {}
    for target in names:
        by_layer.setdefault(tree.entries[target].layer, set()).add(target)
    for index, targets in sorted(by_layer.items()):
        wanted = {one for target in targets for one in groups.get(target, {target})}
        again = Gatherer(wanted.__contains__, lambda _: None, limits)
        with passes.open(index) as (source, what):
            changes = LayerReader(again, limits).read(source, index, tree, what)
        for target in targets:
            content = changes.tree.contents.get(target)
            for path in names[target] if content is not None else ():
                tree.contents[path] = tree.contents[target] = content or b""
            if content is None:
                gatherer.note("content", f"{target}: could not be read again where it is wanted")


def _link_groups(tree: Tree, names: Mapping[str, object]) -> dict[str, set[str]]:
    numbers = {tree.entries[path].link for path in names} - {0}
    if not numbers:
        return {}
    groups: dict[int, set[str]] = {number: set() for number in numbers}
    for path, entry in tree.entries.items():
        if entry.link in groups:
            groups[entry.link].add(path)
    return {path: groups[tree.entries[path].link] for path in names if tree.entries[path].link}


def finish(inventory: Inventory, tree: Tree, parsers: Parsers, gatherer: Gatherer) -> Inventory:
    """Fill an inventory with what was read, and let the packages be read from what was kept."""
    tree.finish()
    inventory.packages, notes = parsers.read_packages(tree.contents, tree.entries)
    for words in notes:
        gatherer.note("packages", words)
    inventory.entries = tree.entries
    inventory.elf = dict(sorted(tree.elf.items()))
    inventory.scripts = dict(sorted(tree.scripts.items()))
    inventory.contents = {path: tree.contents[path] for path in sorted(tree.contents) if parsers.closure_wanted(path)}
    inventory.notes = gatherer.finish()
    return inventory
