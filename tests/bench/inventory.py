"""How long the inventory of a big image takes, and how much memory: an image of 2 GB and 200,000 files.

    .venv/bin/python tests/bench/inventory.py [--files N] [--bytes N]

The image, an OCI layout in a folder, is made once and kept in $SNOOP_CACHE (~/.cache/snoop). Each reading runs in a
process of its own, so that its peak memory is its own.
"""

import argparse
import gzip
import hashlib
import io
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

LAYERS = 8
PACKAGE = 100
TARGET_SECONDS = 60
TARGET_MIB = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--bytes", type=int, default=2 * 10**9)
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        read(options.read)
        return
    layout = made(options.files, options.bytes)
    subprocess.run([sys.executable, __file__, "--read", str(layout)], check=True)


def made(files: int, size: int) -> Path:
    """Give the image's folder; it is made if it is not there."""
    cache = Path(os.environ.get("SNOOP_CACHE") or Path.home() / ".cache" / "snoop") / "bench"
    layout = cache / f"image-2-{files}-{size}"
    if (layout / "index.json").exists():
        return layout
    print(f"making {layout} (a minute or two)", file=sys.stderr)
    shutil.rmtree(layout, ignore_errors=True)
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    status: list[str] = []
    layers = [layer(blobs, number, files // LAYERS, size // LAYERS, status) for number in range(LAYERS)]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": ["/usr/bin/app-0-0"], "Env": ["PATH=/usr/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [diff_id for diff_id, _, _ in layers]},
    }
    kind = "application/vnd.oci.image"
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{kind}.manifest.v1+json",
        "config": {"mediaType": f"{kind}.config.v1+json", **stored(blobs, config)},
        "layers": [
            {"mediaType": f"{kind}.layer.v1.tar+gzip", "digest": digest, "size": length} for _, digest, length in layers
        ],
    }
    listed = {"mediaType": f"{kind}.manifest.v1+json", **stored(blobs, manifest)}
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [listed]}))
    return layout


def stored(blobs: Path, document: object) -> dict[str, object]:
    content = json.dumps(document).encode()
    digest = hashlib.sha256(content).hexdigest()
    (blobs / digest).write_bytes(content)
    return {"digest": f"sha256:{digest}", "size": len(content)}


class Hashing(io.RawIOBase):
    """Writes on, hashed."""

    def __init__(self, file: io.RawIOBase) -> None:
        super().__init__()
        self._file = file
        self.hash = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        return self._file.write(data)


def layer(blobs: Path, number: int, files: int, size: int, status: list[str]) -> tuple[str, str, int]:
    """Make a layer: directories of 50 files, an ELF file in twenty, a package of dpkg's for each hundred files."""
    chance = random.Random(number)
    words = [chance.randbytes(6).hex().encode() for _ in range(4000)]
    text = b" ".join(chance.choices(words, k=200_000))
    program = Path("/usr/bin/env").read_bytes()
    scratch = blobs / f"layer-{number}"
    with scratch.open("wb", buffering=0) as raw:
        packed = Hashing(raw)
        with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1, mtime=0) as zipped:
            plain = Hashing(zipped)
            with tarfile.open(fileobj=plain, mode="w|", bufsize=1 << 20, format=tarfile.PAX_FORMAT) as archive:
                fill(archive, number, files, size, chance, text, program, status)
    digest = packed.hash.hexdigest()
    length = scratch.stat().st_size
    scratch.rename(blobs / digest)
    return f"sha256:{plain.hash.hexdigest()}", f"sha256:{digest}", length


def fill(
    archive: tarfile.TarFile,
    number: int,
    files: int,
    size: int,
    chance: random.Random,
    text: bytes,
    program: bytes,
    status: list[str],
) -> None:
    def add(name: str, content: bytes, mode: int = 0o644) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = len(content), mode, 1_700_000_000
        archive.addfile(member, io.BytesIO(content))

    listed: list[str] = []
    for at in range(files):
        name = f"usr/lib/part-{number}/directory-{at // 50}/a-rather-usual-name-{at}"
        if at % 20 == 0:
            add(name + ".so", program, 0o755)
            listed.append("/" + name + ".so")
        else:
            length = min(int(chance.lognormvariate(8.3, 1.3)), 5_000_000) * size // (files * 9_000)
            begin = chance.randrange(len(text) // 2)
            add(name, (text[begin:] * (length // (len(text) - begin) + 1))[:length])
            listed.append("/" + name)
        if len(listed) == PACKAGE:
            package = f"package-{number}-{at}"
            add(f"var/lib/dpkg/info/{package}.list", "\n".join(["/.", "/usr", "/usr/lib", *listed, ""]).encode())
            status.append(
                f"Package: {package}\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.{number}\n"
            )
            listed = []
    add("var/lib/dpkg/status", "\n".join(status).encode())


def read(layout: Path) -> None:
    from snoop_image import codec
    from snoop_image.inventory import read_archive

    begun = time.monotonic()
    inventory = read_archive(layout)
    seconds = time.monotonic() - begun
    cpu = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size = sum(entry.size for entry in inventory.entries.values())
    print(
        f"{len(inventory.entries)} names, {size / 1e9:.2f} GB, {len(inventory.elf)} ELF, "
        f"{len(inventory.packages)} packages"
    )
    print(f"inventory: {seconds:.1f} s ({cpu:.1f} s of CPU), at most {peak:.0f} MiB")
    begun = time.monotonic()
    content = codec.dumps(inventory)
    written = time.monotonic() - begun
    begun = time.monotonic()
    assert codec.loads(content) == inventory
    again = time.monotonic() - begun
    print(f"as bytes: {len(content) / 1e6:.1f} MB, written in {written:.1f} s, read in {again:.1f} s")
    verdict = "met" if seconds <= TARGET_SECONDS and peak <= TARGET_MIB else "MISSED"
    print(f"target ({TARGET_SECONDS} s, {TARGET_MIB} MiB, with the verdict): {verdict}")


if __name__ == "__main__":
    main()
