"""All that an image holds: from a root file system folder, an archive or a registry."""

from collections.abc import Mapping
from pathlib import Path

from snoop_image import archive, closure, elf, links, packages, registry, rootfs
from snoop_image.assemble import Parsers, Progress, assemble
from snoop_image.credentials import Keyring
from snoop_image.documents import Platform
from snoop_image.limits import Limits
from snoop_image.model import Entry, ImageError, Inventory
from snoop_image.reference import Reference
from snoop_image.transport import BrokenError, Client, Transport

__all__ = [
    "Keyring",
    "Limits",
    "Platform",
    "Progress",
    "Reference",
    "Transport",
    "read_archive",
    "read_registry",
    "read_rootfs",
]

_LIMITS = Limits()
_PLATFORM = Platform()
_TRANSPORT = Transport()


def _resolve(entries: Mapping[str, Entry], path: str) -> str:
    return links.resolve(entries, path).path


_PARSERS = Parsers(
    packages_wanted=packages.wanted,
    # What is kept also says of which distribution the packages are.
    closure_wanted=lambda path: closure.wanted(path) or packages.release.wanted(path),
    read_elf=elf.read_elf,
    read_packages=packages.read_packages,
    resolve=_resolve,
)


def read_rootfs(folder: Path, progress: Progress | None = None, limits: Limits = _LIMITS) -> Inventory:
    """Read a root file system in a folder. ImageError if it is none; what cannot be read in it is in the notes."""
    return rootfs.read_folder(folder, _PARSERS, limits, progress)


def read_archive(
    path: Path,
    platform: Platform = _PLATFORM,
    reference: str = "",
    progress: Progress | None = None,
    limits: Limits = _LIMITS,
) -> Inventory:
    """Read an image from what `docker save` wrote or an OCI layout, as a tar archive (compressed or not) or a folder.

    `reference` chooses among several images. ImageError if there is none, or it is damaged.
    """
    parts = archive.open_parts(path, limits)
    try:
        return assemble(archive.find_image(parts, platform, reference, limits), _PARSERS, limits, progress)
    finally:
        parts.close()


def read_registry(
    reference: Reference,
    platform: Platform = _PLATFORM,
    keyring: Keyring | None = None,
    transport: Transport = _TRANSPORT,
    progress: Progress | None = None,
    limits: Limits = _LIMITS,
) -> Inventory:
    """Read an image from its registry, nothing of it kept on disk; blocks for as long as the image takes.

    An index's digest or tag leads to the image of `platform`, whose digest the inventory has. Without a keyring it asks
    anonymously. ImageError if the registry cannot be reached, refuses, or gives something else than was asked for.
    """
    client = Client(transport)
    try:
        repository = registry.Repository(reference, client, keyring or Keyring())
        image = registry.find_image(repository, reference, platform, limits)
        return assemble(image, _PARSERS, limits, progress)
    except BrokenError as error:
        raise ImageError(f"{reference}: {error}") from error
    finally:
        client.close()
