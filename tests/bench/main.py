"""The command line: which rows, how often, and what came of it."""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from tests.bench import cpu, image, inventory, losses, machine, memory, overhead, profile, soak, start, table
from tests.bench.pods import Node, Setup
from tests.bench.session import WAYS, Session
from tests.bench.table import Row
from tests.bench.trouble import BenchError

from snoop_agent import kernel, programs

ROOT = Path(__file__).resolve().parents[2]
GROUPS: dict[str, Callable[[Session], list[Row]]] = {
    overhead.NAME: overhead.measure,
    losses.NAME: losses.measure,
    memory.NAME: memory.measure,
    cpu.NAME: cpu.measure,
    start.NAME: start.measure,
    image.NAME: image.measure,
    inventory.NAME: inventory.measure,
    profile.NAME: profile.measure,
}
ON_REQUEST = (profile.NAME,)
"""Groups without targets: only if --only names them."""


def main(arguments: list[str] | None = None) -> int:
    """Run. 0: measured, whatever came out; 1: something could not be; 2: it could not be tried."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        options = _options(given)
        return _measure(options, given)
    except BenchError as error:
        sys.stderr.write(f"bench: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 130


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/bench/run", description=__doc__)
    usual = tuple(name for name in GROUPS if name not in ON_REQUEST)

    def add(flag: str, placeholder: str = "", words: str = "", **more: Any) -> None:
        how: dict[str, Any] = {"metavar": placeholder} if placeholder else {"action": "store_true"}
        parser.add_argument(flag, help=words, **how, **more)

    add("--only", "ROWS", f"of {', '.join(GROUPS)}", type=_names(tuple(GROUPS)), default=usual)
    add("--rounds", "N", "medians of so many (5)", type=_count, default=5)
    add("--quick", words="small numbers, one round: whether it works")
    add("--attach", "WAYS", f"of {', '.join(WAYS)}", type=_names(WAYS), default=WAYS)
    add("--sidecars", "N,N", "so many on the node (1; 1,10,100 where programs are shared)", type=_counts)
    add("--agent", "FILE", "the snoop-agent to try", type=Path)
    add("--private", words="no shared programs, even where there could be")
    add("--wait", "SECONDS", "for others' tracers to end (60)", type=float, default=60.0)
    add("--anyway", words="measure even if they do not, and say so")
    add("--soak", words="load one pod for long instead, and see that memory is flat")
    add("--seconds", "N", "so long (600), or at full rate (60)", type=float)
    add("--json", "FILE", "write the figures there too", type=Path)
    add("--write-docs", words="write docs/performance.md")
    return parser.parse_args(arguments)


def _names(known: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    def read(text: str) -> tuple[str, ...]:
        chosen = tuple(word for word in text.split(",") if word)
        for word in chosen:
            if word not in known:
                raise argparse.ArgumentTypeError(f"{word!r} is none of {', '.join(known)}")
        return chosen

    return read


def _count(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no count")
    return int(text)


def _counts(text: str) -> tuple[int, ...]:
    return tuple(_count(word) for word in text.split(","))


def _measure(options: argparse.Namespace, arguments: list[str]) -> int:
    if os.geteuid() != 0:
        raise BenchError("needs root: it makes cgroups and mounts, and loads programs into the kernel")
    agent = options.agent or ROOT / ".venv/bin/snoop-agent"
    if not agent.exists():
        raise BenchError(f"{agent} is not there: make install, or --agent FILE")
    if options.quick and options.write_docs:
        raise BenchError("--quick figures are none for docs/performance.md: leave out one of --quick and --write-docs")
    signal.signal(signal.SIGTERM, _interrupt)
    rows: list[Row] = []
    pins = not options.private and _shares(agent)
    node = Node(Setup(agent.resolve(), pins))
    try:
        session = Session(
            node,
            rounds=1 if options.quick else options.rounds,
            quick=options.quick,
            ways=options.attach,
            sidecars=options.sidecars or ((1, 10, 100) if pins else (1,)),
            patience_s=options.wait,
            anyway=options.anyway,
            seconds=options.seconds,
            cpu=max(os.sched_getaffinity(0)),
            refused=_refused(),
        )
        session.look_around()
        if options.soak:
            return soak.run(session)
        for name in options.only:
            print(f"==> {name}", flush=True)
            try:
                rows += GROUPS[name](session)
            except BenchError as error:
                rows.append(Row(name, name, detail=str(error)))
    finally:
        node.close()
    print("\n" + table.shape(rows))
    here, command = machine.describe(ROOT), f'make bench T="{" ".join(arguments)}"' if arguments else "make bench"
    for note in session.notes:
        print(f"note: {note}")
    if options.json:
        table.write_json(options.json, table.as_document(rows, here, command, session.notes))
    if options.write_docs:
        table.write_docs(ROOT / "docs/performance.md", rows, here, command, session.notes)
    return 1 if any(row.value is None and row.how not in session.refused for row in rows) else 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _refused() -> dict[str, str]:
    """The ways that this kernel does not take, and why."""
    btf = kernel.Btf.of_running_kernel()
    return {} if programs.can_fexit(btf) else {"fexit": "this kernel takes no fexit programs"}


def _shares(agent: Path) -> bool:
    """Whether this agent can share a node's programs: its settings say where."""
    words = "from snoop_agent.settings import Settings; print('pins' in Settings.__dataclass_fields__)"
    told = subprocess.run([agent.with_name("python"), "-c", words], capture_output=True, text=True)
    if told.returncode:
        raise BenchError(f"{agent} does not run: {told.stderr.strip().splitlines()[-1]}")
    return told.stdout.strip() == "True"
