"""An image without what was not seen in use: a root file system in a folder or a tar, or an image archive.

Only on complete evidence. Nothing is at the target until all of it is.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from snoop_image import archive, registry
from snoop_image.assemble import Image, Progress
from snoop_image.credentials import Keyring
from snoop_image.documents import Platform
from snoop_image.limits import Limits
from snoop_image.model import ImageError, Inventory
from snoop_image.reference import Reference
from snoop_image.slim_folder import write_folder
from snoop_image.slim_items import of_folder, of_image
from snoop_image.slim_tar import write_image, write_root
from snoop_image.totals import Count
from snoop_image.transport import BrokenError, Client, Transport
from snoop_image.verdict import Judgement, Verdict

__all__ = ["Opened", "Slimmed", "folder", "in_archive", "in_registry", "slim"]

_LIMITS = Limits()
_PACKED = (".gz", ".tgz", ".zst", ".xz", ".bz2", ".zip")
Opened = Callable[[], AbstractContextManager[Path | Image]]
"""Opens again what an inventory was read from."""


@dataclass(frozen=True, slots=True)
class Slimmed:
    """What became of an image."""

    before: Count
    """Names that are no directories, and bytes of content, hard links once."""
    after: Count
    notes: tuple[str, ...]
    """What could not be kept, a sentence each."""


def folder(path: Path) -> Opened:
    """Open a root file system's folder."""
    return lambda: contextlib.nullcontext(path)


def in_archive(path: Path, platform: Platform, reference: str = "", limits: Limits = _LIMITS) -> Opened:
    """Open an image in an archive, as `inventory.read_archive` found it."""

    @contextlib.contextmanager
    def opened() -> Iterator[Path | Image]:
        parts = archive.open_parts(path, limits)
        try:
            yield archive.find_image(parts, platform, reference, limits)
        finally:
            parts.close()

    return opened


def in_registry(
    reference: Reference,
    digest: str,
    platform: Platform,
    keyring: Keyring | None = None,
    transport: Transport | None = None,
    limits: Limits = _LIMITS,
) -> Opened:
    """Open an image in its registry, by the digest of the manifest that `inventory.read_registry` found."""

    @contextlib.contextmanager
    def opened() -> Iterator[Path | Image]:
        client = Client(transport or Transport())
        exact = replace(reference, digest=digest or reference.digest)
        try:
            repository = registry.Repository(exact, client, keyring or Keyring())
            yield registry.find_image(repository, exact, platform, limits)
        except BrokenError as error:
            raise ImageError(f"{reference}: {error}") from error
        finally:
            client.close()

    return opened


def check_target(target: Path) -> None:
    """ImageError if something is at the target that would be lost, or it has no folder to be in."""
    if target.suffix in _PACKED:
        raise ImageError(f"{target}: snoop does not compress: name a .tar")
    if not target.name:
        raise ImageError(f"{target}: names no new file or folder")
    if not target.parent.is_dir():
        raise ImageError(f"{target}: there is no folder {target.parent}")
    if not os.path.lexists(target):
        return
    if target.is_dir() and not target.is_symlink():
        if target.suffix == ".tar":
            raise ImageError(f"{target}: is a folder: name a new file")
        if any(target.iterdir()):
            raise ImageError(f"{target}: is not empty: name a new folder, or remove what is there")
        if target.is_mount():
            raise ImageError(f"{target}: is a mount point: name a new folder in it")
        return
    raise ImageError(f"{target}: is there already: name a new one, or remove it")


def slim(
    judgement: Judgement,
    opened: Opened,
    target: Path,
    *,
    labels: Mapping[str, str] | None = None,
    name: str = "",
    progress: Progress | None = None,
    limits: Limits = _LIMITS,
) -> Slimmed:
    """Write to `target` what stays of the judged image.

    A target that ends in `.tar` becomes an image archive with the image's configuration and `labels`, called `name`;
    of a root file system's folder, a tar of the root file system. Any other target becomes a folder.

    ImageError: the evidence is incomplete, something is at the target, the image has changed, or cannot be written.
    """
    if not judgement.grade.complete:
        raise ImageError(f"cannot be slimmed: {judgement.grade.words}")
    check_target(target)
    inventory = judgement.inventory
    kept = [entry.path for entry in judgement.kept()]
    with opened() as source:
        if isinstance(source, Path):
            if target.resolve().is_relative_to(source.resolve()):
                raise ImageError(f"{target}: lies in {source}, which is being read")
            with of_folder(source, inventory, kept) as items:
                notes = (write_root if target.suffix == ".tar" else write_folder)(items, target)
        else:
            with of_image(source, inventory, kept, target.resolve().parent, limits, progress) as items:
                if target.suffix == ".tar":
                    notes = write_image(items, target, _config(inventory), labels or {}, name)
                else:
                    notes = write_folder(items, target)
    return Slimmed(judgement.totals.counts.of(), _kept(judgement), tuple(notes))


def _kept(judgement: Judgement) -> Count:
    counts = judgement.totals.counts
    return counts.of(*(verdict.value for verdict in Verdict if verdict is not Verdict.UNUSED))


def _config(inventory: Inventory) -> dict[str, object]:
    try:
        found = json.loads(inventory.config.raw)
    except ValueError as error:
        raise ImageError(f"{inventory.source}: the configuration is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ImageError(f"{inventory.source}: the configuration is no JSON object")
    return found
