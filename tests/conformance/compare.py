"""A report against what the witnesses saw: what it lacks, and what it tells that nobody saw."""

import json
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.conformance.paths import physical_parents, show, unescape
from tests.conformance.witness import DECLARED, Account, Answer, Demand

SURE = 4096 - 256
"""Bytes up to which a path is told even if another string of its record was cut (PATH_MAX and NAME_MAX of
linux/limits.h)."""


@dataclass(frozen=True, slots=True)
class Told:
    """One observation of a report."""

    path: bytes
    target: bytes
    outcome: str
    kinds: frozenset[str]
    collapsed: bool


@dataclass(slots=True)
class Reported:
    """What is compared of a report."""

    told: list[Told]
    events: int
    lost: int
    gaps: dict[str, str]
    """By code."""
    paths: set[bytes]
    hooks: str
    """The hook set: what it can see differs."""


@dataclass(slots=True)
class Difference:
    """The result for one workload: lines for people."""

    missed: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)


def read(path: Path) -> Reported:
    """Read a report file, by hand: its own reader is part of what is tested."""
    document = json.loads(path.read_bytes())
    told = [
        Told(
            unescape(one["path"]),
            unescape(one["path"] if one.get("resolved") else one.get("target", "")),
            one["outcome"],
            frozenset(one["kinds"]),
            one.get("collapsed", False),
        )
        for container in document["containers"]
        for one in container["observations"]
    ]
    paths = {one.path for one in told} | {one.target for one in told if one.target}
    gaps = {gap["code"]: gap["message"] for gap in document["gaps"]}
    return Reported(told, document["total_events"], document["dropped_events"], gaps, paths, document["agent"]["hooks"])


def compare(
    report: Reported, account: Account, excluded: tuple[bytes, ...] = (), gaps: Iterable[str] = ()
) -> Difference:
    """Find what differs. `excluded` are the prefixes that the report was told to leave out, `gaps` what it has to tell.

    A path that is about as long as a name may be is not asked for where the report says that it could not tell one.
    """
    found = Difference()
    found.missed += [f"gap {code}" for code in gaps if code not in report.gaps]
    found.invented += [f"gap {code}: {words}" for code, words in report.gaps.items() if code not in gaps]
    longest = SURE if "path_truncated" in report.gaps else sys.maxsize
    by_path: dict[bytes, list[Told]] = {}
    files: set[bytes] = set()
    for one in report.told:
        for path in _meant(one.path):
            by_path.setdefault(path, []).append(one)
        if one.outcome in ("exists", "failed"):  # a failed execve has read the program, perhaps
            files |= {one.path, one.target}
    for demand in account.asked.values():
        lacks = _lacks(demand, by_path, excluded, report.hooks == "vfs")
        if lacks and len(min(demand.spellings, key=len)) < longest:
            found.missed.append(f"{lacks}  [{demand.cause}]")
    listed = {one.target or one.path for one in report.told if "list" in one.kinds}
    for ways, cause in account.listed.items():
        if not ways & listed and not all(path.startswith(excluded or (b"\0",)) for path in ways):
            found.missed.append(f"list of {show(min(ways))}  [{cause}]")
    for path, cause in account.opened.items():
        if path not in files and not path.startswith(excluded or (b"\0",)):
            found.missed.append(f"opened {show(path)}  [{cause}]")
    found.invented += list(_invented(report, account))
    return found


def _lacks(demand: Demand, by_path: dict[bytes, list[Told]], excluded: tuple[bytes, ...], vfs: bool) -> str:
    """What a demand lacks; empty if nothing."""
    spellings = {path for path in demand.spellings if not path.startswith(excluded or (b"\0",))}
    targets = {path for path in demand.targets if not path.startswith(excluded or (b"\0",))}
    words = show(min(demand.spellings, key=len))
    if not spellings:
        # The name is excluded; what it led to is told under its own name.
        if targets and not any(path in by_path for path in targets):
            return f"target {show(min(targets))} of the excluded {words}"
        return ""
    # The vfs hooks see the look-up, which is before the refusal.
    answers = demand.answers | ({Answer.EXISTS} if vfs and Answer.DENIED in demand.answers else set())
    told = [one for path in spellings for one in by_path.get(path, []) if _agrees(one.outcome, answers)]
    if demand.cause == DECLARED and any(one.target in spellings for many in by_path.values() for one in many):
        return ""
    if not told and vfs and _never_looked_up(demand):
        return ""
    if not told:
        return f"{'/'.join(sorted(demand.answers))} {words}"
    if targets:
        told = [one for one in told if one.target in targets]
        if not told:
            return f"target {show(min(targets))} of {words}"
    kinds = {kind for one in told for kind in one.kinds}
    if demand.kinds - kinds:
        return f"{' '.join(sorted(demand.kinds - kinds))} of {words}"
    return ""


def _never_looked_up(demand: Demand) -> bool:
    """Whether the vfs hooks cannot tell: what is to be removed or renamed is told as an object, if it is there."""
    return demand.cause.startswith(("rename", "unlink", "rmdir")) and not demand.cause.endswith("= 0")


def _agrees(outcome: str, answers: Iterable[Answer]) -> bool:
    # What an errno other than "missing" and "denied" proves of a path is the report's to judge, not the witness's.
    return any(outcome == answer or (answer is Answer.OTHER and outcome in ("exists", "failed")) for answer in answers)


def _meant(path: bytes) -> set[bytes]:
    """What a told path names: if it has `..`, also folded by what is on the disk."""
    return {path, physical_parents(path)} if b".." in path.split(b"/") else {path}


def _only_in_the_kernel(one: Told, answers: set[Answer]) -> bool:
    """Whether the vfs hooks rightly tell what no witness can: what look-ups led to, and the kernel's own.

    A first try of io_uring's that may not block fails; a `#!` interpreter that is missing is looked for by no call; and
    /proc/self is a link.
    """
    if not answers:
        return one.outcome == "missing" and one.kinds == frozenset({"execute"})
    if one.outcome == "failed":
        return True
    itself = re.sub(rb"^/proc/[0-9]+/", b"/proc/self/", one.target)
    return one.target in (one.path, physical_parents(one.path), os.path.realpath(one.path)) or itself == one.path


def _invented(report: Reported, account: Account) -> Iterable[str]:
    for one in report.told:
        what = f"{one.outcome} {show(one.path)} -> {show(one.target)} ({' '.join(sorted(one.kinds))})"
        own = one.path == one.target and one.path in account.targets
        answers = set().union(*(account.allowed.get(path, set()) for path in _meant(one.path)))
        if report.hooks == "vfs" and _only_in_the_kernel(one, answers):
            continue
        if not own and not _agrees(one.outcome, answers):
            said = f"the kernel said {', '.join(sorted(answers))}" if answers else "nobody asked for it"
            yield f"{what}: {said}"
        elif one.target and one.target not in account.targets and not one.collapsed:
            yield f"{what}: it did not lead there"
