"""What runs in a container: its mount namespace and root, and the loads of load.c."""

import ctypes
import os
import platform
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.bench.cgroups import Group
from tests.bench.trouble import BenchError

HOME = Path("/snoop-bench")
"""Of the load, in the containers' tree."""
FILES = HOME / "files"
"""What it opens."""
_CLONE_NEWNS, _MS_PRIVATE_ALL = 0x00020000, 0x4000 | 0x40000
_PR_SET_PDEATHSIG = 1
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}[platform.machine()]
_MNT_DETACH = 2
_libc = ctypes.CDLL(None, use_errno=True)


def entering(group: Group | None, root: Path | None = None) -> Callable[[], None]:
    """What a child does before it execs: join a cgroup, enter a container's mounts, and end when the harness does.

    `root`: a mount that becomes the child's whole tree, as a runtime does it.
    """

    def enter() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if group is not None:
            group.join()
            enter_namespace()
        if root is not None:
            os.chdir(root)
            # On itself, then off: pivot_root(2), "pivot_root(".", ".")".
            check(_libc.syscall(_PIVOT_ROOT, b".", b"."), "no root of its own")
            unmount(Path())
            os.chdir("/")

    return enter


def enter_namespace() -> None:
    """Have mounts of one's own: they go with the last process that sees them."""
    check(_libc.unshare(_CLONE_NEWNS), "no mount namespace of its own")
    check(_libc.mount(b"none", b"/", None, ctypes.c_ulong(_MS_PRIVATE_ALL), None), "mounts stay shared")


def mount(kind: str, where: Path, options: str = "") -> None:
    """Mount a file system that has no device."""
    done = _libc.mount(b"snoop-bench", os.fsencode(where), kind.encode(), ctypes.c_ulong(0), options.encode())
    check(done, f"cannot mount {kind}")


def unmount(where: Path) -> None:
    """Take a mount away, now or when nobody uses it any more."""
    check(_libc.umount2(os.fsencode(where), _MNT_DETACH), f"cannot unmount {where}")


def check(result: int, words: str) -> None:
    """BenchError if a call of the C library failed."""
    if result != 0:
        raise BenchError(f"{words}: {os.strerror(ctypes.get_errno())}")


class Load:
    """A running load."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ready(self) -> "Load":
        """Wait until it has touched everything once."""
        assert self._process.stdout
        if self._process.stdout.readline() != "ready\n":
            raise BenchError("the load did not start: see above")
        return self

    def go(self) -> "Load":
        """Let it begin."""
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self

    def result(self) -> list[float]:
        """Wait for its end, and read the numbers that it printed."""
        told, _ = self._process.communicate()
        if self._process.returncode:
            raise BenchError("the load failed: see above")
        return [float(word) for word in told.split()]


def load_command(
    mode: str, options: Mapping[str, float | str], program: Path = HOME / "load", files: Path = FILES
) -> list[str]:
    """The command line of a load; in the containers' tree unless told otherwise."""
    given = [word for letter, value in options.items() for word in (f"-{letter}", str(value))]
    return [str(program), mode, "-d", str(files), *given]


def build_load(to: Path) -> Path:
    """Compile load.c."""
    source = Path(__file__).with_name("load.c")
    flags = ["-O2", "-Wall", "-Wextra", "-Werror"]
    program = to / "load"
    try:
        subprocess.run(["gcc", *flags, "-o", str(program), str(source)], check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise BenchError("gcc is missing: make install brings it") from error
    except subprocess.CalledProcessError as error:
        raise BenchError(f"load.c does not compile: {error.stderr.splitlines()[0]}") from error
    return program
