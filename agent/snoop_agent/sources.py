"""The kernel side's text."""

import binascii
import re
from pathlib import Path

import snoop_bpf


def source(name: str = "snoop.bpf.c") -> str:
    """Put the kernel side together, or one of its files: BCC takes for programs only what stands in its main file."""
    # Not importlib.resources: it brings two megabytes of modules into the resident agent.
    text = Path(snoop_bpf.__path__[0], name).read_text()
    return re.sub(r'(?m)^#include "([^"]+)"$', lambda match: source(match.group(1)), text)


def checksum(text: str) -> str:
    """Name a text. Two checksums, for nobody here wants to deceive: hashlib would bring libcrypto's megabytes."""
    data = text.encode()
    return f"{binascii.crc32(data):08x}{binascii.crc32(data[::-1]):08x}"
