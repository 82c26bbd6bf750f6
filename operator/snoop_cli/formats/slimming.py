"""What builds a smaller image by other tools: lists of paths and packages, a Dockerfile, SlimToolkit's report."""

import json
import stat
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from snoop_cli.exits import Failure
from snoop_cli.spelling import printable, several, shown, size
from snoop_image.model import Entry, FileType, PackageKind
from snoop_image.packages import Dependencies, distribution
from snoop_image.packageuse import PackageUse, PackageVerdict
from snoop_image.reference import Reference
from snoop_image.verdict import Judgement
from snoop_report.model import Kind
from snoop_report.paths import escape

_COMMANDS = {
    PackageKind.DEB: "apt-get purge --yes",
    PackageKind.APK: "apk del",
    PackageKind.RPM: "dnf remove --assumeyes",
    PackageKind.PYTHON: "python3 -m pip uninstall --yes",
    PackageKind.NODE: "npm uninstall",
}
_SYSTEM = (PackageKind.DEB, PackageKind.APK, PackageKind.RPM)


def kept(judgement: Judgement, null: bool) -> Iterator[str]:
    """List the paths that stay, directories and `/` included; each ended by a NUL byte, or shown on a line."""
    for entry in judgement.kept():
        yield f"{entry.path}\0" if null else f"{shown(entry.path)}\n"


def purgeable(judgement: Judgement) -> list[PackageVerdict]:
    """Give the packages that can be purged together: none is essential, or required by one that stays.

    What a system package brought of Python or Node goes with that package, so it is not told by itself.
    """
    packages = judgement.inventory.packages
    unused = [number for number, one in enumerate(judgement.packages) if one.use is PackageUse.UNUSED]
    brought = {path for one in packages if one.kind in _SYSTEM for path in one.files}
    return [
        judgement.packages[number]
        for number in Dependencies(packages).purgeable(unused)
        if packages[number].kind in _SYSTEM or packages[number].database not in brought
    ]


def purge_list(judgement: Judgement) -> Iterator[str]:
    """Write a command for each kind of package as a comment, and below it the packages, a line each."""
    together = purgeable(judgement)
    if not together:
        yield f"# No package can be purged: each was seen in use {judgement.grade.scope}, or is needed."
        return
    yield f"# Packages of {printable(judgement.inventory.source)} of which no file was seen in use"
    yield f"# {judgement.grade.scope}. None is essential, or required by a package that stays."
    for kind in PackageKind:
        found = [one for one in together if one.package.kind is kind]
        if not found:
            continue
        freed = sum(one.bytes for one in found)
        yield f"# {several(len(found), 'package')}, {size(freed)}: {_COMMANDS[kind]} NAME..."
        yield from (printable(one.package.name) for one in found)


def dockerfile(judgement: Judgement, reference: Reference) -> Iterator[str]:
    """Write a Dockerfile that copies what stays into an image of one layer. Failure if it cannot say something."""
    inventory = judgement.inventory
    digest = reference.digest or inventory.digest
    name = f"{reference.registry}/{reference.repository}"
    config = inventory.config
    platform = "/".join(part for part in (config.os, config.architecture, config.variant) if part)
    yield "# syntax=docker/dockerfile:1"
    yield f"# {name} without what was not seen in use {judgement.grade.scope}."
    yield "# The paths that stay are in include.list, beside this file; make it with the same arguments:"
    yield "#   snoop analyze ... -o include-list -0 > include.list"
    yield f"FROM --platform={platform} {name}@{digest} AS full" if platform else f"FROM {name}@{digest} AS full"
    yield ""
    yield "# Any image with bash, GNU tar and sed does."
    yield "FROM debian:stable-slim AS slim"
    yield 'SHELL ["/bin/bash", "-o", "pipefail", "-c"]'
    yield "RUN --mount=type=bind,from=full,target=/full \\"
    yield "    --mount=type=bind,source=include.list,target=/include.list \\"
    yield "    mkdir /slim && sed -z 's,^/,./,' /include.list \\"
    # GNU tar's options count for what follows them, so the list of files is the last.
    yield "    | tar -C /full --create --no-recursion --numeric-owner --xattrs --xattrs-include='*' \\"
    yield "          --null --verbatim-files-from --files-from=- \\"
    yield "    | tar -C /slim --extract --preserve-permissions --numeric-owner --xattrs --xattrs-include='*'"
    yield ""
    yield "FROM scratch"
    yield "COPY --from=slim /slim/ /"
    yield from _configuration(judgement)


