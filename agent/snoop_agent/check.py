"""`snoop-agent check`: does this image run, and what could it do on this machine? For the operator's proof pod."""

import importlib
import platform
import sys
from pathlib import Path

from snoop_agent import kernel, objects
from snoop_agent.compiler import names
from snoop_report.version import version

_CAPABILITIES = {"SYS_ADMIN": 21, "PERFMON": 38, "BPF": 39}  # include/uapi/linux/capability.h


def run() -> int:
    """Print a line for each finding. 0 if the image works, whatever the machine lacks; 1 if the image is broken."""
    sys.stdout.write(f"snoop-agent {version()}\n")
    sys.stdout.write(f"kernel {kernel.release()} {platform.machine()}\n")
    sys.stdout.write(f"BTF: {'yes' if kernel.BTF_PATH.exists() else 'no, so this machine cannot be traced'}\n")
    sys.stdout.write(f"capabilities: {' '.join(held_capabilities(_status())) or 'none of those that tracing needs'}\n")
    lacking = [name for name in names() if objects.read(name) is None]
    if not lacking:
        sys.stdout.write("programs: compiled\n")
        return 0
    try:
        importlib.import_module("bcc")
    except Exception as error:
        sys.stdout.write(f"programs: {lacking[0]} is not there, nor BCC ({error}), so this image is broken\n")
        return 1
    sys.stdout.write("programs: to be compiled by BCC\n")
    return 0


def held_capabilities(status: str) -> list[str]:
    """Name the capabilities that matter among those in the text of /proc/self/status."""
    for line in status.splitlines():
        if line.startswith("CapEff:"):
            held = int(line.split()[1], 16)
            return [name for name, bit in _CAPABILITIES.items() if held >> bit & 1]
    return []


def _status() -> str:
    try:
        return Path("/proc/self/status").read_text()
    except OSError:
        return ""
