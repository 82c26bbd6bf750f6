"""Cgroups of pods and their containers, as a kubelet lays them out, in every hierarchy that is needed here.

One tree, `snoop-bench-<PID>`, in each: cgroup v2's, and v1's cpu, cpuacct and memory where they are v1's. The next run
removes the trees of runs that were killed, with what still runs in them, wherever in a hierarchy they are: a login
session or a service before this one had another cgroup. Files: cgroups(7), the kernel's
Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.trouble import BenchError

from snoop_agent.owncgroup import parents

PURPOSE = "snoop-bench"
_WANTED = ("cpu", "cpuacct", "memory")
_PERIOD_US = 100_000
"""Of a CPU limit, as the kubelet sets it."""
_ENDING = 180.0
"""Seconds for processes that were killed to be gone."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What one cgroup is charged, in bytes."""

    usage: int
    """All, with the page cache of files that were read."""
    working: int
    """Without the page cache that the kernel would drop first: what the kubelet shows and evicts by."""
    anonymous: int
    kernel: int
    """Maps of BPF among it."""


class Group:
    """One cgroup, at the same place in each hierarchy."""

    def __init__(self, places: dict[str, Path]) -> None:
        """`places`: its directories by controller; v2's by the empty name. They are made here."""
        self._places = places
        self.v2 = _WANTED[0] not in places
        """Whether it is limited and measured by cgroup v2."""
        for place in places.values():
            place.mkdir(parents=True, exist_ok=True)

    def join(self) -> None:
        """Move this process in: for what runs between fork and exec."""
        for place in self._places.values():
            (place / "cgroup.procs").write_text("0")

    def limit_memory(self, limit: int) -> None:
        """`limit`: bytes."""
        self._write("memory", "memory.max" if self.v2 else "memory.limit_in_bytes", str(limit))

    def limit_cpu(self, share: float) -> None:
        """`share`: of one core; 0.2 is 200m."""
        quota = int(share * _PERIOD_US)
        if self.v2:
            self._write("cpu", "cpu.max", f"{quota} {_PERIOD_US}")
        else:
            self._write("cpu", "cpu.cfs_period_us", str(_PERIOD_US))
            self._write("cpu", "cpu.cfs_quota_us", str(quota))

    def cpu_seconds(self) -> float:
        """Processor time used so far, of all that ran in it."""
        if self.v2:
            return self._stat("cpu", "cpu.stat")["usage_usec"] / 1e6
        return int(self._read("cpuacct", "cpuacct.usage")) / 1e9

    def memory(self) -> Memory:
        """What it is charged now."""
        stat = self._stat("memory", "memory.stat")
        if self.v2:
            usage = int(self._read("memory", "memory.current"))
            return Memory(usage, usage - stat["inactive_file"], stat["anon"], stat.get("kernel", 0))
        usage = int(self._read("memory", "memory.usage_in_bytes"))
        kernel = int(self._read("memory", "memory.kmem.usage_in_bytes"))
        return Memory(usage, usage - stat["total_inactive_file"], stat["total_rss"], kernel)

    def peak(self) -> int:
        """The most it was charged so far, in bytes."""
        return int(self._read("memory", "memory.peak" if self.v2 else "memory.max_usage_in_bytes"))

    def failures(self) -> int:
        """How often it stood at its memory limit."""
        if self.v2:
            return self._stat("memory", "memory.events")["max"]
        return int(self._read("memory", "memory.failcnt"))

    def forget_peak(self) -> None:
        """Start the peak anew. On v2 a no-op before 6.12."""
        with contextlib.suppress(OSError):
            self._write("memory", "memory.peak" if self.v2 else "memory.max_usage_in_bytes", "0")

    def _place(self, controller: str) -> Path:
        return self._places["" if self.v2 else controller]

    def _read(self, controller: str, name: str) -> str:
        return (self._place(controller) / name).read_text()

    def _write(self, controller: str, name: str, text: str) -> None:
        (self._place(controller) / name).write_text(text)

    def _stat(self, controller: str, name: str) -> dict[str, int]:
        pairs = (line.split() for line in self._read(controller, name).splitlines())
        return {words[0]: int(words[1]) for words in pairs if len(words) == 2}


