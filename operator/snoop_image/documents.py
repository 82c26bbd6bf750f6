"""Manifests, indexes and configurations: the JSON that says what an image consists of.

Sources: OCI image-spec (manifest.md, image-index.md, config.md, descriptor.md) and Docker's Image Manifest V2, Schema 2
(distribution, docs/content/spec/manifest-v2-2.md), which differ in the names of media types only.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from snoop_image.model import ImageConfig, ImageError, Layer
from snoop_image.streams import checked_digest, shown

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFESTS = (OCI_MANIFEST, DOCKER_MANIFEST)
INDEXES = (OCI_INDEX, DOCKER_LIST)
_LAYERS = 1000


@dataclass(frozen=True, slots=True)
class Platform:
    """What an image runs on, in Go's names (GOOS, GOARCH), as Kubernetes has them in a node's status."""

    architecture: str = "amd64"
    os: str = "linux"
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Content that is elsewhere, by digest."""

    media_type: str
    digest: str
    size: int
    """Bytes; 0: not told."""
    platform: Platform | None = None
    name: str = ""
    """Its reference in an image layout's index."""
    urls: tuple[str, ...] = ()
    """Where a layer that the registry does not hold comes from."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image of one platform."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


def parse_json(content: bytes, what: str) -> dict[str, Any]:
    """Read a JSON object. ImageError if it is none."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ImageError(f"{what}: is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ImageError(f"{what}: is no JSON object")
    return found


def media_type(document: Mapping[str, Any], told: str = "") -> str:
    """Give a document's media type: its own word, the sender's, or what its members show."""
    own = document.get("mediaType")
    if isinstance(own, str) and own:
        return own
    if told and told != "application/json":
        return told
    if "manifests" in document:
        return OCI_INDEX
    if "fsLayers" in document or document.get("schemaVersion") == 1:
        return "application/vnd.docker.distribution.manifest.v1+json"
    return OCI_MANIFEST


def read_manifest(document: Mapping[str, Any], told: str, what: str) -> Manifest:
    """Read an image's manifest. ImageError for one that is not that of a container image."""
    kind = media_type(document, told)
    if "manifest.v1+" in kind and "docker" in kind:
        raise ImageError(f"{what}: is in Docker's schema 1, which no current runtime takes: push the image anew")
    if kind not in MANIFESTS:
        raise ImageError(f"{what}: is no image manifest, but {kind[:100]!r}")
    config = _descriptor(document.get("config"), f"{what}: config")
    listed = document.get("layers")
    if not isinstance(listed, list) or len(listed) > _LAYERS:
        raise ImageError(f"{what}: has no list of layers, or one of more than {_LAYERS}")
    layers = tuple(_descriptor(one, f"{what}: layer {number}") for number, one in enumerate(listed, 1))
    for layer in layers:
        if "tar" not in layer.media_type:
            raise ImageError(f"{what}: is not that of a container image: it holds {layer.media_type[:100]!r}")
    return Manifest(config, layers)


def read_index(document: Mapping[str, Any], what: str) -> tuple[Descriptor, ...]:
    """Read an index's images and indexes. ImageError for one that cannot be read."""
    listed = document.get("manifests")
    if not isinstance(listed, list) or len(listed) > _LAYERS:
        raise ImageError(f"{what}: has no list of manifests, or one of more than {_LAYERS}")
    return tuple(_descriptor(one, f"{what}: manifest {number}") for number, one in enumerate(listed, 1))


def select(candidates: Iterable[Descriptor], platform: Platform, what: str) -> Descriptor:
    """Choose the image that a node of that platform runs, as containerd's platforms.Only does. ImageError if none."""
    candidates = list(candidates)
    ranked = [
        (rank, -at, one)
        for at, one in enumerate(candidates)
        if (rank := _rank(one.platform, platform)) is not None and one.media_type in (*MANIFESTS, *INDEXES)
    ]
    if not ranked:
        there = sorted({str(one.platform) for one in candidates if one.platform and one.platform.os != "unknown"})
        raise ImageError(f"{what}: has no image for {platform}; it has {shown(', '.join(there), 300) or 'none at all'}")
    return max(ranked, key=lambda one: one[:2])[2]


# Newest first: what runs on a variant runs those after it (containerd/platforms, compare.go).
_ARM = ("v8", "v7", "v6", "v5")
_AMD64 = ("v4", "v3", "v2", "v1")
_DEFAULT = {"arm": "v7", "arm64": "v8", "amd64": "v1"}


