"""Python's compiled files, which are made after a package was installed, and so belong to their source's package."""

import re
from collections.abc import Mapping
from dataclasses import replace

from snoop_image.model import Entry, FileType, Package
from snoop_image.packages.owners import ownership

# PEP 3147 and 488: __pycache__/NAME.TAG.pyc and NAME.TAG.opt-1.pyc.
_CACHED = re.compile(r"(.*/)__pycache__/([^/]+?)\.[^./]+(?:\.opt-[0-9a-zA-Z]+)?\.pyc")


def source(path: str) -> str:
    """Give the path of a compiled file's source; empty if it is no compiled file."""
    if not path.endswith(".pyc"):
        return ""
    if match := _CACHED.fullmatch(path):
        return f"{match[1]}{match[2]}.py"
    # As Python 2 put them, and compileall -b does.
    return path[:-1]


def adopt(packages: list[Package], entries: Mapping[str, Entry]) -> None:
    """Give compiled files that no package has to the packages of their sources, in place."""
    owners = ownership(packages)
    more: dict[int, list[str]] = {}
    for path, entry in entries.items():
        if path.endswith(".pyc") and path not in owners and entry.type is not FileType.DIRECTORY:
            for index in owners.get(source(path), ()):
                more.setdefault(index, []).append(entry.path)
    for index, paths in more.items():
        packages[index] = replace(packages[index], files=(*packages[index].files, *paths))
