"""A cgroup of one's own for a command: made below this process's, emptied and removed afterwards.

The kernel side tells by it which processes are the command's, so any hierarchy does: cgroup v2's where it is mounted,
else one of v1's, else v2's all the same, mounted for a moment: it exists on every machine.
"""

import contextlib
import ctypes
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from snoop_agent import kernel

_MNT_DETACH = 2
# v1's controllers that do least to the processes in a cgroup. In a new cpuset's cgroup nothing may run.
_CONTROLLERS = [
    "pids",
    "freezer",
    "devices",
    "perf_event",
    "net_cls",
    "net_prio",
    "misc",
    "rdma",
    "hugetlb",
    "cpuacct",
    "memory",
    "cpu",
]


class CgroupError(Exception):
    """No cgroup could be made; the message says why."""


class Parent(NamedTuple):
    """The cgroup of this process in one hierarchy: new ones are made below it."""

    controller: str
    """The name of v1's controller; empty for v2."""
    directory: str
    relative: str
    """Its path from the hierarchy's root, or the cgroup namespace's."""


class OwnCgroup:
    """A new cgroup, held by a descriptor of its parent directory."""

    def __init__(self, purpose: str, suffix: str = "") -> None:
        """Make `<purpose>-<PID><suffix>`, and remove empty ones whose makers were killed."""
        self.name = name = f"{purpose}-{os.getpid()}{suffix}"
        self._parent, found = self._make(purpose)
        self.controller = found.controller
        """The name of v1's controller whose hierarchy it is in; empty for v2."""
        self.path = f"{found.relative.rstrip('/')}/{name}"
        """From the hierarchy's root, or the cgroup namespace's."""
        self.identifier = os.stat(name, dir_fd=self._parent).st_ino
        """The kernel's cgroup ID."""

    @property
    def hierarchy(self) -> int:
        """As `subject.Whereabouts.hierarchy`: 0 for v2; N + 1 for v1's controller N. KernelError if nobody tells N."""
        if not self.controller:
            return 0
        number = kernel.Btf.of_running_kernel().enumeration("cgroup_subsys_id").get(f"{self.controller}_cgrp_id")
        if number is None:
            raise kernel.KernelError(f"this kernel's BTF does not number the cgroup controller {self.controller}")
        return number + 1

    def _make(self, purpose: str) -> tuple[int, Parent]:
        """Make it below the first parent that lets us: a hierarchy may be mounted read-only. Gives its descriptor."""
        problem = ""
        try:
            for parent, descriptor in _parents():
                try:
                    self._sweep(descriptor, purpose)
                    os.mkdir(self.name, dir_fd=descriptor)
                except OSError as error:
                    os.close(descriptor)
                    problem = problem or f"cannot make a cgroup below {parent.relative}: {error.strerror}"
                else:
                    return descriptor, parent
        except CgroupError as error:
            raise CgroupError(problem or str(error)) from error
        raise CgroupError(problem)

    @staticmethod
    def _sweep(parent: int, purpose: str) -> None:
        for entry in os.listdir(parent):
            maker = entry.removeprefix(f"{purpose}-").partition("-")[0]
            if entry.startswith(f"{purpose}-") and maker.isdecimal() and not Path(f"/proc/{maker}").exists():
                # One that still holds processes cannot be removed, and is not.
                with contextlib.suppress(OSError):
                    os.rmdir(entry, dir_fd=parent)

    def join(self) -> None:
        """Move this process in."""
        self._write(f"{self.name}/cgroup.procs", "0")

    def members(self) -> list[int]:
        """Process IDs inside, those of child cgroups too."""
        return sorted({pid for directory in self._tree() for pid in self._read(directory)})

    def remove(self) -> None:
        """Move what still runs to the parent cgroup, then remove this one and those made below it."""
        for directory in reversed(self._tree()):
            for _ in range(100):
                pids = self._read(directory)
                for pid in pids:
                    self._write("cgroup.procs", str(pid))
                if not pids:
                    break
            try:
                os.rmdir(directory, dir_fd=self._parent)
            except OSError as error:
                if error.errno != errno.ENOENT:
                    raise CgroupError(f"cannot remove the cgroup {directory}: {error.strerror}") from error
        os.close(self._parent)

    def _tree(self) -> list[str]:
        """List directories, parents first."""
        found = [self.name]
        for directory in found:
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._parent)
            try:
                with os.scandir(descriptor) as entries:
                    found += [f"{directory}/{entry.name}" for entry in entries if entry.is_dir(follow_symlinks=False)]
            finally:
                os.close(descriptor)
        return found

    def _read(self, directory: str) -> list[int]:
        descriptor = os.open(f"{directory}/cgroup.procs", os.O_RDONLY, dir_fd=self._parent)
        with open(descriptor, encoding="ascii") as file:  # noqa: PTH123 - by descriptor
            # 0 stands for a process of another PID namespace: not ours to move.
            return [pid for line in file if (pid := int(line))]

    def _write(self, name: str, text: str) -> None:
        descriptor = os.open(name, os.O_WRONLY, dir_fd=self._parent)
        try:
            os.write(descriptor, text.encode())
        except ProcessLookupError:
            pass  # it has just ended
        finally:
            os.close(descriptor)


def parents(cgroups: str, mounts: str) -> list[Parent]:
    """Find where cgroups can be made, best first, in the texts of /proc/self/cgroup and /proc/self/mountinfo.

    Formats: cgroups(7), proc_pid_mountinfo(5). Pure.
    """
    own: dict[str, str] = {}
    for line in cgroups.splitlines():
        _, names, path = line.split(":", 2)
        own.update(dict.fromkeys(names.split(","), path))
    found: dict[str, Parent] = {}
    for line in mounts.splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ", 2)
        root, point = fields.split(" ")[3:5]
        if kind == "cgroup2":
            controllers = [""]
        elif kind == "cgroup":
            controllers = [one for one in options.split(" ", 1)[-1].split(",") if one in _CONTROLLERS]
        else:
            continue
        for controller in controllers:
            if controller not in own:
                continue
            path = own[controller]
            # A cgroup namespace shows a root of its own ("/"); a bind mount may show a part.
            below = path if root == "/" else path.removeprefix(root) if path.startswith(root) else None
            if below is not None:
                found.setdefault(controller, Parent(controller, f"{point}/{below}", path))
    return [found[controller] for controller in ("", *_CONTROLLERS) if controller in found]


def _parents() -> Iterator[tuple[Parent, int]]:
    """Open the directories where cgroups can be made, best first. Descriptors are the caller's to close."""
    cgroups = Path("/proc/self/cgroup").read_text()
    for parent in parents(cgroups, Path("/proc/self/mountinfo").read_text()):
        try:
            descriptor = os.open(parent.directory, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            continue
        yield parent, descriptor
    own = next((line[3:] for line in cgroups.splitlines() if line.startswith("0::")), "/")
    yield Parent("", "", own), _mount_for_a_moment(own)


def _mount_for_a_moment(own: str) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    with tempfile.TemporaryDirectory(prefix="snoop-cgroup2-") as point:
        if libc.mount(b"none", os.fsencode(point), b"cgroup2", ctypes.c_ulong(0), None) != 0:
            number = ctypes.get_errno()
            raise CgroupError(f"no cgroup can be made here, and mounting cgroup2 failed: {os.strerror(number)}")
        try:
            return os.open(f"{point}/{own}", os.O_RDONLY | os.O_DIRECTORY)
        finally:
            libc.umount2(os.fsencode(point), _MNT_DETACH)
