"""Writes what stays of an image as a tar: of a root file system, or an image archive of one layer.

The archive is an OCI image layout and what `docker load` takes, in one, as `docker save` itself writes it since Docker
25 (OCI image-spec, image-layout.md, config.md; moby, image/tarexport): skopeo, podman, containerd and Docker read it.
"""

import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from snoop_image.model import FileType, ImageError
from snoop_image.slim_items import Item
from snoop_image.streams import CHUNK, Readable

_TYPES = {
    FileType.FILE: tarfile.REGTYPE,
    FileType.DIRECTORY: tarfile.DIRTYPE,
    FileType.SYMLINK: tarfile.SYMTYPE,
    FileType.CHARACTER: tarfile.CHRTYPE,
    FileType.BLOCK: tarfile.BLKTYPE,
    FileType.FIFO: tarfile.FIFOTYPE,
}
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"


def write_root(items: Iterable[Item], target: Path) -> list[str]:
    """Write a root file system as a tar; gives notes. ImageError if it cannot be; then nothing is there."""
    notes: list[str] = []
    with _Whole(target) as file:
        notes += _write_layer(items, file)
    return notes


def write_image(
    items: Iterable[Item], target: Path, config: Mapping[str, Any], labels: Mapping[str, str], name: str
) -> list[str]:
    """Write an image archive: the layer, and `config` (an image's configuration, parsed) with `labels` added.

    `name`: what the image is called in it, as REGISTRY/NAME:TAG; empty: nothing. Gives notes. ImageError as above.
    """
    with _Whole(target) as file:
        # The layer's name is its digest, so its header comes last.
        file.write(bytes(tarfile.BLOCKSIZE))
        hashing = _Hashing(file)
        notes = _write_layer(items, cast("BinaryIO", hashing))
        layer = hashing.digest
        end = _pad(file, hashing.written)
        file.seek(0)
        file.write(_header(f"blobs/sha256/{layer}", hashing.written))
        file.seek(end)
        _write_documents(file, layer, hashing.written, _slimmed(config, f"sha256:{layer}", labels), name)
    return notes


