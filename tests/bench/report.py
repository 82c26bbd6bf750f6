"""The agent's report file, as far as the harness asks: what is in it, and what it says it lacks."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.trouble import BenchError


@dataclass(slots=True)
class Report:
    """One report."""

    paths: set[str] = field(default_factory=set)
    """Of all containers, as they are written (escaped where they are no text)."""
    events: int = 0
    lost: int = 0
    """Records that found no room: each was tried again on the next touch."""
    gaps: dict[str, str] = field(default_factory=dict)
    """By code: what is said."""

    @classmethod
    def read(cls, path: Path) -> "Report":
        """BenchError if there is none."""
        try:
            told: dict[str, Any] = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise BenchError(f"no report: {error}") from error
        found = cls(events=told["total_events"], lost=told["dropped_events"])
        for owner in (told, *told["containers"]):
            found.gaps |= {gap["code"]: gap.get("message", "") for gap in owner.get("gaps", ())}
        for container in told["containers"]:
            found.paths |= {seen["path"] for seen in container.get("observations", ())}
        return found

    def below(self, directory: Path) -> int:
        """How many files of the load are in it."""
        start = f"{directory}/d"
        return sum(path.startswith(start) for path in self.paths)
