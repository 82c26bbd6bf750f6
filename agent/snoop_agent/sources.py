"""The kernel side's text."""

import re
from pathlib import Path

import snoop_bpf


def source() -> str:
    """Put the kernel side together: BCC rewrites only what stands in its main file."""
    # Not importlib.resources: it brings two megabytes of modules into the resident agent.
    folder = Path(snoop_bpf.__path__[0])

    def expand(name: str) -> str:
        text = (folder / name).read_text()
        return re.sub(r'(?m)^#include "([^"]+)"$', lambda match: expand(match.group(1)), text)

    return expand("snoop.bpf.c")
