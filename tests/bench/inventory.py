"""How long the inventory and the verdict of a big image take, and how much memory: an image of 2 GB and 200,000 files.

The image, an OCI layout in a folder, is made once and kept in $SNOOP_CACHE (~/.cache/snoop). It is read in a process of
its own (this file, as a program), so that the peak memory is that process's.
"""

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

from tests.bench.session import Session
from tests.bench.table import Row
from tests.bench.trouble import BenchError

ROOT = Path(__file__).resolve().parents[2]
NAME = "inventory"
LAYERS = 8
PACKAGE = 100
FILES, BYTES = 200_000, 2 * 10**9
FILES_QUICK, BYTES_QUICK = 4_000, 40_000_000
SECONDS, MIB = 60, 300
USED = 20
"""One file in so many is in the evidence."""


def measure(session: Session) -> list[Row]:
    """Of a big image: its inventory, and the verdict on it."""
    layout = made(*((FILES_QUICK, BYTES_QUICK) if session.quick else (FILES, BYTES)))
    done = subprocess.run(
        [sys.executable, "-B", "-m", "tests.bench.inventory", str(layout)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    if done.returncode:
        raise BenchError(f"the image was not read: {done.stderr.strip().splitlines()[-1]}")
    told = json.loads(done.stdout)
    what = f"an image of {told['files']:,} files, {told['bytes'] / 1e9:.2g} GB"
    detail = (
        f"{told['packages']:,} packages, {told['elf']:,} ELF files; inventory {told['inventory']:.1f} s, "
        f"verdict {told['verdict']:.1f} s, {told['kept'] / 1e6:.1f} MB in the store"
    )
    session.say(f"{what}: {told['seconds']:.1f} s, {told['peak']:.0f} MiB")
    return [
        Row(NAME, f"{what}: inventory and verdict", "", told["seconds"], "s", SECONDS, detail),
        Row(NAME, f"{what}: memory at the peak", "", told["peak"], "MiB", MIB),
    ]


def made(files: int, size: int) -> Path:
    """Give the image's folder; it is made if it is not there."""
    cache = Path(os.environ.get("SNOOP_CACHE") or Path.home() / ".cache" / "snoop") / "bench"
    layout = cache / f"image-3-{files}-{size}"
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
        if at % 50 in (7, 13):
            # A symbolic link and a hard link to the files before them.
            member = tarfile.TarInfo(name)
            member.type = tarfile.SYMTYPE if at % 50 == 7 else tarfile.LNKTYPE
            before = f"a-rather-usual-name-{at - 1}"
            member.linkname = before if at % 50 == 7 else f"{name.rpartition('/')[0]}/{before}"
            archive.addfile(member)
            listed.append("/" + name)
        elif at % 20 == 0:
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


def read(layout: Path) -> dict[str, float]:
    """Read and judge it, as the operator does: the inventory is kept as bytes in between."""
    from snoop_image import codec
    from snoop_image.inventory import read_archive
    from snoop_image.model import FileType
    from snoop_image.verdict import analyze
    from snoop_report.model import ContainerReport, Kind, Observation, Outcome, Report

    begun = time.monotonic()
    inventory = read_archive(layout)
    content = codec.dumps(inventory)
    read_in = time.monotonic() - begun
    count = sum(entry.type is not FileType.DIRECTORY for entry in inventory.entries.values())
    size = sum(entry.size for entry in inventory.entries.values())
    paths = [path for path, entry in inventory.entries.items() if entry.type is FileType.FILE][::USED]
    del inventory
    again = time.monotonic()
    inventory = codec.loads(content)
    container = ContainerReport("5" * 64, 7, "/kubepods/pod", name="app", image="app:1", digest=inventory.digest)
    for path in paths:
        seen = Observation(path, path, Outcome.EXISTS, frozenset({Kind.READ}), 1.0, 1.0)
        container.observations[seen.key] = seen
    report = Report(started_at=1.0, last_updated_at=900.0, exclude=("/proc/",), containers=[container])
    judgement = analyze([report], inventory)
    assert judgement.totals.counts.of("used").files >= len(paths)
    assert judgement.grade.complete
    judged_in = time.monotonic() - again
    return {
        "files": count,
        "bytes": size,
        "packages": len(inventory.packages),
        "elf": len(inventory.elf),
        "inventory": read_in,
        "verdict": judged_in,
        "seconds": read_in + judged_in,
        "kept": len(content),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    print(json.dumps(read(Path(sys.argv[1]))))
