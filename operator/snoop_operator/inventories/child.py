"""Runs `work` in a process of its own: off the event loop, bounded in time and memory, ended with us."""

import asyncio
import contextlib
import json
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

_WORK = "snoop_operator.inventories.work"
_ANSWER = 32 << 20
"""Bytes of an answer: it passes through the operator's own memory. An image of 200,000 files takes some 8 MB."""
_KINDS = {3: "InventoryFailed", 4: "OutOfMemory", 5: "Damaged"}


class WorkError(Exception):
    """The child could not do it; the message is one sentence."""

    def __init__(self, message: str, reason: str = "InventoryFailed") -> None:
        super().__init__(message)
        self.reason = reason
        """One CamelCase word."""


class Child:
    """Starts one child after the other."""

    def __init__(self, temporary: Path, memory: int) -> None:
        self._temporary = temporary
        self._memory = memory

    async def run(self, task: Mapping[str, Any], seconds: float) -> bytes:
        """Do one thing; WorkError if it fails, or takes longer than `seconds`."""
        self._temporary.mkdir(parents=True, exist_ok=True)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", _WORK),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # What goes wrong there is told in our log.
            stderr=None,
            env={**os.environ, "TMPDIR": str(self._temporary)},
        )
        try:
            line = json.dumps({**task, "memory": self._memory}).encode() + b"\n"
            async with asyncio.timeout(seconds):
                answer = await _talk(process, line)
                status = await process.wait()
        except TimeoutError as error:
            raise WorkError(f"it took longer than {seconds:.0f} s", "TookTooLong") from error
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if status == 0:
            return answer
        if status in (-9, 4):
            words = f"it takes more than {self._memory >> 20} MiB of memory (inventory.memory)"
            raise WorkError(words, "OutOfMemory")
        words = answer.decode("utf-8", "replace").strip() if status in _KINDS else ""
        raise WorkError(
            words or f"the process ended with {status}; see the operator's log", _KINDS.get(status, "Failed")
        )


async def _talk(process: asyncio.subprocess.Process, line: bytes) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    # One that has died already is told by its status.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(line)
        await process.stdin.drain()
        process.stdin.close()
    answer = bytearray()
    while data := await process.stdout.read(1 << 20):
        answer += data
        if len(answer) > _ANSWER:
            raise WorkError(f"the inventory takes more than {_ANSWER >> 20} MiB", "TooBig")
    return bytes(answer)
