"""Reads a BPF ring buffer, through libbcc_bpf (450 kB, no LLVM)."""

import ctypes
import errno
import os


class RingBuffer:
    """Reads a BPF ring buffer: `poll` gives the records as bytes, oldest first."""

    _CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)

    def __init__(self, map_fd: int, batch: int = 4096) -> None:
        try:
            self._library = ctypes.CDLL("libbcc_bpf.so.0", use_errno=True)
        except OSError as error:
            raise OSError(errno.ENOENT, "libbcc_bpf.so.0 is not installed: apt-get install python3-bpfcc") from error
        library = self._library
        library.bpf_new_ringbuf.restype = ctypes.c_void_p
        library.bpf_new_ringbuf.argtypes = [ctypes.c_int, self._CALLBACK, ctypes.c_void_p]
        library.bpf_poll_ringbuf.argtypes = [ctypes.c_void_p, ctypes.c_int]
        library.bpf_consume_ringbuf.argtypes = [ctypes.c_void_p]
        library.bpf_free_ringbuf.argtypes = [ctypes.c_void_p]
        library.bpf_free_ringbuf.restype = None
        self._records: list[bytes] = []
        self._batch = batch
        self._callback = self._CALLBACK(self._take)
        self._ring = library.bpf_new_ringbuf(map_fd, self._callback, None)
        if not self._ring:
            number = ctypes.get_errno()
            raise OSError(number, f"cannot map the ring buffer: {os.strerror(number)}")

    def _take(self, _context: int, data: int, size: int) -> int:
        self._records.append(ctypes.string_at(data, size))
        # A negative answer ends the round after this record; libbpf has already moved past it.
        return -errno.EAGAIN if len(self._records) >= self._batch else 0

    def poll(self, timeout_s: float) -> list[bytes]:
        """Wait up to `timeout_s` seconds for records; return about `batch` of them at most."""
        result = self._library.bpf_consume_ringbuf(self._ring)
        if not self._records and timeout_s > 0:
            result = self._library.bpf_poll_ringbuf(self._ring, int(timeout_s * 1000))
        if result < 0 and result not in (-errno.EAGAIN, -errno.EINTR):
            raise OSError(-result, os.strerror(-result))
        taken, self._records = self._records, []
        return taken

    def close(self) -> None:
        """Unmap the ring."""
        if self._ring:
            self._library.bpf_free_ringbuf(self._ring)
            self._ring = None