def _configuration(judgement: Judgement) -> Iterator[str]:
    config = judgement.inventory.config
    for pair in config.environment:
        key, _, value = pair.partition("=")
        yield f"ENV {_word(key, 'ENV')}={_quoted(value, f'ENV {key}')}"
    for key, value in config.labels:
        yield f"LABEL {_quoted(key, 'LABEL')}={_quoted(value, f'LABEL {key}')}"
    if config.working_directory:
        yield f"WORKDIR {_word(config.working_directory, 'WORKDIR')}"
    if config.user:
        yield f"USER {_word(config.user, 'USER')}"
    for volume in config.volumes:
        if "$" in volume:
            raise Failure(f"VOLUME {volume}: a Dockerfile cannot say that: use snoop slim --to FILE.tar")
        yield f"VOLUME {json.dumps([volume])}"
    for port in config.ports:
        yield f"EXPOSE {_word(port, 'EXPOSE')}"
    if config.stop_signal:
        yield f"STOPSIGNAL {_word(config.stop_signal, 'STOPSIGNAL')}"
    yield from _healthcheck(config.raw)
    if config.entrypoint:
        yield f"ENTRYPOINT {json.dumps(list(config.entrypoint))}"
    if config.command:
        yield f"CMD {json.dumps(list(config.command))}"


def _healthcheck(raw: bytes) -> Iterator[str]:
    """Write Docker's HEALTHCHECK, which the OCI configuration does not know (moby, HealthcheckConfig)."""
    runs = json.loads(raw).get("config") if raw else None
    check = runs.get("Healthcheck") if isinstance(runs, dict) else None
    test = check.get("Test") if isinstance(check, dict) else None
    if not isinstance(check, dict) or not isinstance(test, list) or not test:
        return
    if test[0] == "NONE":
        yield "HEALTHCHECK NONE"
        return
    names = {"Interval": "interval", "Timeout": "timeout", "StartPeriod": "start-period"}
    flags = [
        f"--{flag}={check[key]}ns" for key, flag in names.items() if isinstance(check.get(key), int) and check[key]
    ]
    if isinstance(check.get("Retries"), int) and check["Retries"]:
        flags.append(f"--retries={check['Retries']}")
    command = json.dumps(test[1:]) if test[0] == "CMD" else _line(" ".join(map(str, test[1:])), "HEALTHCHECK")
    yield " ".join(["HEALTHCHECK", *flags, "CMD", command])


def _line(text: str, what: str) -> str:
    if any(not one.isprintable() for one in text):
        raise Failure(f"{what}: has a character that a Dockerfile cannot hold: use snoop slim --to FILE.tar")
    return text


def _quoted(text: str, what: str) -> str:
    escaped = _line(text, what).replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{escaped}"'


def _word(text: str, what: str) -> str:
    return _line(text, what).replace("\\", "\\\\").replace("$", "\\$")


def creport(judgement: Judgement) -> dict[str, Any]:
    """Shape what stays as SlimToolkit's creport.json (slimtoolkit/slim, pkg/report/container_report.go).

    Of it that is `image.files` and the distribution; processes and counts of system calls are not recorded.
    """
    used = _flags(judgement)
    name, version = distribution(judgement.inventory.contents)
    files = [_artifact(entry, used.get(entry.path, "")) for entry in judgement.kept()]
    return {
        "system": {"type": "", "release": "", "distro": {"name": name, "version": version, "display_name": ""}},
        "monitors": {"fan": None, "pt": None},
        "image": {"files": [one for one in files if one]},
    }


_FLAGS = {Kind.READ: "R", Kind.MAP: "R", Kind.WRITE: "W", Kind.EXECUTE: "X"}


def _flags(judgement: Judgement) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for seen in judgement.evidence.container.observations.values():
        if not seen.volume and not seen.collapsed and seen.target:
            found[seen.target] = found.get(seen.target, "") + "".join(_FLAGS.get(kind, "") for kind in seen.kinds)
    return found


_TYPES = {FileType.DIRECTORY: "Dir", FileType.FILE: "File", FileType.SYMLINK: "Symlink"}


def _artifact(entry: Entry, flags: Iterable[str]) -> dict[str, Any]:
    shaped: dict[str, Any] = {
        "file_type": _TYPES.get(entry.type, "Unknown"),
        "file_path": escape(entry.path),
        "mode": mode(entry),
        "file_size": entry.size,
    }
    if entry.target:
        shaped["link_ref"] = escape(entry.target)
    if flags:
        shaped["flags"] = dict.fromkeys(sorted(set(flags)), True)
    return shaped


_LETTERS = {
    FileType.DIRECTORY: "d",
    FileType.SYMLINK: "L",
    FileType.BLOCK: "D",
    FileType.CHARACTER: "D",
    FileType.FIFO: "p",
    FileType.SOCKET: "S",
}


def mode(entry: Entry) -> str:
    """Write a mode as Go does (io/fs, FileMode.String)."""
    marks = _LETTERS.get(entry.type, "")
    marks += "u" if entry.mode & stat.S_ISUID else ""
    marks += "g" if entry.mode & stat.S_ISGID else ""
    marks += "c" if entry.type is FileType.CHARACTER else ""
    marks += "t" if entry.mode & stat.S_ISVTX else ""
    return (marks or "-") + stat.filemode(entry.mode & 0o777)[1:]
