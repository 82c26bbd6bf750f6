"""Alpine packages: apk's `installed` database, a paragraph of one-letter fields for each package.

Format: https://wiki.alpinelinux.org/wiki/Apk_spec and apk-tools, doc/apk-package.5.scd and src/database.c
(apk_db_read). P name, V version, A architecture, o origin, D dependencies, p provides; then F a directory and R each
file in it, both followed by their permissions (M, a) and checksums (Z). `/usr/lib/apk` is apk 3's on a merged /usr.
"""

import io
import re
from collections.abc import Iterator

from snoop_image.model import PackageKind
from snoop_image.packages.deb822 import decode
from snoop_image.packages.intake import Intake

_DATABASES = ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")
# A name, then a version behind one of <>=~ or a repository's tag behind @. `!` is a conflict.
_NAME = re.compile(r"[^!<>=~@\s][^<>=~@\s]*")


def wanted(path: str) -> bool:
    """Say whether `read` needs the content of the file."""
    return path in _DATABASES


def read(intake: Intake) -> None:
    """Add the packages of each database."""
    seen: list[bytes] = []
    for database in _DATABASES:
        content = intake.contents.get(database)
        if content is None or any(content is one for one in seen):
            continue
        seen.append(content)
        for fields, paths in _paragraphs(content):
            files = intake.place(paths)
            intake.add(
                PackageKind.APK,
                fields.get("P", ""),
                fields.get("V", ""),
                architecture=fields.get("A", ""),
                source=fields.get("o", ""),
                files=files,
                configuration=tuple(path for path in files if _configuration(path)),
                requires=((name,) for name in names(fields.get("D", ""))),
                provides=names(fields.get("p", "")),
                database=database,
            )


def _paragraphs(content: bytes) -> Iterator[tuple[dict[str, str], list[str]]]:
    fields: dict[str, str] = {}
    paths: list[str] = []
    folder = "/"
    for raw in io.BytesIO(content):
        line = raw.rstrip(b"\n")
        if not line:
            if fields or paths:
                yield fields, paths
            fields, paths, folder = {}, [], "/"
            continue
        if line[1:2] != b":":
            continue
        letter, value = line[:1], decode(line[2:])
        if letter == b"F":
            folder = f"/{value}/"
        elif letter == b"R":
            paths.append(folder + value)
        elif letter in b"PVAoDp":
            fields[letter.decode()] = value
    if fields or paths:
        yield fields, paths


def names(text: str) -> Iterator[str]:
    """Give the names of a list of dependencies: packages, `so:`, `cmd:`, `pc:` and paths; conflicts left out."""
    for word in text.split():
        if found := _NAME.match(word):
            yield found.group()


def _configuration(path: str) -> bool:
    # What apk leaves alone when a person changed it, unless told otherwise (apk-tools, src/database.c: protected paths
    # `+etc`, `@etc/init.d`, `!etc/apk`).
    return path.startswith("/etc/") and not path.startswith(("/etc/apk/", "/etc/init.d/"))
