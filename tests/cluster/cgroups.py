"""The cluster's own cgroup in every hierarchy of the machine, v1 and v2: made, joined, removed."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path


def hierarchies() -> Iterator[tuple[Path, str]]:
    """Mount point and super block options of each mounted hierarchy whose root is the hierarchy's own."""
    seen = set()
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, right = line.split(" - ", 1)
        kind, _, options = right.split(" ", 2)
        root, point = left.split()[3:5]
        if kind in ("cgroup", "cgroup2") and root == "/" and left.split()[2] not in seen:
            seen.add(left.split()[2])
            yield Path(point), options


def make(name: str) -> list[Path]:
    """Makes /NAME and /NAME/system in each hierarchy and gives the latter: pods go beside it, and a v2 cgroup with
    children that are controlled may hold no process itself."""
    made = []
    for point, options in hierarchies():
        if (point / "cgroup.controllers").exists():
            _delegate(point, name)
        for directory in (point / name, point / name / "system"):
            directory.mkdir(exist_ok=True)
            if "cpuset" in options.split(","):  # empty in a new v1 cgroup, and then no process may join
                for file in ("cpuset.cpus", "cpuset.mems"):
                    (directory / file).write_text((directory.parent / file).read_text())
        made.append(point / name / "system")
    return made


def _delegate(point: Path, name: str) -> None:
    (point / name).mkdir(exist_ok=True)
    for controller in (point / "cgroup.controllers").read_text().split():
        for directory in (point, point / name):
            with contextlib.suppress(OSError):  # one that the kernel keeps to the root is no loss
                (directory / "cgroup.subtree_control").write_text("+" + controller)


def join(directories: list[Path]) -> None:
    for directory in directories:
        (directory / "cgroup.procs").write_text("0")


def remove(name: str, seconds: float) -> list[Path]:
    """Removes /NAME with all below it from each hierarchy; waits for processes that are about to be gone. Gives what
    could not be removed."""
    end = time.monotonic() + seconds
    while True:
        for point, _ in hierarchies():
            below = sorted((point / name).rglob("*/"), key=lambda path: len(path.parts), reverse=True)
            for directory in (*below, point / name):
                with contextlib.suppress(OSError):
                    directory.rmdir()
        left = [point / name for point, _ in hierarchies() if (point / name).exists()]
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.1)
