"""Images for tests of `analyze`, `why` and `slim`: a root file system's folder, and archives of layers."""

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

from tests.cli.conftest import container, report, used

from snoop_report.model import Report

CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
"""security.capability: cap_net_bind_service=ep (linux/capability.h, struct vfs_cap_data, version 2)."""
STATUS = """Package: app
Status: install ok installed
Version: 1.0
Architecture: amd64
Depends: libapp

Package: libapp
Status: install ok installed
Version: 2:1.1
Architecture: amd64

Package: spare
Status: install ok installed
Version: 3.0
Architecture: all
Depends: spare-data

Package: spare-data
Status: install ok installed
Version: 3.0
Architecture: all
"""
LISTS = {
    "app": "/usr/bin/app\n",
    "libapp": "/usr/lib/libapp.so\n",
    "spare": "/usr/bin/spare\n",
    "spare-data": "/usr/share/spare/data\n",
}
FILES = {
    "usr/bin/app": b"#!/bin/sh\n",
    "bin/sh": b"shell",
    "usr/lib/libapp.so": b"library" * 100,
    "usr/bin/spare": b"spare" * 1000,
    "usr/share/spare/data": b"d" * 30_000,
    "etc/passwd": b"root:x:0:0::/:/bin/sh\n",
    "etc/app.conf": b"",
    "var/lib/dpkg/status": STATUS.encode(),
    **{f"var/lib/dpkg/info/{name}.list": text.encode() for name, text in LISTS.items()},
}
UNUSED = ["/usr/bin/spare", "/usr/share/spare/data"]
RAN = (
    used("/usr/bin/app", "execute", executable="/usr/bin/app"),
    used("/usr/lib/libapp.so", "read", "map"),
    used("/etc/app.conf"),
    used("/usr/lib/gone.so", outcome="missing"),
)


def ran(*more: Any, **told: Any) -> Report:
    """The report of a pod that ran the application and nothing else."""
    return report(container(*RAN, *more, digest="", image="app:1"), **told)


def make_root(folder: Path) -> Path:
    """Make the image's root file system in a folder."""
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / "usr/bin/app").chmod(0o755)
    return folder


Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, **more: Any) -> Member:
    """One member of a layer; `more` are its other fields."""
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mtime, info.mode = kind, len(content), 1_700_000_000, 0o644
    for key, value in more.items():
        setattr(info, key, value)
    return info, content


def base() -> list[Member]:
    """The files of the root file system as members."""
    return [member(name, content, mode=0o755 if "bin/" in name else 0o644) for name, content in FILES.items()]


def layer(*members: Member) -> bytes:
    """Make a layer's tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, errors="surrogateescape") as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


CONFIG = {
    "architecture": "amd64",
    "os": "linux",
    "author": "somebody",
    "config": {
        "User": "1000",
        "Entrypoint": ["/usr/bin/app", "-x"],
        "Cmd": ["$HOME"],
        "Env": ["PATH=/usr/bin", 'ODD=a "b" $c'],
        "WorkingDir": "/srv",
        "Volumes": {"/data": {}},
        "ExposedPorts": {"80/tcp": {}},
        "Labels": {"team": "shop"},
        "StopSignal": "SIGQUIT",
        "Healthcheck": {"Test": ["CMD", "/usr/bin/app", "--check"], "Interval": 5_000_000_000},
    },
}


def archive(path: Path, *layers: bytes) -> Path:
    """Write what `docker save` wrote before Docker 25."""
    named = [(hashlib.sha256(one).hexdigest(), one) for one in layers]
    config = {**CONFIG, "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest, _ in named]}}
    raw = json.dumps(config).encode()
    name = f"{hashlib.sha256(raw).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": ["app:1"], "Layers": [f"{digest}/layer.tar" for digest, _ in named]}]
    parts = [member(f"{digest}/layer.tar", one) for digest, one in named]
    path.write_bytes(layer(*parts, member(name, raw), member("manifest.json", json.dumps(manifest).encode())))
    return path


def state(path: Path) -> tuple[Any, ...]:
    """Give all of a file that a copy must keep."""
    status = path.lstat()
    attributes = {
        name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)
    }
    content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
    led = str(path.readlink()) if path.is_symlink() else ""
    return status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, status.st_rdev, attributes, content, led


def below(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Give everything in a folder, by its name there."""
    found = {str(path.relative_to(folder)): state(path) for path in folder.rglob("*")}
    return {".": state(folder), **found}
