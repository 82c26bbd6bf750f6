"""One installation per node: pinned in a bpffs, found there by the next agents, removed by the last one.

    DIR/<way>-<hash>/           what compiles and behaves alike; agents of another version have another hash
        maps/ programs/ links/  the installation
        rings/<cgroup ID>       the ring of each traced pod: its agent, started again, reads what is left in it
        manifest                a map that holds a line of JSON; pinned last, so that half an installation is none

Who holds the lock of such a directory (flock(2)) may change it; it dies with its holder. A pod is traced as long as its
cgroup lives, whatever becomes of its agent: the kernel side drops the row of a cgroup that is gone.

Whoever can open DIR can read the names of files that every pod traced on this node uses.
"""

import contextlib
import ctypes
import errno
import fcntl
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from snoop_agent import bpfsys, kernel, registration, sources, wire
from snoop_agent.installation import Installation, install, rows
from snoop_agent.plan import Plan
from snoop_agent.registration import Registration
from snoop_report.version import version

LOG = logging.getLogger(__name__)

_BPF_FS_MAGIC = 0xCAFE4A11
"""include/uapi/linux/magic.h."""
_MANIFEST_SIZE = 8192
_LAYOUT = 1
"""Of the directory and its manifest."""
_NAME = re.compile(r"(raw_tp|tracepoint|fexit)-[0-9a-f]{16}")
_PATIENCE, _GOODBYE = 25.0, 5.0
"""Seconds to wait for other agents: one that loads the programs takes ten; and at the end."""
TARGETS = 512
"""Pods traced at once on a node: the kubelet's default is 110 pods, and few clusters go above 250."""


