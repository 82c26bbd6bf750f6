"""Images made for one test: tar archives by member, layers of them, and what holds layers."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import zstandard

from snoop_image.assemble import Image, Parsers, Progress, assemble
from snoop_image.limits import Limits
from snoop_image.links import resolve
from snoop_image.model import Elf, Entry, ImageConfig, Inventory, Layer

Member = tuple[tarfile.TarInfo, bytes]
OCI = "application/vnd.oci.image"
DOCKER = "application/vnd.docker"


def _elf(file: BinaryIO) -> Elf | None:
    # Stands in for the real one: reads at the end, so that it needs all of the file, and to go back.
    file.seek(-4, io.SEEK_END)
    end = file.read()
    file.seek(0)
    return Elf(64, file.read(5)[4], soname=end.decode("latin-1"))


class Make:
    """Makes members, tar archives and images."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self._images = 0

    def file(self, name: str, content: bytes = b"", mode: int = 0o644, **more: Any) -> Member:
        return self._member(name, tarfile.REGTYPE, content, mode=mode, **more)

    def folder(self, name: str, mode: int = 0o755, **more: Any) -> Member:
        return self._member(name, tarfile.DIRTYPE, mode=mode, **more)

    def symlink(self, name: str, target: str) -> Member:
        return self._member(name, tarfile.SYMTYPE, mode=0o777, linkname=target)

    def hardlink(self, name: str, target: str) -> Member:
        return self._member(name, tarfile.LNKTYPE, linkname=target)

    def device(self, name: str, major: int, minor: int, kind: bytes = tarfile.CHRTYPE) -> Member:
        return self._member(name, kind, devmajor=major, devminor=minor)

    def gone(self, name: str) -> Member:
        folder, _, base = name.rpartition("/")
        return self.file(f"{folder}/.wh.{base}" if folder else f".wh.{base}")

    def opaque(self, name: str) -> Member:
        return self.file(f"{name}/.wh..wh..opq")

    def _member(self, name: str, kind: bytes, content: bytes = b"", **more: Any) -> Member:
        member = tarfile.TarInfo(name)
        member.type = kind
        member.size = len(content)
        for key, value in more.items():
            setattr(member, key, value)
        return member, content

    def tar(self, *members: Member, format: int = tarfile.PAX_FORMAT, **options: Any) -> bytes:  # noqa: A002
        out = io.BytesIO()
        with tarfile.open(
            fileobj=out, mode="w", format=format, encoding="utf-8", errors="surrogateescape", **options
        ) as archive:
            for member, content in members:
                archive.addfile(member, io.BytesIO(content))
        return out.getvalue()

    def layout(
        self,
        *layers: bytes,
        pack: Callable[[bytes], bytes] = gzip.compress,
        kind: str = OCI,
        config: Mapping[str, Any] | None = None,
        platforms: Sequence[Mapping[str, str]] = (),
        names: Sequence[str] = (),
        annotations: str = "org.opencontainers.image.ref.name",
    ) -> Path:
        """An OCI layout in a folder; with `platforms` an index of one image each, whose layer says which."""
        self._images += 1
        folder = self.scratch / f"layout-{self._images}"
        (folder / "blobs/sha256").mkdir(parents=True)
        manifest_kind = f"{OCI}.manifest.v1+json" if kind == OCI else f"{DOCKER}.distribution.manifest.v2+json"

        def image(tars: Sequence[bytes], document: Mapping[str, Any]) -> dict[str, Any]:
            packed = [pack(one) for one in tars]
            whole = {
                "architecture": "amd64",
                "os": "linux",
                **document,
                "rootfs": {"type": "layers", "diff_ids": [digest(one) for one in tars]},
            }
            manifest = {
                "schemaVersion": 2,
                "mediaType": manifest_kind,
                "config": {"mediaType": f"{OCI}.config.v1+json", **self.blob(folder, whole)},
                "layers": [{"mediaType": f"{OCI}.layer.v1.tar+gzip", **self.blob(folder, one)} for one in packed],
            }
            return {"mediaType": manifest_kind, **self.blob(folder, manifest)}

        if platforms:
            listed = [
                {**image([*layers, self.tar(self.file("which", json.dumps(one).encode()))], one), "platform": one}
                for one in platforms
            ]
            index = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": listed}
            listed = [{"mediaType": f"{OCI}.index.v1+json", **self.blob(folder, index)}]
        else:
            listed = [image(layers, config or {})]
            if names:
                listed = [{**listed[0], "annotations": {annotations: name}} for name in names]
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": listed}))
        return folder

    def blob(self, folder: Path, content: object) -> dict[str, Any]:
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        (folder / "blobs" / digest(raw).replace(":", "/")).write_bytes(raw)
        return {"digest": digest(raw), "size": len(raw)}

    def packed(self, folder: Path, pack: Callable[[bytes], bytes] = bytes) -> Path:
        """A folder's files as a tar archive."""
        members = [
            self.file(str(path.relative_to(folder)), path.read_bytes())
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        ]
        path = folder.with_suffix(".tar")
        path.write_bytes(pack(self.tar(*members)))
        return path


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return Make(tmp_path)


def parsers(wanted: Sequence[str] = ()) -> Parsers:
    return Parsers(
        packages_wanted=lambda path: False,
        closure_wanted=lambda path: path in wanted,
        read_elf=_elf,
        read_packages=lambda contents, entries: ([], []),
        resolve=lambda entries, path: resolve(entries, path).path,
    )


Read = Callable[..., Inventory]


@pytest.fixture
def read() -> Read:
    """Lays layers on one another, each a tar archive."""

    def run(
        *layers: bytes,
        wanted: Sequence[str] = (),
        limits: Limits | None = None,
        progress: Progress | None = None,
    ) -> Inventory:
        import contextlib

        image = Image(
            "image",
            "",
            ImageConfig(),
            [Layer(digest=digest(one)) for one in layers],
            lambda index: contextlib.nullcontext(io.BytesIO(layers[index])),
        )
        return assemble(image, parsers(wanted), limits or Limits(), progress)

    return run


@pytest.fixture
def known_parsers() -> Callable[..., Parsers]:
    return parsers


@pytest.fixture
def zstd() -> Callable[[bytes], bytes]:
    return zstandard.ZstdCompressor().compress


def tree(inventory: Inventory) -> dict[str, str]:
    """What each path is: its type's first letter, and what tells it apart."""
    return {path: _shown(entry) for path, entry in inventory.entries.items() if path != "/"}


def _shown(entry: Entry) -> str:
    if entry.target:
        return f"→{entry.target}"
    return f"{entry.type[0]}{entry.layer}" + (f":{entry.size}" if entry.size else "")


@pytest.fixture
def shown() -> Callable[[Inventory], dict[str, str]]:
    return tree
