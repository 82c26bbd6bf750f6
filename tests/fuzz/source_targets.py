"""What is fuzzed of an image's sources: layers, archives of images, inventories as bytes, credentials, challenges.

A layer and an archive may be refused (ImageError, one line); what is taken is whole, and comes back from the codec.
"""

import contextlib
import gzip
import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from snoop_image import codec, inventory
from snoop_image.assemble import Image, Parsers, assemble
from snoop_image.credentials import Keyring
from snoop_image.limits import Limits
from snoop_image.links import resolve
from snoop_image.model import Elf, Entry, FileType, ImageConfig, ImageError, Inventory, Layer, Package, PackageKind
from snoop_image.reference import parse
from snoop_image.tokens import challenges

LIMITS = Limits(entries=2000, names=1 << 20, unpacked=1 << 24, content=1 << 16, contents=1 << 18, temporary=1 << 20)
_PARSERS = Parsers(
    packages_wanted=lambda path: path.endswith("e"),
    closure_wanted=lambda path: path.endswith("d"),
    read_elf=lambda file: Elf(64, len(file.read())),
    read_packages=lambda contents, entries: ([], []),
    resolve=lambda entries, path: resolve(entries, path).path,
)


@contextlib.contextmanager
def refusable() -> Iterator[None]:
    words = ""
    try:
        yield
    except ImageError as error:
        words = str(error)
    assert words.isprintable(), repr(words)
    assert len(words) < 3000


def layer(data: bytes) -> None:
    """Lay two layers on one another: what stands before the cut, and what comes after it."""
    cut = int.from_bytes(data[:2], "big")
    layers = [data[2 : 2 + cut], data[2 + cut :]]
    image = Image(
        "image",
        "",
        ImageConfig(),
        [Layer(), Layer()],
        lambda index: contextlib.nullcontext(io.BytesIO(layers[index])),
    )
    with refusable():
        found = assemble(image, _PARSERS, LIMITS)
        whole(found)


def whole(found: Inventory) -> None:
    """Every name is in a directory that is there, and the same one is read back."""
    for path, entry in found.entries.items():
        assert path == entry.path
        assert path == "/" or not path.endswith("/")
        assert ".." not in path.split("/")
        above = found.entries[path[: path.rfind("/")] or "/"]
        assert above.type is FileType.DIRECTORY, path
        assert entry.size >= 0
    for known in (found.elf, found.scripts):
        assert all(found.entries[path].type is FileType.FILE for path in known)
    assert codec.loads(codec.dumps(found)) == found


def archive(data: bytes) -> None:
    """Read an archive of an image."""
    with tempfile.NamedTemporaryFile(prefix="snoop-fuzz-") as file:
        file.write(data)
        file.flush()
        with refusable():
            whole(inventory.read_archive(Path(file.name), limits=LIMITS))


def inventory_bytes(data: bytes) -> None:
    """Read an inventory's lines, as they are or packed already."""
    import zstandard

    for content in (data, zstandard.ZstdCompressor().compress(data)):
        with refusable():
            found = codec.loads(content)
            assert codec.loads(codec.dumps(found)) == found


def credentials(data: bytes) -> None:
    """Read a pull secret, a challenge, and a name."""
    keyring = Keyring()
    with refusable():
        keyring.add(data, "secret")
        keyring.find(parse("registry.example.com:5000/team/app:1"))
    text = data.decode("utf-8", "replace")
    challenges(text)
    with refusable():
        found = parse(text)
        assert parse(str(found)) == found
        keyring.find(found)


