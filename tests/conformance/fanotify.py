"""The second witness: every file that is opened on some file systems, by whom, resolved by the kernel (fanotify(7)).

It sees what no system call names: the opens of execve and of io_uring. It does not see opens with O_PATH.
"""

import ctypes
import os
import select
import struct
import threading
from collections.abc import Iterable
from dataclasses import dataclass

_CLASS_NOTIF, _CLOEXEC, _NONBLOCK, _UNLIMITED_QUEUE, _UNLIMITED_MARKS, _REPORT_TID = 0, 1, 2, 0x10, 0x20, 0x100
_MARK_ADD, _MARK_FILESYSTEM = 1, 0x100
_OPEN, _OPEN_EXEC, _ONDIR, _OVERFLOW = 0x20, 0x1000, 0x40000000, 0x4000
_AT_FDCWD = -100
_EVENT = struct.Struct("=IBBHQii")


@dataclass(frozen=True, slots=True)
class Opened:
    """A file was opened by a thread."""

    thread: int
    path: bytes
    executed: bool


class UnavailableError(Exception):
    """This kernel or this file system does not offer it."""


class Watch:
    """Collects what is opened on the file systems of some paths until `stop`."""

    def __init__(self, paths: Iterable[bytes]) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        flags = _CLASS_NOTIF | _CLOEXEC | _NONBLOCK | _UNLIMITED_QUEUE | _UNLIMITED_MARKS | _REPORT_TID
        # O_NONBLOCK: the kernel opens what it tells of, and a FIFO would wait for its other end.
        self._descriptor = libc.fanotify_init(flags, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOATIME)
        if self._descriptor < 0:
            raise UnavailableError(f"fanotify_init: {os.strerror(ctypes.get_errno())}")
        mask = ctypes.c_uint64(_OPEN | _OPEN_EXEC | _ONDIR)
        for path in paths:
            if libc.fanotify_mark(self._descriptor, _MARK_ADD | _MARK_FILESYSTEM, mask, _AT_FDCWD, path):
                os.close(self._descriptor)
                raise UnavailableError(f"fanotify_mark {path!r}: {os.strerror(ctypes.get_errno())}")
        self._seen: dict[Opened, None] = {}
        self._lost = False
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._read, name="fanotify", daemon=True)
        self._thread.start()

    def stop(self) -> list[Opened]:
        """End, and tell what was opened, in order, each once. OSError if the kernel dropped events."""
        self._done.set()
        self._thread.join()
        os.close(self._descriptor)
        if self._lost:
            raise OSError("fanotify: the kernel dropped events")
        return list(self._seen)

    def _read(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        while True:
            ending = self._done.is_set()
            if poll.poll(0 if ending else 50):
                try:
                    self._take(os.read(self._descriptor, 65536))
                except BlockingIOError:
                    continue
                except OSError:
                    # The kernel could not open what it wanted to tell of (ENXIO: a FIFO's or socket's other end).
                    continue
            elif ending:
                return

    def _take(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            length, _, _, _, mask, file, thread = _EVENT.unpack_from(data, at)
            at += length
            self._lost |= bool(mask & _OVERFLOW)
            if file < 0:
                continue
            try:
                path = os.readlink(b"/proc/self/fd/%d" % file)  # noqa: PTH115 - bytes
            finally:
                os.close(file)
            self._seen.setdefault(Opened(thread, path, bool(mask & _OPEN_EXEC)))
