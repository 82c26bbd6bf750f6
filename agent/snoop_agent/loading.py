"""Has the kernel side loaded, by a child (`loader`): the memory that the kernel's types and LLVM take goes with it."""

import array
import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from snoop_agent import kernel
from snoop_agent.plan import Plan


@dataclass(slots=True)
class Loaded:
    """Descriptors by name, owned by whoever holds this."""

    maps: dict[str, int]
    programs: dict[str, int]
    tracepoints: dict[str, int]
    """Of the syscalls category, by name: the number that perf_event_open(2) wants."""
    lacking: list[str]
    """Functions that the hook set wants and this kernel does not have."""
    uring: str
    """The tracepoint that tells io_uring's requests; empty if there is none to be read."""
    compiled: bool
    """It had to be compiled first."""

    def close(self) -> None:
        """Give every descriptor back."""
        for descriptor in (*self.maps.values(), *self.programs.values()):
            os.close(descriptor)
        self.maps.clear()
        self.programs.clear()


def load_programs(plan: Plan, scratch: Path | None = None, timeout_s: float = 300.0) -> Loaded:
    """Run the child and take over what it loaded. `scratch`: a writable directory. KernelError says what went wrong."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        command = [sys.executable, "-m", "snoop_agent.loader", str(theirs.fileno()), json.dumps(asdict(plan))]
        environment = dict(os.environ)
        if scratch is not None:
            environment["TMPDIR"] = str(scratch)
        child = subprocess.Popen(
            command,
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
            errors="replace",
        )
        theirs.close()
        try:
            _, words = child.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            child.kill()
            child.communicate()
            raise kernel.KernelError(f"loading the kernel side took longer than {timeout_s:.0f} s") from error
        answer, descriptors = _receive(ours)
    if answer is None:
        raise kernel.KernelError(f"loading the kernel side failed: {_last_line(words, child.returncode)}")
    if "error" in answer:
        raise kernel.KernelError(str(answer["error"]))
    maps, labels = answer["maps"], answer["programs"]
    if len(descriptors) != len(maps) + len(labels):
        for descriptor in descriptors:
            os.close(descriptor)
        raise kernel.KernelError("descriptors were lost on the way from the loader: too many open files?")
    return Loaded(
        dict(zip(maps, descriptors, strict=False)),
        dict(zip(labels, descriptors[len(maps) :], strict=True)),
        {str(name): int(number) for name, number in answer["tracepoints"].items()},
        [str(name) for name in answer["lacking"]],
        str(answer["uring"]),
        bool(answer["compiled"]),
    )


def _receive(ours: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    descriptors = array.array("i")
    message, ancillary, _, _ = ours.recvmsg(1 << 17, socket.CMSG_SPACE(250 * descriptors.itemsize))
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return (json.loads(message) if message else None), list(descriptors)


def _last_line(words: str, status: int) -> str:
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    if status == -9:
        return "the loader was killed (out of memory?)"
    return (errors or lines or [f"the loader ended with status {status}"])[-1]