def _tar(*members: tuple[str, bytes, bytes, str], form: int = tarfile.PAX_FORMAT, **pax: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as made:
        for name, kind, content, target in members:
            member = tarfile.TarInfo(name)
            member.type, member.size, member.linkname, member.mode = kind, len(content), target, 0o755
            member.pax_headers = pax
            made.addfile(member, io.BytesIO(content))
    return out.getvalue()


def _lower() -> bytes:
    return _tar(
        ("etc", tarfile.DIRTYPE, b"", ""),
        ("etc/passwd", tarfile.REGTYPE, b"root", ""),
        ("lib", tarfile.SYMTYPE, b"", "usr/lib"),
        ("lib/run", tarfile.REGTYPE, b"#!/bin/sh\n", ""),
        ("twice", tarfile.LNKTYPE, b"", "etc/passwd"),
    )


def _upper() -> bytes:
    return _tar(
        ("etc/.wh.passwd", tarfile.REGTYPE, b"", ""),
        ("usr/.wh..wh..opq", tarfile.REGTYPE, b"", ""),
        ("a" * 120 + "/node", tarfile.REGTYPE, b"\x7fELF", ""),
        form=tarfile.GNU_FORMAT,
    )


def layer_seeds() -> list[bytes]:
    """Give pairs of layers: whiteouts, links, long names, sparse files."""
    sparse = _tar(("holes", tarfile.REGTYPE, b"1\n0\n4\n".ljust(512, b"\0") + b"data", ""), **_SPARSE)
    xattr = _tar(("ping", tarfile.REGTYPE, b"x", ""), **{"SCHILY.xattr.security.capability": "y", "size": "1"})
    pairs = [(_lower(), _upper()), (_lower()[:3072], sparse[:4096]), (xattr, gzip.compress(_upper()))]
    return [len(lower).to_bytes(2, "big") + lower + upper for lower, upper in pairs]


_SPARSE = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "holes", "GNU.sparse.realsize": "4"}


def archive_seeds() -> list[bytes]:
    """Give one of each kind, without padding at the end."""
    layers = [_lower(), gzip.compress(_upper())]
    digests = [f"sha256:{hashlib.sha256(one).hexdigest()}" for one in (layers[0], _upper())]
    config = json.dumps({"os": "linux", "rootfs": {"diff_ids": digests}, "config": {"Env": ["A=b"]}}).encode()
    files = [("config.json", config), ("0/layer.tar", layers[0]), ("1/layer.tar", layers[1])]
    listed = [{"Config": "config.json", "RepoTags": ["web:1"], "Layers": ["0/layer.tar", "1/layer.tar"]}]
    docker = [*files, ("manifest.json", json.dumps(listed).encode())]

    def blob(content: bytes) -> tuple[str, bytes]:
        return f"blobs/sha256/{hashlib.sha256(content).hexdigest()}", content

    def described(content: bytes, kind: str) -> dict[str, object]:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest, "size": len(content)}

    manifest = json.dumps(
        {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": described(config, "config.v1+json"),
            "layers": [described(one, "layer.v1.tar") for one in layers],
        }
    ).encode()
    index = json.dumps({"manifests": [described(manifest, "manifest.v1+json")]}).encode()
    oci = [*map(blob, (config, manifest, *layers)), ("index.json", index)]
    return [_tar(*[(name, tarfile.REGTYPE, content, "") for name, content in one])[:-9000] for one in (docker, oci)]


def inventory_seeds() -> list[bytes]:
    """Give the lines of an inventory with everything."""
    import zstandard

    found = Inventory("image", "sha256:1", ImageConfig(user="x", raw=b"{}"), [Layer("a", "b", 1, "c")])
    for entry in (Entry("/", FileType.DIRECTORY, 0o755), Entry("/a", FileType.FILE, 0o644, size=3, attributes=("u",))):
        found.entries[entry.path] = entry
    found.packages.append(Package(PackageKind.DEB, "p", "1", files=("/a", "/gone"), requires=(("a", "b"),)))
    found.elf["/a"] = Elf(64, 62, needed=("libc.so.6",))
    found.scripts["/a"] = "/bin/sh"
    found.contents["/a"] = b"abc"
    found.notes.append("note")
    return [zstandard.ZstdDecompressor().decompressobj().decompress(codec.dumps(found))]


def credential_seeds() -> list[bytes]:
    """Give each form of a pull secret, challenges, names."""
    return [
        b'{"auths":{"https://index.docker.io/v1/":{"auth":"cDpz"},"*.example.com:5000/team":{"identitytoken":"t"}}}',
        b'{"registry.example.com:5000":{"username":"u","password":"p"}}',
        b'Negotiate, Basic realm="a \\"b\\"", Bearer realm="https://a/t",service=s,scope="repository:a/b:pull"',
        f"registry.example.com:5000/team/app:1.2@sha256:{os.urandom(32).hex()}".encode(),
    ]


SOURCES = {
    "layer": (layer, layer_seeds),
    "archive": (archive, archive_seeds),
    "inventory": (inventory_bytes, inventory_seeds),
    "credentials": (credentials, credential_seeds),
}
"""Targets by name: what runs, and its seeds."""
