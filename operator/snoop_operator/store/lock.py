"""One process per store file: an advisory lock beside it, which the kernel releases even after kill -9."""

import fcntl
import os
import time
from pathlib import Path

from snoop_operator.store.interface import StoreError, StoreInUseError

_PAUSE = 0.1


class FileLock:
    """Holds `<file>.lock` from construction to `release`. Blocks up to `wait` seconds for another holder to go."""

    def __init__(self, file: Path, wait: float) -> None:
        place = file.with_name(file.name + ".lock")
        try:
            self._descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"cannot open {place}: {error.strerror}") from error
        deadline = time.monotonic() + wait
        while not self._try():
            if time.monotonic() >= deadline:
                holder = os.pread(self._descriptor, 200, 0).decode(errors="replace").strip()
                os.close(self._descriptor)
                raise StoreInUseError(
                    f"{file} is in use by another process ({holder or 'unknown'}): two must not write one store; "
                    "stop the other, or give this one a data directory of its own"
                )
            time.sleep(_PAUSE)
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.uname().nodename}, process {os.getpid()}\n".encode(), 0)

    def _try(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Let others have the store. The file stays: removing it would let two processes lock two files."""
        os.close(self._descriptor)
