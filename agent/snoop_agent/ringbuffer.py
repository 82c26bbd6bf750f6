"""Reads a BPF ring buffer: the pages that the kernel writes are mapped, and read here.

Layout (kernel/bpf/ringbuf.c): a page with the consumer's position, one with the producer's, then the data. Each record
has a head of 8 bytes: its length, of which the two highest bits say that it is being written, or was given up.
Positions and lengths are whole words, written in the kernel with release semantics.
"""

import ctypes
import mmap
import os
import platform
import struct

_BUSY, _DISCARDED = 1 << 31, 1 << 30
_HEAD = struct.Struct("=II")
_POSITION = struct.Struct("=Q")


_libc = ctypes.CDLL(None)
_POLLIN = 1


class _PollFd(ctypes.Structure):
    """struct pollfd (poll(2))."""

    _fields_ = (("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short))


class RingBuffer:
    """Gives records as bytes, oldest first.

    libbpf maps the data twice, so that a record never wraps; that would count it twice in this process's memory, and
    bring libbcc's libraries. A record that wraps is put together here.
    """

    def __init__(self, map_fd: int, size: int, batch: int = 4096) -> None:
        """`size`: bytes of data, a power of two. OSError if it cannot be mapped."""
        if platform.machine() not in ("x86_64", "aarch64"):
            raise OSError(0, f"no ring buffer reader for {platform.machine()}")
        self._size = size
        self._batch = batch
        self._wanted = _PollFd(map_fd, _POLLIN)
        page = mmap.PAGESIZE
        self._consumer = mmap.mmap(map_fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._position = ctypes.c_uint64.from_buffer(self._consumer)
        self._pages = mmap.mmap(map_fd, page + size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        self._data = memoryview(self._pages)[page:]

    def poll(self, timeout_s: float) -> list[bytes]:
        """Wait up to `timeout_s` seconds for records; return `batch` of them at most."""
        found = self._read()
        if not found and timeout_s > 0:
            # By libc: Python's own would go on waiting after a signal, and SIGTERM must not be kept waiting.
            _libc.poll(ctypes.byref(self._wanted), 1, max(1, int(timeout_s * 1000)))
            found = self._read()
        return found

    def _read(self) -> list[bytes]:
        found: list[bytes] = []
        data, mask = self._data, self._size - 1
        at = self._position.value
        while len(found) < self._batch:
            _barrier()
            if at == _POSITION.unpack_from(self._pages)[0]:
                break
            (length, _) = _HEAD.unpack_from(data, at & mask)
            if length & _BUSY:
                break
            _barrier()
            start, size = at + _HEAD.size & mask, length & ~_DISCARDED
            if not length & _DISCARDED:
                end = start + size
                first = bytes(data[start : min(end, self._size)])
                found.append(first + bytes(data[: end - self._size]) if end > self._size else first)
            at += _HEAD.size + size + 7 & ~7
            # Only now is its place free.
            self._position.value = at
        return found

    def close(self) -> None:
        """Unmap the ring."""
        self._data.release()
        self._pages.close()
        del self._position
        self._consumer.close()


if platform.machine() == "x86_64":

    def _barrier() -> None:
        """Do nothing: this architecture loads in order."""

else:

    def _barrier() -> None:
        """Have what comes next read after what was read before: the run queue's lock in the kernel orders both."""
        os.sched_yield()
