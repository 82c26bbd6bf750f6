"""What wakes the agent's loop: a signal, or another thread. Built on a pipe, which a signal handler may write to."""

import contextlib
import os
import select


class Alarm:
    """Wakes one waiting thread."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.stopping = False

    def ring(self) -> None:
        """Wake the loop."""
        with contextlib.suppress(BlockingIOError):  # it has been ringing long enough
            os.write(self._write, b"!")

    def stop(self, *_: object) -> None:
        """End the loop: also as a signal handler."""
        self.stopping = True
        self.ring()

    def wait(self, seconds: float) -> None:
        """Sleep until it rings, for so many seconds at most."""
        if not self.stopping and select.select([self._read], [], [], max(0.0, seconds))[0]:
            os.read(self._read, 4096)

    def close(self) -> None:
        """Free the descriptors."""
        os.close(self._read)
        os.close(self._write)
