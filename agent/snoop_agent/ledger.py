"""One container's observations, packed: 40 bytes and their names where the objects of `snoop_report.model` take 500.

Keys and columns instead of objects, because a report holds 100,000 of these beside a production app. What is here is
never forgotten; what is new since the last `take` is known. No I/O; one thread.
"""

import heapq
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence

from snoop_agent.keys import Keys
from snoop_report.model import Kind, Observation, Outcome
from snoop_report.paths import decode

KINDS: tuple[Kind, ...] = (
    Kind.READ,
    Kind.WRITE,
    Kind.CREATE,
    Kind.EXECUTE,
    Kind.MAP,
    Kind.STAT,
    Kind.READLINK,
    Kind.LIST,
    Kind.CHDIR,
    Kind.MODIFY,
    Kind.OPEN,
    Kind.HELD,
)
"""By bit, as in `wire`."""

_OUTCOMES = (Outcome.EXISTS, Outcome.MISSING, Outcome.DENIED, Outcome.FAILED)
_LETTERS = {outcome: bytes([65 + index]) for index, outcome in enumerate(_OUTCOMES)}
_SORTED_AT_ONCE = 8192
_VOLUME, _COLLAPSED, _FRESH = 1, 2, 4

_KIND_SETS: dict[int, frozenset[Kind]] = {}


def kinds_of(bits: int) -> frozenset[Kind]:
    """Turn the kernel's bits into kinds. The sets are shared: there are few."""
    found = _KIND_SETS.get(bits)
    if found is None:
        found = frozenset(kind for index, kind in enumerate(KINDS) if bits >> index & 1)
        _KIND_SETS[bits] = found
    return found


class Executables:
    """Programs by number, shared by all ledgers of an agent."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {b"": 0}
        self.names: list[str] = [""]

    def number(self, path: bytes) -> int:
        """Give `path` its number."""
        found = self._numbers.get(path)
        if found is None:
            found = self._numbers[path] = len(self.names)
            self.names.append(decode(path))
        return found


class Ledger:
    """Observations of one container."""

    def __init__(self, executables: Executables, cap: int = 0) -> None:
        self._executables = executables
        self._cap = cap
        # A key is path, NUL, letter of the outcome, target ("." if it equals the path): a path holds no NUL.
        self._keys = Keys()
        self._kinds = array("H")
        self._flags = array("B")
        self._programs = array("I")
        self._first = array("d")
        self._last = array("d")
        self._fresh = array("I")
        self.refused = 0
        """Touches of paths that found the cap reached."""
        self.files = 0
        """Observations of something that exists."""

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def fresh(self) -> int:
        """How many observations are new or have changed since they were last taken."""
        return len(self._fresh)

    def note(
        self,
        path: bytes,
        target: bytes,
        outcome: Outcome,
        kinds: int,
        when: float,
        executable: bytes,
        *,
        volume: bool = False,
        collapsed: bool = False,
    ) -> bool:
        """Add what was seen. True if it is a new path, target or outcome. At the cap only what is known grows."""
        key = path + b"\0" + _LETTERS[outcome] + (b"." if target == path else target)
        at = self._keys.find(key)
        if at < 0:
            if self._cap and len(self._keys) >= self._cap:
                self.refused += 1
                return False
            at = self._keys.add(key)
            self._kinds.append(kinds)
            self._flags.append(_VOLUME * volume | _COLLAPSED * collapsed | _FRESH)
            self._programs.append(self._executables.number(executable))
            self._first.append(when)
            self._last.append(when)
            self._fresh.append(at)
            self.files += outcome is Outcome.EXISTS
            return True
        self._last[at] = max(self._last[at], when)
        if when < self._first[at]:
            # CPUs write to the ring in about the order of their clocks, not quite.
            self._first[at] = when
            self._programs[at] = self._executables.number(executable)
        flags = self._flags[at]
        # Once seen on the container's own root, or with a name, it is a file of the image for good.
        calmer = flags & ~(_VOLUME * (not volume) | _COLLAPSED * (not collapsed))
        if kinds & ~self._kinds[at] or calmer != flags:
            self._kinds[at] |= kinds
            if not flags & _FRESH:
                self._fresh.append(at)
            self._flags[at] = calmer | _FRESH
        return False

    def take(self, limit: int, limit_bytes: int) -> list[Observation]:
        """Take up to `limit` fresh observations, of about `limit_bytes` of names: they are fresh no longer."""
        taken: list[Observation] = []
        size = 0
        while self._fresh and len(taken) < limit and size < limit_bytes:
            at = self._fresh.pop()
            self._flags[at] &= ~_FRESH
            size += len(self._keys[at])
            taken.append(self._observation(at))
        return taken

    def forget_taken(self) -> None:
        """Call everything fresh again."""
        self._fresh = array("I", range(len(self._keys)))
        for at in range(len(self._flags)):
            self._flags[at] |= _FRESH

    def observations(self) -> Iterator[Observation]:
        """All of them, ordered by path (in bytes), made one at a time."""
        for at in _in_order(range(len(self._keys)), self._keys.__getitem__):
            yield self._observation(at)

    def existing(self) -> Iterator[str]:
        """Give the report's `files`, one at a time: asked and resolved paths that exist, sorted as bytes."""
        asked, targets = array("I"), array("I")
        for at, key in enumerate(self._keys):
            letter = key.index(b"\0") + 1
            if key[letter : letter + 1] != _LETTERS[Outcome.EXISTS]:
                continue
            asked.append(at)
            if len(key) > letter + 1 and key[letter + 1 :] != b"." and not self._flags[at] & _COLLAPSED:
                targets.append(at)
        names = (map(name, _in_order(part, name)) for part, name in ((asked, self._path), (targets, self._target)))
        return _distinct(heapq.merge(*names))

    def missing(self) -> Iterator[str]:
        """Give the report's `missing`, one at a time, sorted as bytes."""
        suffix = b"\0" + _LETTERS[Outcome.MISSING]
        found = array("I", (at for at, key in enumerate(self._keys) if suffix in key))
        return _distinct(map(self._path, _in_order(found, self._path)))

    def _path(self, at: int) -> bytes:
        return self._keys[at].partition(b"\0")[0]

    def _target(self, at: int) -> bytes:
        return self._keys[at].partition(b"\0")[2][1:]

    def _observation(self, at: int) -> Observation:
        path, _, rest = self._keys[at].partition(b"\0")
        asked = decode(path)
        target = asked if rest[1:] == b"." else decode(rest[1:])
        flags = self._flags[at]
        return Observation(
            path=asked,
            target=target,
            outcome=_OUTCOMES[rest[0] - 65],
            kinds=kinds_of(self._kinds[at]),
            first_seen=self._first[at],
            last_seen=self._last[at],
            executable=self._executables.names[self._programs[at]],
            volume=bool(flags & _VOLUME),
            collapsed=bool(flags & _COLLAPSED),
        )


def _in_order(numbers: Sequence[int], name: Callable[[int], bytes]) -> Iterator[int]:
    """Sort by name, a part at a time: all names at once would double what a ledger holds."""
    parts = (numbers[at : at + _SORTED_AT_ONCE] for at in range(0, len(numbers), _SORTED_AT_ONCE))
    return heapq.merge(*(array("I", sorted(part, key=name)) for part in parts), key=name)


def _distinct(paths: Iterable[bytes]) -> Iterator[str]:
    last = b""
    for path in paths:
        if path != last and path:
            last = path
            yield decode(path)