class Tree:
    """Everything that a run makes, and its end."""

    def __init__(self) -> None:
        bases = _bases()
        self._roots = {one: place / f"{PURPOSE}-{os.getpid()}" for one, place in bases.items()}
        for left in abandoned(bases.values()):
            _remove(left)
        for root in self._roots.values():
            root.mkdir()
        if _WANTED[0] not in self._roots:
            self._hand_down(self._roots[""])

    def group(self, path: str) -> Group:
        """Make a cgroup below the run's own."""
        if _WANTED[0] not in self._roots:
            place = self._roots[""]
            for name in path.split("/")[:-1]:
                place /= name
                place.mkdir(exist_ok=True)
                self._hand_down(place)
        return Group({one: root / path for one, root in self._roots.items()})

    def remove(self) -> None:
        """End what still runs in it, and take everything away."""
        for root in self._roots.values():
            _remove(root)

    def drop(self, path: str) -> None:
        """Take one subtree away."""
        for root in self._roots.values():
            _remove(root / path)

    @staticmethod
    def _hand_down(place: Path) -> None:
        """Let v2's children of a cgroup have controllers."""
        (place / "cgroup.subtree_control").write_text("+cpu +memory")


def _bases() -> dict[str, Path]:
    """Where the run's tree goes, by controller."""
    found = {
        one.controller: Path(one.directory)
        for one in parents(Path("/proc/self/cgroup").read_text(), Path("/proc/self/mountinfo").read_text())
        if one.controller in ("", *_WANTED)
    }
    missing = [one for one in _WANTED if one not in found]
    if not missing:
        return found
    # All are v2's then. A cgroup that holds processes cannot give its children controllers, but the root can.
    root = _top(found[""]) if "" in found else None
    if root is None or not {"cpu", "memory"} <= set((root / "cgroup.subtree_control").read_text().split()):
        raise BenchError(f"no cgroup hierarchy gives {' and '.join(missing)} to new cgroups")
    return {"": root}


def abandoned(bases: Iterable[Path]) -> list[Path]:
    """Find the trees of runs that were killed, anywhere in the hierarchies of these directories."""
    # os.walk, as cgroups of others may go while it looks.
    found = (
        Path(place, name) for top in {_top(one) for one in bases} for place, names, _ in os.walk(top) for name in names
    )
    return sorted(one for one in found if one.name.startswith(f"{PURPOSE}-") and _is_abandoned(one))


def _top(place: Path) -> Path:
    """Climb to the root of a hierarchy, or of the part that is mounted."""
    while (place.parent / "cgroup.procs").exists():
        place = place.parent
    return place


def _is_abandoned(tree: Path) -> bool:
    maker = tree.name.removeprefix(f"{PURPOSE}-")
    # 0 stands for a process of another PID namespace, where the maker may live too.
    return maker.isdecimal() and not Path("/proc", maker).exists() and 0 not in _members(tree)


def _members(root: Path) -> Iterator[int]:
    for listed in root.rglob("cgroup.procs"):
        with contextlib.suppress(OSError):
            yield from (int(line) for line in listed.read_text().split())


def _remove(root: Path) -> None:
    """End what runs below a cgroup, and take it away. Processes that detach from many tracepoints take seconds."""
    until = time.monotonic() + _ENDING
    while root.exists():
        pids = [pid for pid in _members(root) if pid]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            for place in sorted((one for one in root.rglob("*") if one.is_dir()), reverse=True):
                place.rmdir()
            root.rmdir()
            return
        if time.monotonic() > until:
            raise BenchError(f"{root} cannot be removed; in it: {pids or 'processes that are ending'}")
        time.sleep(0.05)
