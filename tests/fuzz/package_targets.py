"""Package databases as any image may hold them: what comes out is of that image, and can be printed.

`packages` is files of text databases, `rpm` one database of rpm's. Each file begins with a byte that says which it is.
"""

import json
import sqlite3
import struct
import tempfile
from pathlib import Path

from snoop_image.model import Entry, FileType
from snoop_image.packages import Dependencies, distribution, ownership, purl, read_packages, wanted

TEXTS = (
    "/var/lib/dpkg/status",
    "/var/lib/dpkg/status.d/a",
    "/var/lib/dpkg/status.d/a.md5sums",
    "/var/lib/dpkg/info/a.list",
    "/var/lib/dpkg/info/a.md5sums",
    "/var/lib/dpkg/diversions",
    "/lib/apk/db/installed",
    "/s/a.dist-info/METADATA",
    "/s/a.dist-info/RECORD",
    "/s/a.dist-info/direct_url.json",
    "/s/b.egg-info",
    "/s/b.egg-info/PKG-INFO",
    "/s/b.egg-info/installed-files.txt",
    "/s/b.egg-info/requires.txt",
    "/s/b.egg-info/top_level.txt",
    "/a/node_modules/b/package.json",
    "/a/node_modules/@s/c/package.json",
    "/etc/os-release",
    "/etc/dnf/protected.d/x.conf",
)
BINARIES = (
    "/var/lib/rpm/rpmdb.sqlite",
    "/var/lib/rpm/rpmdb.sqlite-wal",
    "/usr/lib/sysimage/rpm/Packages.db",
    "/var/lib/rpm/Packages",
)
BETWEEN = b"\n%%\n"


def _entries() -> dict[str, Entry]:
    found = {"/": Entry("/", FileType.DIRECTORY, 0o755)}
    links = {"/lib": "usr/lib", "/usr/lib/x.so.1": "x.so.1.2", "/l": "m", "/m": "l", "/a/node_modules/d": "b"}
    for path in (*TEXTS, *BINARIES, "/usr/lib/x.so.1.2", "/s/a.py", "/s/__pycache__/a.c.pyc", "/s/b/c.py", *links):
        at = path.find("/", 1)
        while at > 0:
            found.setdefault(path[:at], Entry(path[:at], FileType.DIRECTORY, 0o755))
            at = path.find("/", at + 1)
        kind = FileType.SYMLINK if path in links else FileType.FILE
        found.setdefault(path, Entry(path, kind, 0o644, target=links.get(path, "")))
    return found


_ENTRIES = _entries()


def packages(data: bytes) -> None:
    """Read text databases."""
    _read({TEXTS[piece[0] % len(TEXTS)]: piece[1:] for piece in data.split(BETWEEN) if piece})


def rpm(data: bytes) -> None:
    """Read a database of rpm's."""
    if data:
        _read({BINARIES[data[0] % len(BINARIES)]: data[1:]})


def _read(contents: dict[str, bytes]) -> None:
    assert all(map(wanted, contents))
    found, notes = read_packages(contents, _ENTRIES)
    release = distribution(contents)
    for one in found:
        assert one.name
        assert (one.name + one.version + one.architecture + one.source).isprintable(), one
        assert len(set(one.files)) == len(one.files), one
        assert all(_ENTRIES[path].type is not FileType.DIRECTORY for path in one.files), one
        assert set(one.configuration) <= set(one.files), one
        assert purl(one, release).isascii(), one
    assert all(note.isprintable() for note in notes), notes
    graph = Dependencies(found)
    half = range(0, len(found), 2)
    going = graph.purgeable(half)
    assert set(going) <= set(half)
    assert not set(going) & set(graph.needed(index for index in range(len(found)) if index % 2))
    ownership(found)


