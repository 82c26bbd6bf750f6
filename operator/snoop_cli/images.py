"""Which image is meant, and how it is read: from a registry, an archive or a root file system's folder."""

import contextlib
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from snoop_cli.exits import Failure
from snoop_cli.spelling import printable, size
from snoop_image.documents import Platform
from snoop_image.model import ImageError, Inventory
from snoop_image.reference import Reference
from snoop_image.reference import parse as parse_reference

if TYPE_CHECKING:
    from snoop_image.inventory import Progress
    from snoop_image.slim import Opened
    from snoop_image.transport import Transport

_C = TypeVar("_C", bound=Callable[..., Any])
_PLATFORM = re.compile(r"([a-z0-9]+)/([a-z0-9_]+)(?:/([a-z0-9.]+))?")
_EVERY = 0.1
"""Seconds between two looks of the progress line."""


@dataclass(frozen=True, slots=True)
class Source:
    """The image that a person named."""

    image: str = ""
    """A reference; with an archive, which of its images."""
    archive: Path | None = None
    rootfs: Path | None = None
    platform: Platform = field(default_factory=Platform)
    plain_http: tuple[str, ...] = ()
    registry_ca: Path | None = None

    def reference(self) -> Reference | None:
        """Give what a registry is asked for; None: none is. ImageError if it is no reference."""
        return parse_reference(self.image) if self.image and not self.archive else None

    def exactly(self, digest: str) -> "Source":
        """Mean the image by its digest, if the reference has none."""
        asked = self.reference()
        if asked is None or asked.digest or not digest:
            return self
        return replace(self, image=str(replace(asked, tag="", digest=digest)))

    # What speaks to registries takes 0.1 s to load, so it is loaded only here.

    def read(self, progress: "Progress | None" = None) -> Inventory:
        """Read it. ImageError says why that cannot be."""
        from snoop_image import inventory
        from snoop_image.credentials import load_keyring

        if self.rootfs is not None:
            return inventory.read_rootfs(self.rootfs, progress)
        if self.archive is not None:
            return inventory.read_archive(self.archive, self.platform, self.image, progress)
        reference = parse_reference(self.image)
        return inventory.read_registry(reference, self.platform, load_keyring(), self._transport(), progress)

    def opened(self, inventory: Inventory) -> "Opened":
        """Say how its content is opened again."""
        from snoop_image import slim
        from snoop_image.credentials import load_keyring

        if self.rootfs is not None:
            return slim.folder(self.rootfs)
        if self.archive is not None:
            return slim.in_archive(self.archive, self.platform, self.image)
        reference = parse_reference(self.image)
        return slim.in_registry(reference, inventory.digest, self.platform, load_keyring(), self._transport())

    def _transport(self) -> "Transport":
        from snoop_image.transport import Transport

        return Transport(plain_http=self.plain_http, ca_file=self.registry_ca)


def options(command: _C) -> _C:
    """Add the options that name an image; `chosen` reads them."""
    return named(reading(command))


def named(command: _C, suffix: str = "") -> _C:
    """Add the options that say where an image is."""
    path = click.Path(path_type=Path)
    whose = f" of {suffix[1:].upper()}" if suffix else ""
    for option in reversed(
        [
            click.option(
                f"--image{suffix}",
                metavar="REF",
                default="",
                help=f"The image{whose} in its registry, read with what docker login or podman login left; with "
                f"--archive{suffix}, which of its images.",
            ),
            click.option(
                f"--archive{suffix}",
                metavar="FILE",
                type=path,
                help=f"The image{whose} in what docker save wrote, or an OCI layout.",
            ),
            click.option(
                f"--rootfs{suffix}", metavar="DIR", type=path, help=f"The root file system{whose} in a folder."
            ),
        ]
    ):
        command = option(command)
    return command


def reading(command: _C) -> _C:
    """Add the options that say how any image is read."""
    for option in reversed(
        [
            click.option(
                "--platform",
                metavar="OS/ARCH",
                default=str(Platform()),
                show_default=True,
                callback=_platform,
                help="Which image of several.",
            ),
            click.option(
                "--plain-http",
                metavar="HOST",
                multiple=True,
                help="A registry (with its port) that may be spoken to without TLS; may be repeated.",
            ),
            click.option(
                "--registry-ca",
                metavar="FILE",
                type=click.Path(path_type=Path),
                help="Certificates (PEM) to trust for the registry, in place of the system's.",
            ),
        ]
    ):
        command = option(command)
    return command


def _platform(_context: click.Context, _parameter: click.Parameter, value: str) -> Platform:
    match = _PLATFORM.fullmatch(value)
    if match is None:
        raise click.BadParameter(f"{value!r} is not like linux/amd64 or linux/arm/v7")
    return Platform(match[2], match[1], match[3] or "")


def chosen(given: dict[str, Any]) -> Source:
    """Read what `options` added to a command's arguments. UsageError unless one image is named."""
    source = maybe(given)
    if source is None:
        raise click.UsageError("name the image once: --image REF, --archive FILE or --rootfs DIR")
    return source


def maybe(given: dict[str, Any], suffix: str = "", image: str = "") -> Source | None:
    """Read what `named` and `reading` added; None: no image is named, and `image` is empty."""
    asked, archive, rootfs = (given[f"{one}{suffix}"] for one in ("image", "archive", "rootfs"))
    if rootfs and (asked or archive):
        raise click.UsageError(f"name the image once: --image, --archive or --rootfs{suffix.replace('_', '-')}")
    if not (asked or archive or rootfs or image):
        return None
    reference = asked or ("" if archive or rootfs else image)
    return Source(reference, archive, rootfs, given["platform"], given["plain_http"], given["registry_ca"])


@contextlib.contextmanager
def failing() -> Iterator[None]:
    """Turn what is wrong with an image into the command's one line."""
    try:
        yield
    except ImageError as error:
        raise Failure(str(error)) from error


@contextlib.contextmanager
def progress(label: str) -> "Iterator[Progress | None]":
    """Show on a terminal how far it is; nothing elsewhere."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    last = 0.0

    def show(words: str, done: int, total: int) -> None:
        nonlocal last
        if (now := time.monotonic()) - last < _EVERY:
            return
        last = now
        part = f" of {size(total)} ({min(done * 100 // total, 100)} %)" if total else ""
        _line(f"{label}: {printable(words)}, {size(done)}{part}")

    try:
        yield show
    finally:
        _line("")


def _line(words: str) -> None:
    with contextlib.suppress(OSError):
        # The line is cleared to its end (ECMA-48, EL).
        click.echo(f"\r{words}\x1b[K", nl=False, err=True)
