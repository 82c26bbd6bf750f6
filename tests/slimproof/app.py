"""What is proved: applications declared in apps/*.toml."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
_KEYS = {"name", "about", "core", "packages", "programs", "setup", "run", "normalise", "timeout", "other"}
_OTHER = {"name", "about", "run"}
_NAME = re.compile(r"[a-z0-9-]+")


class AppError(ValueError):
    """A declaration makes no sense; the message says where."""


@dataclass(frozen=True, slots=True)
class Other:
    """A different workload of the same application: it uses one more feature."""

    name: str
    about: str
    run: str


@dataclass(frozen=True, slots=True)
class App:
    """An image and what it does. All scripts are sh's, run with -eu as root, in the image's root directory."""

    name: str
    about: str
    run: str
    """The workload: ends all that it starts, and says the same whenever it is run."""
    core: bool = False
    """Part of the short run."""
    packages: tuple[str, ...] = ()
    """Of Debian, with what they depend on, and without what they recommend."""
    programs: tuple[str, ...] = ()
    """Those of programs/ that are built into /usr/local/bin, without their suffix."""
    setup: str = ""
    """Makes the rest of the image, as a Dockerfile's RUN."""
    normalise: tuple[tuple[str, str], ...] = ()
    """Pairs of a regular expression and what takes its place in outputs: times, process IDs."""
    others: tuple[Other, ...] = ()
    timeout: float = 120.0
    """Seconds for one run."""


def load(folder: Path = HERE / "apps") -> list[App]:
    """Read all declarations, in the order of their files. AppError if one makes no sense."""
    apps = [_app(entry, file.name) for file in sorted(folder.glob("*.toml")) for entry in _entries(file)]
    names = [one.name for one in apps]
    for name in names:
        if names.count(name) > 1:
            raise AppError(f"{name}: declared twice")
    return apps


def _entries(file: Path) -> list[dict[str, Any]]:
    try:
        document = tomllib.loads(file.read_text())
    except tomllib.TOMLDecodeError as error:
        raise AppError(f"{file.name}: {error}") from error
    if list(document) != ["app"] or not isinstance(document["app"], list):
        raise AppError(f"{file.name}: holds other things than [[app]]")
    return list(document["app"])


def _app(entry: dict[str, Any], file: str) -> App:
    name = str(entry.get("name", ""))
    where = f"{file}: {name or 'an app without a name'}"
    _check(entry, _KEYS, ("name", "about", "run"), where)
    if not _NAME.fullmatch(name):
        raise AppError(f"{where}: a name is of [a-z0-9-]")
    others = []
    for other in entry.get("other", []):
        _check(other, _OTHER, ("name", "about", "run"), f"{where}: other")
        others.append(Other(**other))
    pairs = tuple((str(pattern), str(instead)) for pattern, instead in entry.get("normalise", []))
    for pattern, _ in pairs:
        try:
            re.compile(pattern)
        except re.error as error:
            raise AppError(f"{where}: {pattern}: {error}") from error
    return App(
        name=name,
        about=str(entry["about"]),
        run=str(entry["run"]),
        core=bool(entry.get("core", False)),
        packages=tuple(entry.get("packages", [])),
        programs=tuple(entry.get("programs", [])),
        setup=str(entry.get("setup", "")),
        normalise=pairs,
        others=tuple(others),
        timeout=float(entry.get("timeout", 120.0)),
    )


def _check(entry: dict[str, Any], known: set[str], wanted: tuple[str, ...], where: str) -> None:
    if unknown := sorted(set(entry) - known):
        raise AppError(f"{where}: unknown: {', '.join(unknown)}")
    if lacking := [key for key in wanted if not entry.get(key)]:
        raise AppError(f"{where}: without {', '.join(lacking)}")
