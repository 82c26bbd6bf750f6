"""What the rows share: the node, how long and how often, and that nobody else traces."""

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.bench import machine
from tests.bench.containers import Load, entering, load_command
from tests.bench.pods import Node
from tests.bench.timing import Core, Timed
from tests.bench.trouble import DisturbedError, NotQuietError

_BUSY = 0.05
"""The share of all cores that may be busy before anything is measured."""
_LOOK_S = 2.0
"""How long the core's speed is looked at before anything is measured."""
WAYS = ("fexit", "tracepoint", "raw_tp")


@dataclass(slots=True)
class Session:
    """One run of the harness."""

    node: Node
    rounds: int
    quick: bool
    """Small numbers: whether it works, not how well."""
    ways: tuple[str, ...]
    sidecars: tuple[int, ...]
    patience_s: float
    """How long to wait for others' tracers to go."""
    anyway: bool
    """Then measure all the same, and say so."""
    seconds: float | None
    """How long to soak, or to open at full rate. None: as long as the row says."""
    cpu: int
    """The core that timed loads run on."""
    core: Core = field(default_factory=Core)
    """What is known of it."""
    notes: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    """Ways that do not load here, and why."""

    def quiet(self) -> None:
        """Make sure that nothing traces this machine. NotQuietError if something does, and does not end."""
        left = self.node.left_pinned()
        if left:
            self.notes.append(f"agents that had ended left {len(left)} pins behind: {', '.join(sorted(left)[:3])}…")
        found = machine.wait_until_quiet(self.patience_s, self.say)
        if not found:
            return
        if not self.anyway:
            raise NotQuietError(f"others trace this machine: {'; '.join(found)} (--anyway measures all the same)")
        note = "others traced this machine at the same time: overheads look smaller than they are"
        if note not in self.notes:
            self.notes.append(note)

    @contextlib.contextmanager
    def undisturbed(self) -> Iterator[None]:
        """DisturbedError if tracing programs come or go meanwhile."""
        before = machine.programs()
        yield
        if machine.programs() != before and not self.anyway:
            raise DisturbedError("others began or ended to trace this machine in each of the last rounds")

    def look_around(self) -> None:
        """Note it if others keep this machine busy; learn how fast the core is."""
        busy = machine.busy_share(1.0)
        if busy > _BUSY:
            self.notes.append(f"others kept {busy:.0%} of the machine busy when it began: the figures scatter")
        # How fast the core is alone is known before the first figure.
        self.timed(lambda: self.outside("getppid", c=self.cpu, s=_LOOK_S).ready())

    def say(self, words: str) -> None:
        """A line of progress."""
        print(f"  {words}", flush=True)

    def outside(self, mode: str, **options: float | str) -> Load:
        """Start a load that is in no pod."""
        command = load_command(mode, options, self.node.load)
        pipe = subprocess.PIPE
        return Load(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, preexec_fn=entering(None)))

    def timed(self, start: Callable[[], Load]) -> Timed:
        """What an operation of a timed load takes. `start`: makes it ready to go; it may be asked for more than one."""
        if self.quick:
            return self.core.timed(start, 1)._replace(alone=True)
        found = self.core.timed(start)
        note = "a neighbour was on the core from the start: the first rounds were beside it, and count all the same"
        if self.core.misjudged and note not in self.notes:
            self.notes.append(note)
        return found
