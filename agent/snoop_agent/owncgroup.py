"""A cgroup (v2) of one's own for a command: made below this process's, emptied and removed afterwards.

It needs no controller, only the name: the kernel side tells by it which processes are the command's. Where the machine
mounts no cgroup2 (pure v1), the hierarchy exists all the same and is mounted for a moment.
"""

import contextlib
import ctypes
import errno
import os
import tempfile
from pathlib import Path

_MNT_DETACH = 2


class CgroupError(Exception):
    """No cgroup could be made; the message says why."""


class OwnCgroup:
    """A new cgroup, held by a descriptor of its parent directory."""

    def __init__(self, purpose: str, suffix: str = "") -> None:
        """Make `<purpose>-<PID><suffix>`, and remove empty ones whose makers were killed."""
        self.name = name = f"{purpose}-{os.getpid()}{suffix}"
        self._parent, relative = _open_parent()
        self._sweep(purpose)
        try:
            os.mkdir(name, dir_fd=self._parent)
        except OSError as error:
            os.close(self._parent)
            raise CgroupError(f"cannot make a cgroup below {relative}: {error.strerror}") from error
        self.path = f"{relative.rstrip('/')}/{name}"
        """From the hierarchy's root, or the cgroup namespace's."""
        self.identifier = os.stat(name, dir_fd=self._parent).st_ino
        """The kernel's cgroup ID."""

    def _sweep(self, purpose: str) -> None:
        for entry in os.listdir(self._parent):  # noqa: PTH208 - by descriptor
            maker = entry.removeprefix(f"{purpose}-").partition("-")[0]
            if entry.startswith(f"{purpose}-") and maker.isdecimal() and not Path(f"/proc/{maker}").exists():
                # One that still holds processes cannot be removed, and is not.
                with contextlib.suppress(OSError):
                    os.rmdir(entry, dir_fd=self._parent)

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


def _open_parent() -> tuple[int, str]:
    """Open this process's own cgroup directory, and tell its path."""
    own = next((line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")), "/")
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        if rest.split(" ", 1)[0] != "cgroup2":
            continue
        root, point = fields.split(" ")[3:5]
        # A cgroup namespace shows a root of its own ("/"); a bind mount may show a part.
        below = own if root == "/" else own.removeprefix(root) if own.startswith(root) else None
        if below is not None:
            return os.open(f"{point}/{below}", os.O_RDONLY | os.O_DIRECTORY), own
    return _mount_for_a_moment(own), own


def _mount_for_a_moment(own: str) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    with tempfile.TemporaryDirectory(prefix="snoop-cgroup2-") as point:
        if libc.mount(b"none", os.fsencode(point), b"cgroup2", ctypes.c_ulong(0), None) != 0:
            number = ctypes.get_errno()
            raise CgroupError(f"this machine has no cgroup2 mounted, and mounting it failed: {os.strerror(number)}")
        try:
            return os.open(f"{point}/{own}", os.O_RDONLY | os.O_DIRECTORY)
        finally:
            libc.umount2(os.fsencode(point), _MNT_DETACH)