def _rank(offered: Platform | None, wanted: Platform) -> int | None:
    """Say how well an offer suits; None: it does not run there. An index inside an index may say nothing."""
    if offered is None:
        return 0
    if offered.os != wanted.os:
        return None
    architecture, variant = _normal(offered)
    own, own_variant = _normal(wanted)
    if architecture != own:
        return 1 if (own, architecture) == ("arm64", "arm") else None
    order = _AMD64 if own == "amd64" else _ARM if own in ("arm", "arm64") else ()
    if own_variant in order and variant in order:
        behind = order.index(variant) - order.index(own_variant)
        return None if behind < 0 else 100 - behind
    return 100 if variant == own_variant else (50 if not variant or not own_variant else None)


def _normal(platform: Platform) -> tuple[str, str]:
    architecture = {"x86_64": "amd64", "aarch64": "arm64", "armhf": "arm"}.get(
        platform.architecture, platform.architecture
    )
    return architecture, platform.variant or _DEFAULT.get(architecture, "")


def read_config(content: bytes, what: str) -> tuple[ImageConfig, list[str], list[str]]:
    """Read a configuration: how the image runs, the layers' uncompressed digests, and what made each layer."""
    document = parse_json(content, what)
    config = document.get("config")
    config = config if isinstance(config, dict) else {}
    rootfs = document.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(diff_ids, list) or len(diff_ids) > _LAYERS:
        raise ImageError(f"{what}: does not say which layers the image has (rootfs.diff_ids)")
    digests = [checked_digest(one, f"{what}: rootfs.diff_ids") for one in diff_ids]
    labels = config.get("Labels")
    found = ImageConfig(
        architecture=_text(document.get("architecture")),
        os=_text(document.get("os")),
        variant=_text(document.get("variant")),
        user=_text(config.get("User")),
        entrypoint=_texts(config.get("Entrypoint")),
        command=_texts(config.get("Cmd")),
        environment=_texts(config.get("Env")),
        working_directory=_text(config.get("WorkingDir")),
        volumes=_keys(config.get("Volumes")),
        ports=_keys(config.get("ExposedPorts")),
        stop_signal=_text(config.get("StopSignal")),
        labels=tuple(sorted((key, _text(value)) for key, value in labels.items())) if isinstance(labels, dict) else (),
        raw=content,
    )
    return found, digests, _commands(document.get("history"), len(digests))


def layers_of(diff_ids: list[str], commands: list[str], blobs: Iterable[Descriptor], what: str) -> list[Layer]:
    """Put together what is known of each layer. ImageError if manifest and configuration disagree."""
    blobs = list(blobs)
    if len(blobs) != len(diff_ids):
        raise ImageError(f"{what}: the manifest has {len(blobs)} layers, the configuration {len(diff_ids)}")
    return [
        Layer(digest=diff_id, blob=blob.digest, size=blob.size, command=command)
        for diff_id, blob, command in zip(diff_ids, blobs, commands, strict=True)
    ]


def _commands(history: object, count: int) -> list[str]:
    """Give each layer's command; empty where the history does not fit the layers."""
    steps = [one for one in history if isinstance(one, dict)] if isinstance(history, list) else []
    made = [_text(one.get("created_by")) for one in steps if one.get("empty_layer") is not True]
    return made if len(made) == count else [""] * count


def _descriptor(value: object, what: str) -> Descriptor:
    if not isinstance(value, dict):
        raise ImageError(f"{what}: is missing or no object")
    size = value.get("size")
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise ImageError(f"{what}: has no size")
    platform = value.get("platform")
    annotations = value.get("annotations")
    annotations = annotations if isinstance(annotations, dict) else {}
    return Descriptor(
        media_type=_text(value.get("mediaType")),
        digest=checked_digest(value.get("digest"), what),
        size=size,
        platform=Platform(
            _text(platform.get("architecture")), _text(platform.get("os")), _text(platform.get("variant"))
        )
        if isinstance(platform, dict)
        else None,
        # image-spec, annotations.md: often a tag; containerd (images/annotations.go) writes the whole name beside it.
        name=_text(annotations.get("io.containerd.image.name"))
        or _text(annotations.get("org.opencontainers.image.ref.name")),
        urls=_texts(value.get("urls")),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _keys(value: object) -> tuple[str, ...]:
    return tuple(sorted(value)) if isinstance(value, dict) else ()
