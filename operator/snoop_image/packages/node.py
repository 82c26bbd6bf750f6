"""npm packages: what the node_modules folders of an image hold.

A folder in node_modules, or in a scope (`@name`) there, is a package if it has a package.json (docs.npmjs.com:
configuring-npm/folders, package-json). All below it is its own, up to the next package. Links in node_modules, as pnpm
and workspaces make them, and those in `.bin` belong to what they lead to.
"""

import json
import re
from collections.abc import Iterator

from snoop_image.links import resolve
from snoop_image.model import FileType, PackageKind
from snoop_image.packages.intake import Intake, is_name

_NAME = r"(?:@[^/]+/)?[^/@.][^/]*"
_PLACE = re.compile(rf".*/node_modules/({_NAME})")
_LINK = re.compile(rf".*/node_modules/(?:{_NAME}|\.bin/[^/]+)")
_FILE = "/package.json"
_LARGEST = 4 << 20
_REQUIRING = ("dependencies", "optionalDependencies", "peerDependencies")


def wanted(path: str) -> bool:
    """Say whether `read` needs the content of the file."""
    if not path.endswith(_FILE):
        return False
    # Without node_modules: what a link in one may lead to.
    return "/node_modules/" not in path or _PLACE.fullmatch(path[: -len(_FILE)]) is not None


def read(intake: Intake) -> None:
    """Add each package."""
    folders = {
        path[: -len(_FILE)]
        for path in intake.contents
        if path.endswith(_FILE) and _PLACE.fullmatch(path[: -len(_FILE)])
    }
    links = {
        entry.path: resolve(intake.entries, path).path
        for path, entry in intake.entries.items()
        if entry.type is FileType.SYMLINK and "/node_modules/" in path and _LINK.fullmatch(path)
    }
    # A workspace's package, or one that was installed from a folder.
    folders |= {target for target in links.values() if target + _FILE in intake.contents}
    files: dict[str, dict[str, None]] = {folder: {} for folder in folders}
    owner: dict[str, str] = {}
    # Inner folders last, so each file ends with the innermost.
    for folder in sorted(folders, key=len):
        for path in intake.below(folder):
            owner[path] = folder
    for path, target in links.items():
        inside = target if target in folders else owner.get(target)
        if inside:
            owner[path] = inside
    for path, folder in owner.items():
        files[folder][path] = None
    for folder in sorted(folders):
        _add(intake, folder, tuple(files[folder]))
    for path in intake.entries:
        if path.endswith("/.pnp.cjs"):
            intake.note("yarn", f"{path}: Yarn keeps these packages in archives: they were not read")


def _add(intake: Intake, folder: str, files: tuple[str, ...]) -> None:
    path = folder + _FILE
    place = _PLACE.fullmatch(folder)
    name = place[1] if place else folder[folder.rfind("/") + 1 :]
    told = _document(intake, path)
    version = told.get("version")
    called = told.get("name")
    intake.add(
        PackageKind.NODE,
        called if isinstance(called, str) and is_name(called) else name,
        version if isinstance(version, str) else "",
        files=files,
        requires=([one] for one in _required(told)),
        # Others find it by its folder (aliases: "a": "npm:b@1").
        provides=(name,),
        database=path,
    )


def _document(intake: Intake, path: str) -> dict[str, object]:
    content = intake.contents[path]
    try:
        if len(content) > _LARGEST:
            raise ValueError(f"{len(content)} bytes")
        found = json.loads(content)
    except RecursionError:
        found = None
    except ValueError as error:
        intake.note("package.json", f"{path}: name and dependencies are not known: {str(error)[:100]}")
        return {}
    if not isinstance(found, dict):
        intake.note("package.json", f"{path}: name and dependencies are not known: it is no object")
        return {}
    return found


def _required(told: dict[str, object]) -> Iterator[str]:
    for key in _REQUIRING:
        names = told.get(key)
        if isinstance(names, dict):
            yield from names
