"""One installation per node: pinned in a bpffs, found there by the next agents, removed by the last one.

    DIR/<way>-<hash>/           what compiles and behaves alike; agents of another version have another hash
        maps/ programs/ links/  the installation
        rings/<cgroup ID>       the ring of each traced pod: its agent, started again, reads what is left in it
        manifest                a map that holds a line of JSON; pinned last, so that half an installation is none

Who holds the lock of such a directory (flock(2)) may change it; it dies with its holder. A pod is traced as long as its
cgroup lives, whatever becomes of its agent: the kernel side drops the row of a cgroup that is gone.

Whoever can open DIR can read the names of files that every pod traced on this node uses.
"""

import binascii
import contextlib
import ctypes
import errno
import fcntl
import json
import logging
import os
import shutil
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
_TRIES = 100
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

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock; whoever removed the directory meanwhile is followed to the new one."""
        for _ in range(_TRIES):
            try:
                self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
                handle = os.open(self._home, os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise kernel.KernelError(f"cannot use {self._home}: {error.strerror}") from error
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                if _is_at(handle, self._home):
                    yield
                    return
            finally:
                os.close(handle)
        raise kernel.KernelError(f"cannot lock {self._home}")

    def open(self, scratch: Path | None) -> Installation:
        """Find the installation, or make it. Under the lock."""
        _reap_others(self._base, self._home)
        found = self._find()
        if found is None:
            _empty(self._home)
            found = self._make(scratch)
        registration.reap(found, self.plan)
        self.installation = found
        return found

    def take_over(self, cgroup: int) -> int | None:
        """Open the ring that an earlier agent of this pod left: there may be records in it. Under the lock."""
        try:
            return bpfsys.pinned(self._home / "rings" / f"{cgroup}")
        except OSError:
            return None

    def keep(self, registered: Registration, cgroup: int) -> None:
        """Give this agent's ring its name. Under the lock."""
        self._registration = registered
        self._ring_name = self._home / "rings" / f"{cgroup}"
        self._ring_name.parent.mkdir(exist_ok=True)
        self._ring_name.unlink(missing_ok=True)
        bpfsys.pin(self._ring_name, registered.ring)

    def close(self) -> None:
        """Stop tracing this pod. The last one removes everything."""
        if self.installation is None:
            return
        try:
            with self.locked():
                if self._registration is not None:
                    self._registration.close()
                if self._ring_name is not None:
                    self._ring_name.unlink(missing_ok=True)
                last = not any(registration.targets(self.installation))
                if last:
                    _remove(self._home)
                else:
                    registration.reap(self.installation, self.plan)
        except (OSError, kernel.KernelError) as error:
            LOG.warning("cannot leave the node's programs in order: %s", error)
        finally:
            self.installation.close()
            self.installation = None

    def _find(self) -> Installation | None:
        manifest = _manifest(self._home)
        if manifest is None:
            return None
        found = Installation(self.plan.attach, {}, {}, lacking=[str(one) for one in manifest["lacking"]])
        try:
            for folder, names, into in (
                ("maps", manifest["maps"], found.maps),
                ("programs", manifest["programs"], found.programs),
            ):
                for name in names:
                    into[name] = bpfsys.pinned(self._home / folder / name)
        except OSError as error:
            LOG.warning("the node's programs in %s are broken (%s); they are made anew", self._home, error.strerror)
            found.close()
            return None
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
    text = json.dumps([version(), wire.FORMAT, wanted, rows(plan)], sort_keys=True) + sources.source()
    data = text.encode()
    # Two checksums, for nobody here wants to deceive: hashlib would bring libcrypto's megabytes.
    return f"{binascii.crc32(data):08x}{binascii.crc32(data[::-1]):08x}"


def _manifest(home: Path) -> dict[str, list[str]] | None:
    value = ctypes.create_string_buffer(_MANIFEST_SIZE)
    try:
        descriptor = bpfsys.pinned(home / "manifest")
    except OSError:
        return None
    try:
        bpfsys.map_lookup(descriptor, ctypes.c_uint32(0), value)
        found = json.loads(value.value)
    except (OSError, ValueError):
        return None
    finally:
        os.close(descriptor)
    return found if isinstance(found, dict) else None


def _reap_others(base: Path, home: Path) -> None:
    """Remove what agents of other versions left: whole, if nobody is traced by it; and what was never finished."""
    for other in base.iterdir():
        if other == home or not other.is_dir():
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
    """Whether a cgroup is traced. All versions have a map `targets`, whose keys are cgroup IDs."""
    if _manifest(home) is None:
        return False
    try:
        targets = bpfsys.pinned(home / "maps/targets")
    except OSError:
        return False
    try:
        return any(True for _ in bpfsys.map_keys(targets))
    finally:
        os.close(targets)


def _remove(home: Path) -> None:
    _empty(home)
    with contextlib.suppress(FileNotFoundError):
        home.rmdir()


def _empty(home: Path) -> None:
    """Remove what is pinned in a directory: first what says that it is whole, then what makes it work."""
    (home / "manifest").unlink(missing_ok=True)
    for folder in ("links", "rings", "programs", "maps"):
        shutil.rmtree(home / folder, ignore_errors=True)


def _is_at(handle: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(handle)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


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