class SharedInstallation:
    """The node's installation of one kind. Every change is made under its lock."""

    def __init__(self, directory: Path, plan: Plan) -> None:
        """`directory`: in a bpffs. KernelError if it is in none, or cannot be written to."""
        if _magic(directory) != _BPF_FS_MAGIC:
            raise kernel.KernelError(f"{directory} is in no bpffs")
        self.plan = plan
        self._base = directory
        self._home = directory / f"{plan.attach}-{_hash(plan)}"
        self.installation: Installation | None = None
        self._registration: Registration | None = None
        self._ring_name: Path | None = None
        self._place = (0, 0)

    @contextlib.contextmanager
    def locked(self, patience_s: float = _PATIENCE) -> Iterator[None]:
        """Hold the lock; whoever removed the directory meanwhile is followed to the new one.

        KernelError if others hold it for so many seconds.
        """
        until = time.monotonic() + patience_s
        while True:
            try:
                self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
                handle = os.open(self._home, os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise kernel.KernelError(f"cannot use {self._home}: {error.strerror}") from error
            try:
                if _lock(handle, until) and _is_at(handle, self._home):
                    self._place = _identity(handle)
                    yield
                    return
            finally:
                os.close(handle)
            if time.monotonic() >= until:
                raise kernel.KernelError(f"another agent holds {self._home}")

    @property
    def intact(self) -> bool:
        """Whether what this agent uses is still what is pinned there."""
        try:
            there = self._home.stat()
        except OSError:
            return False
        return self._place == (there.st_dev, there.st_ino) and (self._home / "manifest").exists()

    def open(self, scratch: Path | None) -> Installation:
        """Find the installation, or make it. Under the lock.

        KernelError if there is one that cannot be opened, or half of one that traces: others may depend on it.
        """
        _reap_others(self._base, self._home)
        found = self._find()
        if found is None:
            if _in_use(self._home):
                raise kernel.KernelError(f"what is pinned in {self._home} is not whole, and traces all the same")
            _empty(self._home)
            found = self._make(scratch)
        self.installation = found
        self._reap()
        return found

    def _reap(self) -> None:
        assert self.installation is not None
        registration.reap(self.installation, self.plan)
        known = {str(cgroup) for cgroup, _ in registration.targets(self.installation)}
        with contextlib.suppress(FileNotFoundError):
            for ring in (self._home / "rings").iterdir():
                if ring.name not in known:
                    ring.unlink()

    def take_over(self, cgroup: int) -> int | None:
        """Open the ring that an earlier agent of this pod left: there may be records in it. Under the lock."""
        try:
            return bpfsys.pinned(self._home / "rings" / f"{cgroup}")
        except OSError:
            return None

    def own(self, registered: Registration) -> None:
        """Remember what `close` has to undo."""
        self._registration = registered

    def keep(self, cgroup: int) -> None:
        """Give this agent's ring its name. Under the lock."""
        assert self._registration is not None
        self._ring_name = self._home / "rings" / f"{cgroup}"
        self._ring_name.parent.mkdir(mode=0o700, exist_ok=True)
        self._ring_name.unlink(missing_ok=True)
        bpfsys.pin(self._ring_name, self._registration.ring)

    def close(self) -> None:
        """Stop tracing this pod. The last one removes everything."""
        if self.installation is None:
            return
        try:
            with self.locked(_GOODBYE):
                if self._registration is not None:
                    self._registration.close()
                # Not what others have made there since ours was removed.
                if self._is_ours():
                    self._reap()
                    if not any(registration.targets(self.installation)):
                        _remove(self._home)
                else:
                    # Locking made it, if it was gone.
                    with contextlib.suppress(OSError):
                        self._home.rmdir()
        except (OSError, kernel.KernelError) as error:
            LOG.warning("cannot leave the node's programs in order: %s", error)
        finally:
            self.installation.close()
            self.installation = None

    def _is_ours(self) -> bool:
        assert self.installation is not None
        try:
            there = bpfsys.pinned(self._home / "maps/targets")
        except OSError:
            return False
        try:
            return bpfsys.map_id(there) == bpfsys.map_id(self.installation.maps["targets"])
        finally:
            os.close(there)

    def _find(self) -> Installation | None:
        manifest = _manifest(self._home)
        if manifest is None:
            return None
        found = Installation(self.plan.attach, {}, {}, lacking=[str(one) for one in manifest.get("lacking", [])])
        try:
            for folder, names, into in (
                ("maps", manifest.get("maps", []), found.maps),
                ("programs", manifest.get("programs", []), found.programs),
            ):
                for name in names:
                    into[name] = bpfsys.pinned(self._home / folder / name)
        except OSError as error:
            found.close()
            raise kernel.KernelError(f"cannot open what is pinned in {self._home}: {error.strerror}") from error
        LOG.info("using the programs that are loaded on this node: %s", self._home)
        return found

    def _make(self, scratch: Path | None) -> Installation:
        # Of its ring only the type is used: each agent makes its own.
        made = install(replace(self.plan, ring_pages=1), scratch, lasting=True)
        try:
            for folder, pairs in (
                ("maps", made.maps.items()),
                ("programs", made.programs.items()),
                ("links", [(f"{index}", link) for index, link in enumerate(made.links)]),
            ):
                (self._home / folder).mkdir(mode=0o700)
                for name, descriptor in pairs:
                    bpfsys.pin(self._home / folder / name, descriptor)
            for link in made.links:
                os.close(link)
            made.links.clear()
            self._tell(made)
        except OSError as error:
            made.close()
            _empty(self._home)
            raise kernel.KernelError(f"cannot pin the programs in {self._home}: {error.strerror}") from error
        LOG.info("loaded the programs for all agents of this node: %s", self._home)
        return made

    def _tell(self, made: Installation) -> None:
        words = {
            "version": version(),
            "format": wire.FORMAT,
            "lacking": made.lacking,
            "maps": list(made.maps),
            "programs": list(made.programs),
        }
        value = ctypes.create_string_buffer(json.dumps(words).encode(), _MANIFEST_SIZE)
        manifest = bpfsys.map_create(bpfsys.MAP_ARRAY, "snoop_manifest", 4, _MANIFEST_SIZE, 1)
        try:
            bpfsys.map_update(manifest, ctypes.c_uint32(0), value)
            bpfsys.pin(self._home / "manifest", manifest)
        finally:
            os.close(manifest)


def _hash(plan: Plan) -> str:
    """Name what makes two installations interchangeable: the program's text, how it is configured, its tables."""
    # Not what decides only whether it is made, or how large this agent's own maps are.
    wanted = {key: value for key, value in asdict(plan).items() if key not in ("strict", "ring_pages")}
    text = json.dumps([_LAYOUT, version(), wire.FORMAT, wanted, rows(plan)], sort_keys=True) + sources.source()
    return sources.checksum(text)


def _manifest(home: Path) -> dict[str, list[str]] | None:
    """Read what an installation says of itself. None if there is none; KernelError if it cannot be read."""
    value = ctypes.create_string_buffer(_MANIFEST_SIZE)
    try:
        descriptor = bpfsys.pinned(home / "manifest")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise kernel.KernelError(f"cannot open {home}/manifest: {error.strerror}") from error
    try:
        bpfsys.map_lookup(descriptor, ctypes.c_uint32(0), value)
        found = json.loads(value.value)
    except (OSError, ValueError) as error:
        raise kernel.KernelError(f"cannot read {home}/manifest: {error}") from error
    finally:
        os.close(descriptor)
    if not isinstance(found, dict):
        raise kernel.KernelError(f"{home}/manifest is not an agent's")
    return found


def _reap_others(base: Path, home: Path) -> None:
    """Remove what agents of other versions left: whole, if nobody is traced by it; and what was never finished."""
    for other in base.iterdir():
        if other == home or _NAME.fullmatch(other.name) is None or other.is_symlink() or not other.is_dir():
            continue
        try:
            handle = os.open(other, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            continue
        try:
            # Whoever is at work in it will see to it.
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(handle, other) and not _in_use(other):
                LOG.info("removing programs that trace nothing any more: %s", other)
                _remove(other)
        except OSError as error:
            if error.errno != errno.EWOULDBLOCK:
                LOG.warning("cannot remove %s: %s", other, error.strerror)
        finally:
            os.close(handle)


def _in_use(home: Path) -> bool:
    """Whether a cgroup is traced, or may be. All versions have a map `targets`, whose keys are cgroup IDs."""
    try:
        targets = bpfsys.pinned(home / "maps/targets")
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        return any(True for _ in bpfsys.map_keys(targets))
    finally:
        os.close(targets)


def _lock(handle: int, until: float) -> bool:
    """Lock a directory; False if others hold it until then."""
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(0.02)
        else:
            return True


def _remove(home: Path) -> None:
    _empty(home)
    with contextlib.suppress(FileNotFoundError):
        home.rmdir()


def _empty(home: Path) -> None:
    """Remove what is pinned in a directory: first what says that it is whole, then what makes it work."""
    (home / "manifest").unlink(missing_ok=True)
    for folder in ("links", "rings", "programs", "maps"):
        shutil.rmtree(home / folder, ignore_errors=True)


def _identity(handle: int) -> tuple[int, int]:
    here = os.fstat(handle)
    return here.st_dev, here.st_ino


def _is_at(handle: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return _identity(handle) == (there.st_dev, there.st_ino)


def _magic(directory: Path) -> int:
    """Tell the type of the file system that `directory`, or the nearest directory above it, is in."""

    class StatFs(ctypes.Structure):
        _fields_ = (("f_type", ctypes.c_long), ("rest", ctypes.c_uint8 * 248))

    while not directory.exists() and directory != directory.parent:
        directory = directory.parent
    found = StatFs()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.statfs(os.fsencode(directory), ctypes.byref(found)):
        return 0
    return int(found.f_type)
