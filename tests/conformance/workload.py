"""What is run: workloads declared in workloads/*.toml."""

import shutil
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
_KEYS = {"name", "about", "core", "needs", "programs", "setup", "run", "expect", "exclude", "gaps", "blind", "timeout"}


class WorkloadError(ValueError):
    """A declaration makes no sense; the message says where."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One command with what it takes. Both scripts are sh's, run with -eu in a directory of their own."""

    name: str
    about: str
    run: str
    setup: str = ""
    """Runs before, untraced."""
    core: bool = False
    """Part of the short run."""
    needs: tuple[str, ...] = ()
    """Programs: names on PATH, or paths, of which the first that matches a pattern is taken."""
    programs: tuple[str, ...] = ()
    """Those of programs/ that it runs, without `.c`; found in $PROGRAMS."""
    expect: tuple[str, ...] = ()
    """What no witness sees: `exists PATH`, `missing PATH`, or `may PATH`, perhaps only with one of the hook sets
    (`vfs: exists PATH`); $HERE is the working directory."""
    exclude: tuple[str, ...] = ()
    """Prefixes that the report is told to leave out; none by default, not even /proc/."""
    gaps: tuple[str, ...] = ()
    """Codes of the gaps that the report has to tell. Any other one is invented."""
    blind: dict[str, str] = field(default_factory=dict)
    """Ways to attach that cannot see it (docs/capture.md), each with the gap that they tell instead, or nothing."""
    timeout: float = 120.0

    def lacking(self, path: str, built: Path) -> list[str]:
        """What this machine lacks to run it."""
        missing = [need for need in self.needs if not _there(need, path)]
        return missing + [one for one in self.programs if not (built / one).exists()]


def _there(need: str, path: str) -> bool:
    if need.startswith("/"):
        return any(Path("/").glob(need[1:]))
    return shutil.which(need, path=path) is not None


def load(folder: Path = HERE / "workloads") -> list[Workload]:
    """Read all declarations, in the order of their files' names."""
    found: list[Workload] = []
    for file in sorted(folder.glob("*.toml")):
        try:
            tables = tomllib.loads(file.read_text())["workload"]
        except (tomllib.TOMLDecodeError, KeyError) as error:
            raise WorkloadError(f"{file.name}: {error}") from error
        for table in tables:
            unknown = set(table) - _KEYS
            if unknown or not {"name", "about", "run"} <= set(table):
                wrong = f"unknown: {', '.join(sorted(unknown))}" if unknown else "name, about and run are needed"
                raise WorkloadError(f"{file.name}: {table.get('name', '(no name)')}: {wrong}")
            lists = {
                key: tuple(table[key]) for key in ("needs", "programs", "expect", "exclude", "gaps") if key in table
            }
            found.append(Workload(**{**table, **lists}))
    names = [one.name for one in found]
    for name in names:
        if names.count(name) > 1:
            raise WorkloadError(f"two workloads are called {name}")
    return found
