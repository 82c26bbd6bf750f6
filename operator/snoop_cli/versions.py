"""Evidence of one of several images: `PROFILE@sha256:…`, or the two that a profile has seen. Pure."""

import re
from collections.abc import Iterable
from dataclasses import replace

from snoop_cli.evidence import Evidence
from snoop_cli.exits import Failure
from snoop_cli.spelling import several
from snoop_report.model import Report

_OF = re.compile(r"(.+)@(sha256:[0-9a-f]{4,64})")
_SHOWN = len("sha256:") + 12


def split(argument: str) -> tuple[str, str]:
    """Take an argument apart: what is meant, and the (beginning of the) digest of the image; empty: all of it."""
    match = _OF.fullmatch(argument)
    return (match[1], match[2]) if match else (argument, "")


def digests(evidence: Evidence, containers: tuple[str, ...] = ()) -> list[str]:
    """Give the digests of the images that ran, the one that ran first first. `containers`: of these names only."""
    first: dict[str, float] = {}
    for report in evidence.reports:
        for one in report.containers:
            if one.digest and (not containers or one.name in containers):
                since = one.started_at or report.started_at
                first[one.digest] = min(since, first.get(one.digest, since))
    return sorted(first, key=lambda digest: (first[digest], digest))


def short(digest: str) -> str:
    """Write a digest as far as people read it."""
    return digest[:_SHOWN]


def only(evidence: Evidence, digest: str, name: str) -> tuple[Evidence, str]:
    """Leave what containers of one image did; and give its whole digest. Failure unless exactly one is meant."""
    known = digests(evidence)
    meant = [one for one in known if one.startswith(digest)]
    if len(meant) != 1:
        words = f"has several images {digest}" if meant else f"has no image {digest}"
        raise Failure(f"{name} {words}; it has {_listed(known)}")
    return Evidence(tuple(_of(evidence.reports, meant[0]))), meant[0]


def pair(evidence: Evidence, name: str) -> tuple[str, str]:
    """Give the digests of the two images that ran, the older one first. Failure if there are more or fewer."""
    known = digests(evidence)
    if len(known) != 2:
        raise Failure(
            f"{name} has {_listed(known)}: two are compared. Name them: {name}@sha256:… {name}@sha256:…, "
            "or name what to compare it with"
        )
    return known[0], known[1]


def _listed(known: list[str]) -> str:
    if not known:
        return "no image whose digest is known"
    return f"{several(len(known), 'image')} ({', '.join(map(short, known))})"


def _of(reports: Iterable[Report], digest: str) -> Iterable[Report]:
    for report in reports:
        kept = [one for one in report.containers if one.digest == digest]
        if not kept:
            continue
        others = {one.id for one in report.containers} - {one.id for one in kept}
        gaps = [gap for gap in report.gaps if gap.container not in others]
        yield replace(report, containers=kept, gaps=gaps)
