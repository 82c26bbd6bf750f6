"""The agent's image, layer by layer, as scripts/images built it."""

import subprocess
import sys
from pathlib import Path

from tests.bench.session import Session
from tests.bench.table import Row

from snoop_report.version import version

NAME = "image"
ROOT = Path(__file__).resolve().parents[2]


def measure(session: Session) -> list[Row]:
    """Row 12."""
    image = f"localhost/snoop-agent:{version()}"
    for engine in ("docker", "buildah"):
        command = [sys.executable, str(ROOT / "scripts/image_sizes.py"), engine, image]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        except subprocess.CalledProcessError:
            continue
        sizes = [line.split(" MB ", 1) for line in done.stdout.splitlines()]
        rows = [Row(NAME, f"layer: {step.strip()[:80]}", engine, float(size), "MB") for size, step in sizes[:-1]]
        return [*rows, Row(NAME, "agent image", engine, float(sizes[-1][0]), "MB")]
    return [Row(NAME, "agent image", detail=f"{image} is not built: make images")]
