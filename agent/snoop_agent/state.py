"""What one run of the agent leaves for the next one, in the data directory: it outlives the container, not the pod.

So a run knows that there was an earlier one (its containers went on unwatched), and that earlier ones died while they
prepared the programs: then it does not try again, or it would die for ever.
"""

import json
import secrets
from dataclasses import dataclass, replace
from pathlib import Path

from snoop_agent import spool

DEATHS_ALLOWED = 2
"""After so many runs in a row that did not survive their preparation, tracing is not tried again."""


@dataclass(frozen=True, slots=True)
class State:
    """One run."""

    run: int
    """1, 2, 3 … in this pod."""
    boot: str
    """Names the run to the operator; random."""
    unsure: bool = False
    """Nothing can be read or kept: earlier runs are not known, if there were any."""
    deaths: int = 0
    """Runs up to this one that began to prepare and have not been heard to finish."""

    @property
    def restarted(self) -> bool:
        """Whether an earlier run was there."""
        return self.run > 1

    @property
    def hopeless(self) -> bool:
        """Whether preparing has killed the agent so often that it should be left."""
        return self.deaths >= DEATHS_ALLOWED


def begin(directory: Path) -> State:
    """Begin a run: read what the last one left and leave a mark. SpoolError if no mark can be left."""
    earlier = _read(directory / "agent.json")
    state = State(earlier.run + 1, secrets.token_hex(8), deaths=earlier.deaths)
    keep(directory, state)
    return state


def unknown() -> State:
    """Give the state of a run that can neither know of earlier ones nor leave a mark."""
    return State(1, secrets.token_hex(8), unsure=True)


def keep(directory: Path, state: State) -> None:
    """Leave `state` for the next run. SpoolError if that fails."""
    text = json.dumps({"run": state.run, "boot": state.boot, "deaths": state.deaths})
    spool.write(directory / "agent.json", [text.encode()])


def preparing(state: State) -> State:
    """Give the state in which a death counts."""
    return replace(state, deaths=state.deaths + 1)


def prepared(state: State) -> State:
    """Give the state after preparing has ended, well or not: the agent has survived it."""
    return replace(state, deaths=0)


def _read(path: Path) -> State:
    """Read the last run's mark. One that cannot be read still tells that there was a run."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return State(0, "")
    except (OSError, UnicodeDecodeError):
        return State(1, "")
    try:
        found = json.loads(text)
        return State(int(found["run"]), str(found["boot"]), deaths=int(found["deaths"]))
    except (ValueError, TypeError, KeyError):
        return State(1, "")
