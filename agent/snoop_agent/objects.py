"""The kernel side as compiled: programs with holes (`holes`), and the shapes of their maps. It does for every kernel.

An image brings them along (`python -m snoop_agent.compiler DIRECTORY`); else they are kept in a cache. Each file is
named after what it was compiled from, so that none can be taken for another.
"""

import contextlib
import errno
import json
import os
import stat
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import snoop_bpf


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a map. Its numbers may be holes."""

    number: int
    """By which programs name it."""
    kind: int
    """enum bpf_map_type."""
    key_size: int
    value_size: int
    entries: int
    inner: int
    """Of a map of maps: the number of the one that has their shape. Else 0."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """What compiling gives."""

    programs: dict[str, bytes]
    """Instructions by name."""
    maps: dict[str, Shape]


def read(name: str) -> Compiled | None:
    """Find what was compiled before, in the image or in the cache. None if it is in neither."""
    for directory in _directories():
        try:
            with (directory / name).open("rb") as file:
                if not (_is_others(directory.stat()) or _is_others(os.fstat(file.fileno()))):
                    return unpack(file.read())
        except (OSError, ValueError, KeyError, TypeError, zlib.error):
            continue
    return None


def keep(name: str, compiled: Compiled, directory: Path | None = None) -> None:
    """Write it into `directory`, or into the cache. OSError if that cannot be."""
    folder = directory or cache()
    if folder is None:
        raise FileNotFoundError(errno.ENOENT, "this user has no home directory")
    folder.mkdir(mode=0o700 if directory is None else 0o755, parents=True, exist_ok=True)
    draft = folder / f"{name}.{os.getpid()}"
    try:
        draft.write_bytes(pack(compiled))
        draft.replace(folder / name)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise


def pack(compiled: Compiled) -> bytes:
    """Write it as one piece: sizes and shapes as JSON, then all instructions; compressed."""
    head = json.dumps(
        {
            "programs": {name: len(code) for name, code in compiled.programs.items()},
            "maps": {name: asdict(shape) for name, shape in compiled.maps.items()},
        }
    )
    return zlib.compress(head.encode() + b"\n" + b"".join(compiled.programs.values()), 9)


def unpack(data: bytes) -> Compiled:
    """Read it back. ValueError, KeyError, TypeError or zlib.error if it is something else."""
    head, _, code = zlib.decompress(data).partition(b"\n")
    told = json.loads(head)
    programs, at = {}, 0
    for name, size in told["programs"].items():
        programs[str(name)] = code[at : at + size]
        at += size
    if at != len(code):
        raise ValueError("cut short")
    return Compiled(programs, {str(name): Shape(**shape) for name, shape in told["maps"].items()})


def cache() -> Path | None:
    """Where what was compiled here is kept. None if this user has no home."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "snoop/programs"
    except RuntimeError:
        return None


def _directories() -> Iterator[Path]:
    yield Path(snoop_bpf.__path__[0], "compiled")
    kept = cache()
    if kept is not None:
        yield kept


def _is_others(there: os.stat_result) -> bool:
    """Whether another user may have written it: what goes into the kernel is trusted as our own code is."""
    return there.st_uid not in (0, os.geteuid()) or bool(there.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
