"""Fuzz targets of what an image needs: ELF files, the loader's cache, and a small image with a report of its use."""

import contextlib
import io
import struct

from snoop_image.elf import read_elf
from snoop_image.ldcache import read_cache
from snoop_image.links import resolve
from snoop_image.model import Elf, Entry, FileType, ImageError, Inventory
from snoop_image.verdict import Verdict, analyze
from snoop_report.model import ContainerReport, Kind, Observation, Outcome, Report


def elf(data: bytes) -> None:
    """Read an ELF file: names are bounded, whatever the tables say."""
    with contextlib.suppress(ImageError):
        found = read_elf(io.BytesIO(data))
        if found is not None:
            names = (*found.needed, *found.dlopen, *found.rpath, *found.runpath, found.interpreter, found.soname)
            assert sum(map(len, names)) < 1 << 22
            assert not any("\0" in name for name in names)


def ld_cache(data: bytes) -> None:
    """Read a cache."""
    with contextlib.suppress(ImageError):
        for name, paths in read_cache(data).items():
            assert name
            assert all(path.startswith("/") for path in paths)


def image(data: bytes) -> None:
    """Judge an image of up to 40 entries, each a line: a letter for what it is, a path, a target or libraries."""
    inventory = Inventory("fuzz", entries={"/": Entry("/", FileType.DIRECTORY, 0o755)})
    observed = []
    for line in data.decode("utf-8", "surrogateescape").replace("\0", "").split("\n")[:40]:
        kind, _, rest = line.partition("/")
        name, *more = rest.split(" ")
        path = "/" + "/".join(part for part in name.split("/") if part not in ("", ".", ".."))
        if kind == "o":
            observed.append(Observation("/" + rest, "", Outcome.EXISTS, frozenset({Kind.READ}), 1.0, 1.0))
        elif path != "/" and _room(inventory, path):
            _add(inventory, kind, path, more)
    container = ContainerReport("c", 0, "", observations={one.key: one for one in observed})
    judged = analyze([Report(containers=[container], started_at=1.0, last_updated_at=2.0)], inventory)
    kept = {entry.path: entry for entry in judged.kept()}
    assert set(judged.verdicts) == set(inventory.entries)
    for one in observed:
        # What was there is there still, and leads to the same place.
        before, after = resolve(inventory.entries, one.path), resolve(kept, one.path)
        assert before.found == after.found
        assert not before.found or (before.path == after.path and judged.verdicts[before.path] is Verdict.USED)
    for path in inventory.entries:
        judged.reasons(path)


def _room(inventory: Inventory, path: str) -> bool:
    above = [path[:at] for at in range(1, len(path)) if path[at] == "/"]
    if any(inventory.entries.get(one, inventory.entries["/"]).type is not FileType.DIRECTORY for one in above):
        return False
    for one in above:
        inventory.entries.setdefault(one, Entry(one, FileType.DIRECTORY, 0o755))
    return path not in inventory.entries


def _add(inventory: Inventory, kind: str, path: str, more: list[str]) -> None:
    if kind == "l":
        inventory.entries[path] = Entry(path, FileType.SYMLINK, 0o777, target=" ".join(more))
        return
    inventory.entries[path] = Entry(path, FileType.FILE, 0o755, size=len(path))
    if kind == "e":
        needed = tuple(one for one in more if one and one[0] != "=")
        inventory.elf[path] = Elf(64, 62, "", needed=needed, rpath=tuple(one[1:] for one in more if one[:1] == "="))
    elif kind == "p":
        inventory.elf[path] = Elf(64, 62, more[0] if more else "", needed=tuple(more[1:]))
    elif kind == "s":
        inventory.scripts[path] = " ".join(more)
    elif kind == "c":
        inventory.contents[path] = " ".join(more).replace("\\n", "\n").encode("utf-8", "surrogateescape")


def elf_seeds() -> list[bytes]:
    """Give a program with an interpreter, a library and a search path."""
    strings = b"\0libc.so.6\0$ORIGIN/../lib\0"
    body = b"/lib64/ld.so\0\0\0\0" + strings + b"\0" * (-len(strings) % 8)
    at, base = 64 + 3 * 56, 0x400000
    tags = ((1, 1), (29, 11), (5, base + at + 16), (10, len(strings)), (0, 0))
    dynamic = b"".join(struct.pack("<QQ", *tag) for tag in tags)
    offset, size = at + len(body), at + len(body) + len(dynamic)
    table = b"".join(
        struct.pack("<IIQQQQQQ", kind, 4, begin, base + begin, 0, length, length, 8)
        for kind, begin, length in ((1, 0, size), (3, at, 13), (2, offset, len(dynamic)))
    )
    head = struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 3, 0, 0, 0)
    return [b"\x7fELF\2\1\1" + b"\0" * 9 + head + table + body + dynamic]


def ld_cache_seeds() -> list[bytes]:
    """Give a cache of one library, alone and behind the old format's."""
    head = b"glibc-ld.so.cache1.1" + struct.pack("<II", 1, 15) + b"\2" + b"\0" * 19
    new = head + struct.pack("<iIIIQ", 0x303, 72, 77, 0, 0) + b"a.so\0/lib/a.so\0"
    return [new, b"ld.so-1.7.0\0" + struct.pack("<I", 0) + new]


def image_seeds() -> list[bytes]:
    """Give an image with links, libraries, scripts and configuration."""
    linked = [
        "l/lib usr/lib",
        "p/usr/bin/x /lib/ld.so libz.so.1",
        "e/usr/lib/ld.so",
        "e/usr/lib/libz.so.1.2 libm.so =$ORIGIN/../m",
        "l/usr/lib/libz.so.1 libz.so.1.2",
        "e/usr/m/libm.so",
        "s/bin/run /usr/bin/env -S x -y",
        "o/bin/run",
        "o/lib/../usr/bin/x",
    ]
    libc = ["e/lib/libc.so.6", "c/etc/nsswitch.conf passwd: files ldap", "f/lib/libnss_ldap.so.2", "o/lib/libc.so.6"]
    pam = ["e/lib/libpam.so.0", "c/etc/pam.d/su auth pam_unix.so", "f/lib/security/pam_unix.so", "o/lib/libpam.so.0"]
    rest = ["f/p/m.py", "f/p/__pycache__/m.cpython-311.pyc", "o/p/m.py", "l/loop loop", "o/loop", "f/usr/share/x"]
    return ["\n".join(lines).encode() for lines in (linked, libc, pam, [*rest, "c/etc/ld.so.conf include /etc/*"])]


WORDS = (b"\x7fELF", b"glibc-ld.so.cache1.1", b"ld.so-1.7.0", b"$ORIGIN", b"$LIB", b"/usr/bin/env", b"\no/", b"\nl/")