def _slimmed(config: Mapping[str, Any], layer: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """Give a configuration as it was but for what tells of the layers, and the labels."""
    made = dict(config)
    made["rootfs"] = {"type": "layers", "diff_ids": [layer]}
    step: dict[str, str] = {"created_by": "snoop slim"}
    if isinstance(made.get("created"), str):
        step["created"] = made["created"]
    made["history"] = [step]
    # Docker's own, of the build that made the other layers.
    for stale in ("container", "container_config"):
        made.pop(stale, None)
    runs = made.get("config")
    runs = dict(runs) if isinstance(runs, dict) else {}
    known = runs.get("Labels")
    runs["Labels"] = {**(known if isinstance(known, dict) else {}), **labels}
    made["config"] = runs
    return made


def _write_documents(file: BinaryIO, layer: str, size: int, config: dict[str, Any], name: str) -> None:
    archive = tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT)  # noqa: SIM115 # the file is not its own

    def add(path: str, content: bytes) -> None:
        info = tarfile.TarInfo(path)
        info.size = len(content)
        info.mode = 0o644
        archive.addfile(info, io.BytesIO(content))

    def blob(document: Mapping[str, Any], kind: str) -> dict[str, Any]:
        content = json.dumps(document, separators=(",", ":")).encode()
        digest = hashlib.sha256(content).hexdigest()
        add(f"blobs/sha256/{digest}", content)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}

    made = blob(config, _CONFIG)
    parts = [{"mediaType": _LAYER, "digest": f"sha256:{layer}", "size": size}]
    manifest = blob({"schemaVersion": 2, "mediaType": _MANIFEST, "config": made, "layers": parts}, _MANIFEST)
    if name:
        manifest["annotations"] = {
            "io.containerd.image.name": name,
            "org.opencontainers.image.ref.name": name.rpartition(":")[2],
        }
    index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [manifest]}
    config_path = "blobs/" + str(made["digest"]).replace(":", "/")
    docker = [{"Config": config_path, "RepoTags": [name] if name else None, "Layers": [f"blobs/sha256/{layer}"]}]
    add("index.json", json.dumps(index).encode())
    add("manifest.json", json.dumps(docker).encode())
    add("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    archive.close()


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    return info.tobuf(tarfile.GNU_FORMAT)


def _pad(file: BinaryIO, size: int) -> int:
    file.write(bytes(-size % tarfile.BLOCKSIZE))
    return file.tell()


def _write_layer(items: Iterable[Item], file: BinaryIO) -> list[str]:
    notes: list[str] = []
    archive = tarfile.open(  # noqa: SIM115 # the file is not its own
        fileobj=file, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape"
    )
    for item in items:
        if item.entry.type is FileType.SOCKET:
            notes.append(f"{item.entry.path}: is a socket, which no tar can hold: its server makes it anew")
            continue
        info = _info(item)
        if info.isreg() and item.open is not None:
            with item.open() as source:
                archive.addfile(info, cast("Any", _Exact(source, item)))
        else:
            archive.addfile(info)
        archive.members = []  # type: ignore[attr-defined] # or it keeps each one
    archive.close()
    return notes


def _info(item: Item) -> tarfile.TarInfo:
    entry = item.entry
    info = tarfile.TarInfo(entry.path.lstrip("/") or "./")
    info.type = _TYPES[entry.type]
    info.mode, info.uid, info.gid = entry.mode, entry.uid, entry.gid
    seconds, rest = divmod(item.modified, 1_000_000_000)
    info.mtime = seconds
    headers: dict[str, str] = {}
    if rest and seconds >= 0:
        headers["mtime"] = f"{seconds}.{rest:09d}"
    if item.first:
        info.type = tarfile.LNKTYPE
        info.linkname = item.first.lstrip("/")
    elif entry.type is FileType.SYMLINK:
        info.linkname = entry.target
    elif entry.type is FileType.FILE:
        info.size = item.size
    else:
        info.devmajor, info.devminor = item.device
    if not item.first:
        for name, value in item.attributes.items():
            headers[f"SCHILY.xattr.{name}"] = value.decode("utf-8", "surrogateescape")
    info.pax_headers = headers
    return info


class _Exact:
    """A content as long as its header says, or an error: a file that shrinks meanwhile would shift all that follows."""

    def __init__(self, source: Readable, item: Item) -> None:
        self._source = source
        self._path = item.entry.path

    def read(self, size: int, /) -> bytes:
        parts = []
        while size and (data := self._source.read(min(size, CHUNK))):
            parts.append(data)
            size -= len(data)
        if size:
            raise ImageError(f"{self._path}: became shorter while it was read: nothing may change meanwhile")
        return b"".join(parts)


class _Hashing:
    """Counts and hashes what is written through it. Forward only."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.written = 0

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.written += len(data)
        return self._file.write(data)

    def tell(self) -> int:
        return self.written


class _Whole:
    """A file that appears under its name when all is written, and else not at all."""

    def __init__(self, target: Path) -> None:
        self._target = target

    def __enter__(self) -> BinaryIO:
        try:
            descriptor, name = tempfile.mkstemp(prefix=f".{self._target.name}.", dir=self._target.parent)
        except OSError as error:
            raise ImageError(f"{self._target.parent}: cannot be written: {error.strerror}") from error
        self._work = Path(name)
        self._file = os.fdopen(descriptor, "w+b")
        return self._file

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            if error is None:
                self._file.flush()
                os.fchmod(self._file.fileno(), 0o666 & ~_umask())
                os.fsync(self._file.fileno())
                self._work.rename(self._target)
        except OSError as failure:
            raise ImageError(f"{self._target}: cannot be written: {failure.strerror or failure}") from failure
        finally:
            self._file.close()
            self._work.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise ImageError(f"{self._target}: cannot be written: {error.strerror or error}") from error


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