def package_seeds() -> list[bytes]:
    """Give a database of each kind, and a few that belong together."""
    metadata = b"Name: a\nVersion: 1\nRequires-Dist: b[x]>1; extra == 'y'\nRequires-Dist: c\n\nwords\n"
    told = {
        "/var/lib/dpkg/status": b"Package: a\nStatus: install ok installed\nVersion: 1:2-3\nArchitecture: amd64\n"
        b"Essential: yes\nDepends: b (>= 1) | c:any, d\nProvides: e\nConffiles:\n /s/a.py 0123 obsolete\n\n"
        b"Package: b\nStatus: deinstall ok config-files\n",
        "/var/lib/dpkg/info/a.list": b"/.\n/lib\n/lib/x.so.1\n/l/x\n/s/../s/a.py\n",
        "/var/lib/dpkg/diversions": b"/s/b\n/s/a.py\nx\n",
        "/var/lib/dpkg/status.d/a": b"Package: x\nVersion: 1\nSource: y (2)\n",
        "/var/lib/dpkg/status.d/a.md5sums": b"0123  usr/lib/x.so.1.2\n",
        "/lib/apk/db/installed": b"P:a\nV:1-r0\nA:x86\no:b\nD:so:c.so.1 !d e>1\np:cmd:f=1\nF:s\nR:a.py\na:0:0:755\n\n",
        "/s/a.dist-info/METADATA": metadata,
        "/s/a.dist-info/RECORD": b'a.py,sha256=x,1\n"../lib/x.so.1",,\n',
        "/s/a.dist-info/direct_url.json": b'{"url": "file:///s", "dir_info": {"editable": true}}',
        "/s/b.egg-info": metadata,
        "/s/b.egg-info/requires.txt": b"a\n[x]\nb[y]\n[:z]\nc\n",
        "/a/node_modules/b/package.json": json.dumps(
            {"name": "b", "version": "1", "dependencies": {"@s/c": "1"}, "peerDependencies": {"b": ""}}
        ).encode(),
        "/etc/os-release": b'ID=debian\nVERSION_ID="12"\n',
    }
    single = [bytes([TEXTS.index(path)]) + text for path, text in told.items()]
    return [*single, BETWEEN.join(single)]


def _header() -> bytes:
    """Make a header as rpm's docs/manual/format_header.md says."""
    tags: tuple[tuple[int, int, int, bytes], ...] = (
        (1000, 6, 1, b"a\0"),
        (1001, 6, 1, b"1\0"),
        (1002, 6, 1, b"2\0"),
        (1003, 4, 1, struct.pack(">I", 3)),
        (1022, 6, 1, b"noarch\0"),
        (1037, 4, 2, struct.pack(">II", 1, 0)),
        (1030, 3, 2, struct.pack(">HH", 0o100644, 0o100644)),
        (1044, 6, 1, b"b-1-2.src.rpm\0"),
        (1047, 8, 2, b"a\0c(x)\0"),
        (1049, 8, 3, b"/s/a.py\0rpmlib(x)\0(d >= 1 if (e or f))\0"),
        (1116, 4, 2, struct.pack(">II", 0, 1)),
        (1117, 8, 2, b"a.py\0x.so.1\0"),
        (1118, 8, 2, b"/s/\0/lib/\0"),
    )
    index, data = b"", b""
    for tag, kind, count, value in tags:
        data += bytes(-len(data) % 4)
        index += struct.pack(">IIII", tag, kind, len(data), count)
        data += value
    return struct.pack(">II", len(tags), len(data)) + index + data


def rpm_seeds() -> list[bytes]:
    """Give a database of each kind with one package; formats are named in `snoop_image.packages`."""
    header = _header()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "seed")
        connection = sqlite3.connect(file)
        connection.execute("PRAGMA page_size = 512")
        connection.execute("CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
        connection.execute("INSERT INTO Packages VALUES (1, ?)", (header,))
        connection.commit()
        connection.close()
        sqlite = file.read_bytes()
    slots = b"RpmP" + struct.pack("<III16x", 0, 1, 1) + struct.pack("<4sIII", b"Slot", 1, 256, 99)
    ndb = slots + b"Slot".ljust(16, b"\0") * 253 + struct.pack("<4sIII", b"BlbS", 1, 1, len(header)) + header
    meta = (bytes(12) + struct.pack("<IIIBB", 0x061561, 9, 512, 0, 8)).ljust(512, b"\0")
    items = b"\3" + bytes(3) + struct.pack("<II", 2, len(header)), b"\1" + struct.pack("<I", 1)
    page = struct.pack("<8xIIIHHBB", 1, 0, 0, 2, 495, 0, 13) + struct.pack("<HH", 507, 495)
    page += bytes(512 - len(page) - 17) + b"".join(items)
    chain = b""
    for number, at in enumerate(range(0, len(header), 486), 2):
        part = header[at : at + 486]
        following = number + 1 if at + 486 < len(header) else 0
        chain += (struct.pack("<8xIIIHHBB", number, 0, following, 0, len(part), 0, 7) + part).ljust(512, b"\0")
    return [b"\0" + sqlite, b"\2" + ndb, b"\3" + meta + page + chain]


WORDS = (
    *(b"Package: ", b"Status: ", b"Depends: ", b"Conffiles:\n ", b"Name: ", b"Requires-Dist: ", b"; extra == 'x'"),
    *(b"P:", b"V:", b"D:", b"F:", b"R:", b"\n\n", BETWEEN, b"/lib/x.so.1", b"/s/a.py", b"../", b'"dependencies": {'),
    *(b"SQLite format 3\0", b"Slot", b"BlbS", b"RpmP", b"CREATE TABLE", b"\xff\xff\xff\xff", b"\0\0\0\0"),
)
