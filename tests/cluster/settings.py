"""The settings file for Python: one source of addresses and names for shell and Python."""

from pathlib import Path


def load(path: Path) -> dict[str, str]:
    """Keys are as in the file. Lines that are empty or start with # are left out."""
    lines = (line.strip() for line in path.read_text().splitlines())
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
