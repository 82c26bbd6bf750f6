"""What a report has to hold, and what it may hold, from what the witnesses saw."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from tests.conformance import calls, interpreters
from tests.conformance.paths import join, physical, spellings
from tests.conformance.processes import Place, Tree
from tests.conformance.strace import DELETED, Call, descriptor

DECLARED = "declared by the workload"
"""The cause of a demand that no witness makes."""
_MISSING = frozenset(["ENOENT"])
_DENIED = frozenset(["EACCES", "EPERM"])
# Without O_PATH the descriptor is a file; what has no place in any tree reads `pipe:[1]`, `anon_inode:[eventfd]`,
# `/memfd:name`.
_NOWHERE = re.compile(rb"[a-z_]+:.*|/memfd:.*|/dev/zero|/SYSV[0-9a-f]{8}|/\[aio\]", re.DOTALL)
_RECEIVED = re.compile(r"\bcmsg_data=\[([^\]]*)\]")


class Answer(StrEnum):
    """What the kernel said of a path, as far as it can be told."""

    EXISTS = "exists"
    MISSING = "missing"
    DENIED = "denied"
    OTHER = "other"
    """Neither: ELOOP, EMFILE, EEXIST …; the path was named nevertheless."""


@dataclass(frozen=True, slots=True)
class Demand:
    """One thing that has to be in the report."""

    spellings: frozenset[bytes]
    """Any of them will do."""
    answers: frozenset[Answer]
    targets: frozenset[bytes]
    """Where it led to, if a descriptor tells; any of them. Empty: not asked."""
    kinds: frozenset[str]
    """How it was touched: all of them."""
    cause: str
    """The call, for people."""


@dataclass(slots=True)
class Account:
    """Everything that the witnesses saw."""

    asked: dict[tuple[frozenset[str | bytes], ...], Demand] = field(default_factory=dict)
    opened: dict[bytes, str] = field(default_factory=dict)
    """Resolved paths, each with a cause: has to be told, by whatever name it was asked for."""
    listed: dict[frozenset[bytes], str] = field(default_factory=dict)
    """Directories whose entries were read, each with a cause."""
    allowed: dict[bytes, set[Answer]] = field(default_factory=dict)
    """Names that may be told, with the answers that were given to them."""
    targets: set[bytes] = field(default_factory=set)
    """Resolved paths that may be told."""
    binds: list[tuple[bytes, bytes]] = field(default_factory=list)

    def ways(self, path: bytes) -> set[bytes]:
        """The right ways to tell a descriptor's path: with what a deleted file was called, and in a bind mount that
        the command made also by where the files are: that is the name that an image has for them."""
        found = {path, path.removesuffix(DELETED)}
        for to, source in self.binds:
            found |= {source + one[len(to) :] or b"/" for one in found if one == to or one.startswith(to + b"/")}
        return found

    def ask(
        self,
        names: Iterable[bytes],
        answers: set[Answer],
        cause: str,
        targets: Iterable[bytes] = (),
        kinds: frozenset[str] = frozenset(),
    ) -> None:
        """Demand a name."""
        demand = Demand(frozenset(names), frozenset(answers), frozenset(targets), kinds, cause)
        spelled = demand.spellings
        self.asked.setdefault((spelled, demand.answers, demand.targets, kinds), demand)
        self.targets |= demand.targets
        for name in spelled:
            self.allow(name, answers)

    def allow(self, name: bytes, answers: set[Answer]) -> None:
        """Let a name be told."""
        self.allowed.setdefault(name, set()).update(answers)

    def open(self, path: bytes, cause: str) -> None:
        """Demand a resolved path."""
        self.opened.setdefault(path, cause)
        self.targets.add(path)


def account(tree: Tree) -> Account:
    """Turn calls into demands."""
    found = Account(targets=set(tree.directories), binds=tree.binds)
    for call, place in tree.calls:
        _called(found, call, place)
    return found


def _called(found: Account, call: Call, place: Place) -> None:
    if call.name in calls.LISTINGS:
        _, path = descriptor(call.arguments[0])
        if path is not None and call.result >= 0:
            found.listed.setdefault(frozenset(found.ways(path)), call.text())
            found.targets |= found.ways(path)
        return
    if call.name == "recvmsg":
        for group in _RECEIVED.findall(" ".join(call.arguments)):
            for one in group.split(", "):
                _, path = descriptor(one)
                if path is not None and not _NOWHERE.fullmatch(path):
                    found.open(path.removesuffix(DELETED), "recvmsg: a descriptor was passed")
        return
    named = calls.names(call, place)
    if call.error in ("?", "EFAULT", "ENOSYS"):
        # It did not return, or the name is not to be had: nothing was learned of a path. It may be told.
        for name in named:
            found.allow(join(name.text, name.base, name.root), set(Answer))
        return
    answer = _answer(call)
    if len(named) > 1 and answer is not Answer.EXISTS:
        # Which of the two names it was is not told, and whether the other was looked at.
        both = [
            way for name in named if name.known for way in spellings(join(name.text, name.base, name.root), name.root)
        ]
        found.ask(both, set(Answer), call.text())
        return
    for index, name in enumerate(named):
        if not name.known:
            continue
        path = join(name.text, name.base, name.root)
        answers = {answer}
        if call.name in ("execve", "execveat") and answer is Answer.MISSING:
            answers.add(Answer.OTHER)  # the program, or the interpreter that it names
        targets = found.ways(call.path) if _opens(call, index) and call.path is not None else set()
        ways = spellings(path, name.root)
        if call.name == "pivot_root":
            # Told by the name that it has in the new tree.
            top = physical(join(named[0].text, name.base, name.root), name.root)
            ways.add(b"/" + path.removeprefix(top).lstrip(b"/"))
        kinds = calls.kinds(call) if answer is not Answer.OTHER else frozenset()
        if answer is not Answer.EXISTS:
            kinds -= {"create"}
        found.ask(ways, answers, call.text(), targets, kinds)
        for way in ways:
            _resolved(found, way, name.root)
        if call.name in ("execve", "execveat") and answer is Answer.EXISTS:
            _executed(found, path, place)


def _answer(call: Call) -> Answer:
    if call.result >= 0:
        return Answer.EXISTS
    if call.error in _MISSING:
        return Answer.MISSING
    return Answer.DENIED if call.error in _DENIED else Answer.OTHER


def _opens(call: Call, index: int) -> bool:
    return call.name in calls.OPENS and not index and call.path is not None and not _NOWHERE.fullmatch(call.path)


def _resolved(found: Account, path: bytes, root: bytes) -> None:
    """Allow what a look-up that tells no descriptor led to: what is there now, with and without a last link."""
    tops = [source for to, source in found.binds if not to] if root == b"/" else []
    for name, top in [(path, root), *((top + path, top) for top in tops)]:
        folder, _, leaf = name.rpartition(b"/")
        found.targets |= found.ways(physical(name, top))
        found.targets |= found.ways(physical(folder or b"/", top).rstrip(b"/") + b"/" + leaf)


def _executed(found: Account, path: bytes, place: Place) -> None:
    """Demand what the kernel opens by itself to run a program."""
    for one in interpreters.needed(path, place.root, place.cwd):
        # A name in a #! line is asked for by the kernel; the ELF interpreter's is in the file that is run.
        if one.script:
            found.ask({one.asked}, {Answer.EXISTS}, f"#! of {path!r}")
        else:
            found.allow(one.asked, {Answer.EXISTS})
        found.open(one.target, f"interpreter of {path!r}")
