"""An inventory as bytes and back, exactly: for the operator's store and for files.

A zstd frame (RFC 8878, with its checksum) of lines of JSON. The first is an object: format, version, and what there is
one of. Each other is an array whose first item says what it holds: `entries` (rows; a path without what it shares with
the path before it), `package` (its files by their place among the entries), `elf`, `scripts`, `content` (base64, in
pieces), `notes`. The last is `end` with the number of entries: what is cut off is noticed.
"""

import base64
import binascii
import io
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import zstandard

from snoop_image.limits import MIB
from snoop_image.model import (
    Elf,
    Entry,
    FileType,
    ImageConfig,
    ImageError,
    Inventory,
    Layer,
    Package,
    PackageKind,
)

VERSION = 1
_FORMAT = "snoop inventory"
_ROWS = 500
_PIECE = MIB
_LINE = 64 * MIB
_WHOLE = 2048 * MIB
_WINDOW = 8 * MIB
# In the format an entry's type is its place here: append only.
_TYPES = (
    FileType.FILE,
    FileType.DIRECTORY,
    FileType.SYMLINK,
    FileType.CHARACTER,
    FileType.BLOCK,
    FileType.FIFO,
    FileType.SOCKET,
)
_PLACES = {kind: place for place, kind in enumerate(_TYPES)}


def dumps(inventory: Inventory) -> bytes:
    """Write an inventory. ValueError if an entry stands under another path than its own."""
    compressor = zstandard.ZstdCompressor(level=6, write_checksum=True, write_content_size=False)
    writer = compressor.compressobj()
    parts = [
        writer.compress(json.dumps(line, separators=(",", ":")).encode("ascii") + b"\n") for line in _lines(inventory)
    ]
    parts.append(writer.flush())
    return b"".join(parts)


def loads(content: bytes) -> Inventory:
    """Read what `dumps` wrote. ImageError if it is something else, damaged, or of a newer version."""
    try:
        return _Reader(content).read()
    except zstandard.ZstdError as error:
        raise ImageError(f"the inventory is damaged, or is none: {error}") from error
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, binascii.Error) as error:
        raise ImageError(f"the inventory is damaged: {type(error).__name__}: {str(error)[:200]}") from error


def _lines(inventory: Inventory) -> Iterator[Any]:
    config = inventory.config
    yield {
        "format": _FORMAT,
        "version": VERSION,
        "source": inventory.source,
        "digest": inventory.digest,
        "config": [
            config.architecture,
            config.os,
            config.variant,
            config.user,
            config.entrypoint,
            config.command,
            config.environment,
            config.working_directory,
            config.volumes,
            config.ports,
            config.stop_signal,
            config.labels,
            base64.b64encode(config.raw).decode(),
        ],
        "layers": [[layer.digest, layer.blob, layer.size, layer.command] for layer in inventory.layers],
    }
    yield from _batches("entries", _entries(inventory))
    places = {path: place for place, path in enumerate(inventory.entries)}
    for one in inventory.packages:
        yield [
            "package",
            one.kind,
            one.name,
            one.version,
            one.architecture,
            one.source,
            [places.get(path, path) for path in one.files],
            one.configuration,
            one.essential,
            one.requires,
            one.provides,
            one.database,
            one.files_known,
        ]
    del places
    rows: Iterator[Any] = (
        [path, elf.bits, elf.machine, elf.interpreter, elf.soname, elf.needed, elf.dlopen, elf.rpath, elf.runpath]
        for path, elf in inventory.elf.items()
    )
    yield from _batches("elf", rows)
    yield from _batches("scripts", inventory.scripts.items())
    for path, content in inventory.contents.items():
        for at in range(0, len(content) or 1, _PIECE):
            yield ["content", path, base64.b64encode(content[at : at + _PIECE]).decode()]
    yield from _batches("notes", inventory.notes)
    yield ["end", len(inventory.entries)]


def _entries(inventory: Inventory) -> Iterator[Any]:
    before = ""
    for path, entry in inventory.entries.items():
        if path != entry.path:
            raise ValueError(f"the entry {entry.path!r} stands under {path!r}")
        shared = _shared(before, path)
        before = path
        yield [
            shared,
            path[shared:],
            _PLACES[entry.type],
            entry.mode,
            entry.uid,
            entry.gid,
            entry.size,
            entry.target,
            entry.layer,
            entry.link,
            *entry.attributes,
        ]


def _shared(before: str, path: str) -> int:
    """Count the characters that both begin with, in whole components: cheaper to find, and good enough."""
    if path.startswith(before):
        return len(before)
    cut = before.rfind("/") + 1
    while cut and not path.startswith(before[:cut]):
        cut = before.rfind("/", 0, cut - 1) + 1
    return cut


def _batches(name: str, rows: Iterable[Any]) -> Iterator[Any]:
    iterator = iter(rows)
    while batch := list(islice(iterator, _ROWS)):
        yield [name, *batch]


