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
from collections import deque

_BUSY, _DISCARDED = 1 << 31, 1 << 30
_HEAD = 8
_LENGTH = struct.Struct("=I")
AHEAD = 24 << 20
"""Bytes that are copied out of a ring before they are looked at, at most."""
_POSITION = struct.Struct("=Q")


_libc = ctypes.CDLL(None)
_POLLIN = 1


class _PollFd(ctypes.Structure):
    """struct pollfd (poll(2))."""

    _fields_ = (("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short))


class RingBuffer:
    """Gives records as bytes, oldest first.

    What the ring holds is copied out at once, up to `ahead` bytes, and looked at afterwards: copying 8 MiB takes some
    10 ms, where callers need a second for the 40,000 records in it; meanwhile the kernel has its room back.

    libbpf maps the data twice, so that a record never wraps; that would count it twice in this process's memory, and
    bring libbcc's libraries. What wraps is put together here.
    """

    def __init__(self, map_fd: int, size: int, batch: int = 1024, ahead: int = AHEAD) -> None:
        """`size`: bytes of data, a power of two. OSError if it cannot be mapped."""
        if platform.machine() not in ("x86_64", "aarch64"):
            raise OSError(0, f"no ring buffer reader for {platform.machine()}")
        self._size = size
        self._batch = batch
        self._ahead = ahead
        self._wanted = _PollFd(map_fd, _POLLIN)
        page = mmap.PAGESIZE
        self._consumer = mmap.mmap(map_fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._position = ctypes.c_uint64.from_buffer(self._consumer)
        self._pages = mmap.mmap(map_fd, page + size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        self._data = memoryview(self._pages)[page:]
        self._copies: deque[mmap.mmap] = deque()
        self._copied = 0
        self._next = 0
        """Where the first copy's next record begins."""

    def poll(self, timeout_s: float) -> list[bytes]:
        """Wait up to `timeout_s` seconds for records; return `batch` of them at most, none only if there are none."""
        self._copy()
        if not self._copies and timeout_s > 0:
            # By libc: Python's own would go on waiting after a signal, and SIGTERM must not be kept waiting.
            _libc.poll(ctypes.byref(self._wanted), 1, max(1, int(timeout_s * 1000)))
            self._copy()
        return self._records()

    def _copy(self) -> None:
        """Move what is complete out of the ring, as far as there is room for it here."""
        data, mask, length_at = self._data, self._size - 1, _LENGTH.unpack_from
        begin = end = self._position.value
        _barrier()
        written = _POSITION.unpack_from(self._pages)[0]
        last = min(written, begin + self._ahead - self._copied)
        _barrier()
        while end < last:
            (length,) = length_at(data, end & mask)
            if length & _BUSY:
                break
            end += _HEAD + (length & ~_DISCARDED) + 7 & ~7
        if end == begin:
            return
        _barrier()
        start, size = begin & mask, end - begin
        # Pages of its own, not malloc's: what is given back is then the system's again.
        copy = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        copy.write(data[start : start + size])
        copy.write(data[: max(0, start + size - self._size)])
        _barrier()
        # Only now is its place free.
        self._position.value = end
        self._copies.append(copy)
        self._copied += size

    def _records(self) -> list[bytes]:
        found: list[bytes] = []
        while self._copies and len(found) < self._batch:
            copy, at = self._copies[0], self._next
            while at < len(copy) and len(found) < self._batch:
                (length,) = _LENGTH.unpack_from(copy, at)
                begin = at + _HEAD
                if length & _DISCARDED:
                    length &= ~_DISCARDED
                else:
                    found.append(copy[begin : begin + length])
                at = begin + length + 7 & ~7
            self._next = at
            if at >= len(copy):
                self._copies.popleft()
                self._copied -= len(copy)
                self._next = 0
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
