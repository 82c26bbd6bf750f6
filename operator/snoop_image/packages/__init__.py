"""The packages of an image: whose files are whose, and what packages need of each other. Values in and out; no I/O.

An SQLite database alone goes through a temporary file, as its library wants.
"""

from collections.abc import Mapping

from snoop_image.model import Entry, Package
from snoop_image.packages import apk, compiled, dpkg, node, python, release, rpm, unread
from snoop_image.packages.dependencies import Dependencies
from snoop_image.packages.intake import Intake
from snoop_image.packages.owners import ownership
from snoop_image.packages.purl import purl
from snoop_image.packages.release import distribution

__all__ = ["Dependencies", "distribution", "ownership", "purl", "read_packages", "wanted"]

_WANTED = (dpkg.wanted, apk.wanted, rpm.wanted, python.wanted, node.wanted, release.wanted)


def wanted(path: str) -> bool:
    """Say whether `read_packages` or `distribution` needs the content of the file."""
    return any(one(path) for one in _WANTED)


def read_packages(contents: Mapping[str, bytes], entries: Mapping[str, Entry]) -> tuple[list[Package], list[str]]:
    """Read every package database; with notes of what could not be read. Bad data loses nothing of the rest.

    `contents` has the files that are `wanted`, `entries` all of the image, both by their own paths.
    """
    intake = Intake(contents, entries)
    for words in unread.notes(entries):
        intake.note("unread", words)
    dpkg.read(intake)
    apk.read(intake)
    rpm.read(intake)
    python.read(intake, ownership(intake.packages), tuple(intake.packages))
    node.read(intake)
    compiled.adopt(intake.packages, entries)
    return intake.finish()