class _Reader:
    """Reads line by line, and believes nothing."""

    def __init__(self, content: bytes) -> None:
        decoder = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
        self._file = io.BufferedReader(decoder.stream_reader(content), MIB)
        self._left = _WHOLE
        self._paths: list[str] = []
        self._before = ""
        self._pieces: dict[str, list[bytes]] = {}

    def read(self) -> Inventory:
        found = self._head(self._line())
        self._found = found
        kinds: dict[str, Callable[[list[Any]], None]] = {
            "entries": self._entries,
            "package": self._package,
            "elf": self._elf,
            "scripts": self._scripts,
            "content": self._content,
            "notes": lambda rows: found.notes.extend(_text(one) for one in rows),
        }
        while True:
            line = self._line()
            if not isinstance(line, list) or not line:
                raise ValueError("a line is no array")
            if line[0] == "end":
                break
            kinds[_text(line[0])](line[1:])
        if line[1:] != [len(found.entries)]:
            raise ValueError(f"{len(found.entries)} entries, and {line[1:]} were written")
        if self._file.read(1):
            raise ValueError("goes on after its end")
        found.contents = {path: b"".join(pieces) for path, pieces in self._pieces.items()}
        return found

    def _line(self) -> Any:
        line = self._file.readline(_LINE)
        self._left -= len(line)
        if not line.endswith(b"\n") or self._left < 0:
            raise ValueError("is cut off" if len(line) < _LINE and self._left >= 0 else "is too big")
        return json.loads(line)

    def _head(self, head: Any) -> Inventory:
        if not isinstance(head, dict) or head.get("format") != _FORMAT:
            raise ValueError("is no inventory")
        if head.get("version") != VERSION:
            raise ImageError(
                f"the inventory is of version {str(head.get('version'))[:20]}, and this snoop reads {VERSION}: "
                "make it anew, or use the snoop that wrote it"
            )
        values = head["config"]
        if len(values) != 13:
            raise ValueError("the configuration is not whole")
        config = ImageConfig(
            architecture=_text(values[0]),
            os=_text(values[1]),
            variant=_text(values[2]),
            user=_text(values[3]),
            entrypoint=_texts(values[4]),
            command=_texts(values[5]),
            environment=_texts(values[6]),
            working_directory=_text(values[7]),
            volumes=_texts(values[8]),
            ports=_texts(values[9]),
            stop_signal=_text(values[10]),
            labels=tuple((_text(key), _text(value)) for key, value in values[11]),
            raw=base64.b64decode(_text(values[12]), validate=True),
        )
        layers = [
            Layer(digest=_text(digest), blob=_text(blob), size=_whole(size), command=_text(command))
            for digest, blob, size, command in head["layers"]
        ]
        return Inventory(source=_text(head["source"]), digest=_text(head["digest"]), config=config, layers=layers)

    def _entries(self, rows: list[Any]) -> None:
        entries = self._found.entries
        for shared, rest, kind, mode, uid, gid, size, target, layer, link, *attributes in rows:
            path = self._before[: _whole(shared)] + _text(rest)
            self._before = path
            entries[path] = Entry(
                path=path,
                type=_TYPES[_whole(kind)],
                mode=_whole(mode),
                uid=_whole(uid),
                gid=_whole(gid),
                size=_whole(size),
                target=_text(target),
                layer=_whole(layer),
                link=_whole(link),
                attributes=_texts(attributes),
            )
            self._paths.append(path)

    def _package(self, row: list[Any]) -> None:
        kind, name, version, architecture, source, files, *others = row
        configuration, essential, requires, provides, database, files_known = others
        self._found.packages.append(
            Package(
                kind=PackageKind(kind),
                name=_text(name),
                version=_text(version),
                architecture=_text(architecture),
                source=_text(source),
                files=tuple(one if isinstance(one, str) else self._paths[_whole(one)] for one in files),
                configuration=_texts(configuration),
                essential=_truth(essential),
                requires=tuple(_texts(group) for group in requires),
                provides=_texts(provides),
                database=_text(database),
                files_known=_truth(files_known),
            )
        )

    def _elf(self, rows: list[Any]) -> None:
        for path, bits, machine, interpreter, soname, needed, dlopen, rpath, runpath in rows:
            self._found.elf[_text(path)] = Elf(
                bits=_whole(bits),
                machine=_whole(machine),
                interpreter=_text(interpreter),
                soname=_text(soname),
                needed=_texts(needed),
                dlopen=_texts(dlopen),
                rpath=_texts(rpath),
                runpath=_texts(runpath),
            )

    def _scripts(self, rows: list[Any]) -> None:
        for path, line in rows:
            self._found.scripts[_text(path)] = _text(line)

    def _content(self, row: list[Any]) -> None:
        path, piece = row
        self._pieces.setdefault(_text(path), []).append(base64.b64decode(_text(piece), validate=True))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"text is wanted, not {str(value)[:50]}")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError(f"a list of texts is wanted, not {str(value)[:50]}")
    return tuple(map(_text, value))


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"true or false is wanted, not {str(value)[:50]}")
    return value


def _whole(value: object) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(f"a number is wanted, not {str(value)[:50]}")
    return value
