"""Images in archives and folders: an OCI image layout, or what `docker save` writes.

Sources: OCI image-spec, image-layout.md; moby, image/tarexport (manifest.json, an array of Config, RepoTags, Layers).
`docker save` of Docker 25 and later writes both into one archive; the layout is taken, as it has the manifest's digest.
"""

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from snoop_image.assemble import Image
from snoop_image.blobs import FolderParts, Parts, TarParts, read_part
from snoop_image.documents import (
    INDEXES,
    Descriptor,
    Manifest,
    Platform,
    layers_of,
    parse_json,
    read_config,
    read_index,
    read_manifest,
    select,
)
from snoop_image.limits import Limits
from snoop_image.model import ImageError, Layer
from snoop_image.reference import same_image
from snoop_image.streams import Readable, checked_digest, shown, verify

_DEPTH = 4


def open_parts(path: Path, limits: Limits) -> Parts:
    """Open an archive or the folder of one. ImageError if it is neither."""
    if path.is_dir():
        return FolderParts(path)
    if not path.exists():
        raise ImageError(f"{path}: there is no such file")
    return TarParts(path, limits)


def find_image(parts: Parts, platform: Platform, reference: str, limits: Limits) -> Image:
    """Find the image that is meant. ImageError if there is none, or several and none is named."""
    if parts.has("index.json"):
        found = _layout(parts, platform, reference, limits)
        if found is not None:
            return found
    if parts.has("manifest.json"):
        return _docker(parts, reference, limits)
    raise ImageError(
        f"{parts.what}: is no image archive: it has neither index.json (OCI) nor manifest.json (docker save); "
        "is it a root file system?"
    )


def _blob(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/", 1)


def _layout(parts: Parts, platform: Platform, reference: str, limits: Limits) -> Image | None:
    index = read_index(parse_json(read_part(parts, "index.json", limits), f"{parts.what}: index.json"), parts.what)
    if not index and parts.has("manifest.json"):
        return None
    chosen = select(_named(index, reference, parts.what), platform, parts.what)
    document = _document(parts, chosen, limits)
    for _ in range(_DEPTH):
        if "manifests" not in document and chosen.media_type not in INDEXES:
            break
        chosen = select(_present(parts, read_index(document, parts.what)), platform, parts.what)
        document = _document(parts, chosen, limits)
    what = f"{parts.what}: {chosen.digest}"
    manifest = read_manifest(document, chosen.media_type, what)
    return _image(parts, chosen.digest, manifest, limits)


def _present(parts: Parts, offered: tuple[Descriptor, ...]) -> list[Descriptor]:
    """Leave out what was not saved: `docker save` keeps an index's other platforms as names only."""
    there = [one for one in offered if parts.has(_blob(one.digest))]
    return there or list(offered)


def _named(index: tuple[Descriptor, ...], reference: str, what: str) -> list[Descriptor]:
    if reference:
        found = [one for one in index if one.name and same_image(one.name, reference)]
        found = found or [one for one in index if one.digest == reference or reference.endswith("@" + one.digest)]
        if not found:
            raise ImageError(f"{what}: has no image {reference!r}{_list(one.name for one in index)}")
        return found
    names = {one.name for one in index}
    if len(names) > 1:
        raise ImageError(f"{what}: has several images: say which one{_list(names)}")
    return list(index)


def _list(names: Any) -> str:
    known = sorted({name for name in names if name})
    return f"; it has {shown(', '.join(known), 500)}" if known else ""


def _document(parts: Parts, descriptor: Descriptor, limits: Limits) -> dict[str, Any]:
    content = read_part(parts, _blob(descriptor.digest), limits)
    what = f"{parts.what}: {descriptor.digest}"
    verify(content, descriptor.digest, what)
    return parse_json(content, what)


def _image(parts: Parts, digest: str, manifest: Manifest, limits: Limits) -> Image:
    raw = read_part(parts, _blob(manifest.config.digest), limits)
    what = f"{parts.what}: configuration"
    verify(raw, manifest.config.digest, what)
    config, diff_ids, commands = read_config(raw, what)
    layers = layers_of(diff_ids, commands, manifest.layers, parts.what)

    def open_layer(index: int) -> AbstractContextManager[Readable]:
        return parts.open(_blob(manifest.layers[index].digest))

    return Image(parts.what, digest, config, layers, open_layer)


def _docker(parts: Parts, reference: str, limits: Limits) -> Image:
    what = f"{parts.what}: manifest.json"
    try:
        images = json.loads(read_part(parts, "manifest.json", limits))
    except (ValueError, RecursionError) as error:
        raise ImageError(f"{what}: is no JSON: {error}") from error
    if not isinstance(images, list) or not all(isinstance(one, dict) for one in images) or not images:
        raise ImageError(f"{what}: lists no images; is it from docker save?")
    image = _choose(images, reference, parts.what)
    name, files = image.get("Config"), image.get("Layers")
    if not isinstance(name, str) or not isinstance(files, list) or not all(isinstance(one, str) for one in files):
        raise ImageError(f"{what}: has no Config or no Layers")
    raw = read_part(parts, name, limits)
    digest = name.rsplit("/", 1)[-1].removesuffix(".json")
    if len(digest) == 64:
        verify(raw, checked_digest(f"sha256:{digest}", what), f"{parts.what}: configuration")
    config, diff_ids, commands = read_config(raw, f"{parts.what}: configuration")
    if len(diff_ids) != len(files):
        raise ImageError(f"{parts.what}: the manifest has {len(files)} layers, the configuration {len(diff_ids)}")
    layers = [Layer(digest=one, command=command) for one, command in zip(diff_ids, commands, strict=True)]

    def open_layer(index: int) -> AbstractContextManager[Readable]:
        return parts.open(files[index])

    return Image(parts.what, "", config, layers, open_layer)


def _choose(images: list[dict[str, Any]], reference: str, what: str) -> dict[str, Any]:
    def tags(image: dict[str, Any]) -> list[str]:
        found = image.get("RepoTags")
        return [tag for tag in found if isinstance(tag, str)] if isinstance(found, list) else []

    if reference:
        for image in images:
            if any(same_image(tag, reference) for tag in tags(image)):
                return image
        raise ImageError(f"{what}: has no image {reference!r}{_list(tag for one in images for tag in tags(one))}")
    if len(images) > 1:
        raise ImageError(
            f"{what}: has several images: say which one{_list(tag for one in images for tag in tags(one))}"
        )
    return images[0]
