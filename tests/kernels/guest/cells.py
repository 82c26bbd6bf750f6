#!/usr/bin/env python3
"""In a guest: the conformance core by every way to attach, at each perf_event_paranoid, with each set of capabilities.

A trace of nothing takes 15 seconds in a guest, so a cell is one trace: all workloads of the core that run here, one
after the other, each in a directory of its own. Every result is a line `CELL {…}`; the fields are those of `Cell`.
"""

import argparse
import functools
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tests.conformance import workload
from tests.conformance.session import Session
from tests.conformance.workload import Workload

from snoop_agent import kernel, programs

PATH = "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PARANOID = Path("/proc/sys/kernel/perf_event_paranoid")
_DROP = ["setpriv", "--inh-caps=-all"]
RIGHTS = {
    "root": [],
    # As in a container that drops all but these.
    "BPF+PERFMON": [*_DROP, "--bounding-set=-all,+bpf,+perfmon", "--"],
    # Before 5.11 the kernel counts maps as locked memory, and only this raises the limit.
    "BPF+PERFMON+SYS_RESOURCE": [*_DROP, "--bounding-set=-all,+bpf,+perfmon,+sys_resource", "--"],
}
# What these run takes capabilities, which a command traced by one that has none of them has neither.
_PRIVILEGED = frozenset({"chroot", "denied", "coreutils", "odd-calls", "mounts", "pid-namespace"})


# Kernels that preempt BPF programs skip some of their runs. Then something is missing, and the report says so, as it
# has to (docs/capture.md); a fork that was not seen also leaves a directory unknown from which a name starts.
_SKIPPED = "gap records_lost: the kernel skipped runs of a tracing program"
_FOLLOWS = "gap path_unreadable: "

# What takes seconds, of the core: enough to tell that a way that loads also sees.
_SHORT = frozenset(
    {
        "script",
        "busybox",
        "musl",
        "io_uring",
        "openat2",
        "chroot",
        "threads",
        "hostile",
        "dots",
        "descriptors",
        "renamed",
        "hardlinks",
    }
)


@dataclass(slots=True)
class Cell:
    """One cell of the matrix."""

    cgroup: str
    paranoid: int
    rights: str
    way: str
    kernel: str = ""
    workloads: str = "core"
    """`core`, or `short`: those of it that take seconds."""
    state: str = "failed"
    """`ok` compared, no difference; `differs`; `refused` with a reason; `failed`: nothing could be compared."""
    words: str = ""
    paths: int = 0
    checked: int = 0
    missed: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    took: dict[str, float] = field(default_factory=dict)
    """Seconds by workload."""


def main() -> int:
    """Run the cells; 0 unless the guest itself is at fault."""
    options = _options()
    cgroup = "v1" if not Path("/sys/fs/cgroup/cgroup.procs").exists() else "v2"
    built = Path(options.programs)
    chosen, lacking = _workloads(built, options.workload)
    for name, why in lacking:
        print(f"skipped: {name}: not here: {', '.join(why)}", flush=True)
    for paranoid in options.paranoid:
        PARANOID.write_text(f"{paranoid}\n")
        cells = [
            Cell(cgroup, paranoid, rights, way, os.uname().release, _which(cgroup, paranoid, rights, options.all))
            for rights in options.rights
            for way in options.attach or ways()
        ]
        # Short ones two at a time; not the core, whose `find /` stumbles over /proc of processes that come and go.
        _run([cell for cell in cells if cell.workloads == "core"], 1, chosen, built)
        _run([cell for cell in cells if cell.workloads != "core"], os.cpu_count() or 1, chosen, built)
    return 0


def _run(cells: list[Cell], at_once: int, workloads: list[Workload], built: Path) -> None:
    with ProcessPoolExecutor(max_workers=at_once, max_tasks_per_child=1) as pool:
        for task in as_completed([pool.submit(_filled, cell, workloads, built) for cell in cells]):
            print("CELL " + json.dumps(asdict(task.result())), flush=True)


def _which(cgroup: str, paranoid: int, rights: str, everywhere: bool) -> str:
    """What a way sees does not hang on who loaded it: the whole core runs once for each."""
    return "core" if everywhere or (cgroup, paranoid, rights) == ("v2", 2, "root") else "short"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("workload", nargs="*", help="these only, instead of the core")
    parser.add_argument("--attach", action="append", metavar="WAY")
    parser.add_argument("--paranoid", action="append", type=int, choices=(2, 3))
    parser.add_argument("--rights", action="append", choices=list(RIGHTS))
    parser.add_argument("--all", action="store_true", help="the whole core in every cell")
    parser.add_argument("--programs", default="/add", metavar="DIR")
    found = parser.parse_args()
    found.paranoid = found.paranoid or [2, 3]
    found.rights = found.rights or [one for one in RIGHTS if "RESOURCE" not in one or _charges_locked_memory()]
    return found


def _charges_locked_memory() -> bool:
    major, minor = os.uname().release.split(".")[:2]
    return (int(major), int(minor)) < (5, 11)


def ways() -> list[str]:
    """List what `snoop trace --help` offers, but for `auto`."""
    told = subprocess.run(["snoop", "trace", "--help"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"--attach \[([^\]]*)\]", " ".join(told.split()))
    if found is None:
        sys.exit("snoop trace --help tells no ways to attach")
    return [way for way in found[1].split("|") if way != "auto"]


def _workloads(built: Path, names: list[str]) -> tuple[list[Workload], list[tuple[str, list[str]]]]:
    # What has exclusions of its own is a trace of its own.
    wanted = [one for one in workload.load() if (one.name in names if names else one.core and not one.exclude)]
    lacking = [(one.name, why) for one in wanted if (why := one.lacking(PATH, built))]
    return [one for one in wanted if one.name not in dict(lacking)], lacking


def together(workloads: list[Workload]) -> Workload:
    """Make one workload of several. What one of them ends with is in $HERE/ended; it stops no other."""
    setup, run, expect = [], [], []
    for one in workloads:
        name = shlex.quote(one.name)
        enter = f'cd {name}; export HERE="$PWD" HOME="$PWD" TMPDIR="$PWD"'
        setup.append(f"mkdir -m 777 {name}; ({enter}; cat >.run <<'SNOOP-END'\n{one.run}\nSNOOP-END\n{one.setup}\n)")
        run.append('read -r at rest </proc/uptime; echo "$at" >>"$HERE/began"')
        run.append(f'( {enter}; exec /bin/sh -eu .run ) </dev/null || echo {name} >>"$HERE/ended"')
        expect += [line.replace("$HERE", f"$HERE/{one.name}") for line in one.expect]
    run.append('read -r at rest </proc/uptime; echo "$at" >>"$HERE/began"')
    return Workload(
        name="core",
        about="all of them",
        setup="\n".join(setup),
        run="\n".join(run),
        expect=tuple(expect),
        gaps=tuple({gap for one in workloads for gap in one.gaps}),
        timeout=900,
    )


def _filled(cell: Cell, workloads: list[Workload], built: Path) -> Cell:
    prefix = RIGHTS[cell.rights]
    # What a way is blind to is compared by `make conformance`, in a trace of its own.
    chosen = [
        one
        for one in workloads
        if cell.way not in one.blind
        and not (one.name == "io_uring" and cell.way != "fexit" and _hides_io_uring())
        and not (prefix and one.name in _PRIVILEGED)
        and (cell.workloads == "core" or one.name in _SHORT)
    ]
    scratch = Path(tempfile.mkdtemp(prefix="cell-"))
    scratch.chmod(0o755)
    begun = time.monotonic()
    try:
        session = Session(scratch, [*prefix, "/usr/local/bin/snoop"], PATH, built)
        result = session.run(together(chosen), cell.way)
        ended = list(scratch.glob("*/here/ended"))
        cell.notes = [f"{name} did not run to its end" for file in ended for name in file.read_text().split()]
        cell.notes += [note for note in result.notes if note]
        cell.took = _durations(chosen, scratch)
    finally:
        # Not by shutil: trees may be deeper than Python recurses.
        subprocess.run(["rm", "-rf", scratch], check=False)
    cell.seconds = round(time.monotonic() - begun, 1)
    cell.paths, cell.checked = result.paths, result.demands
    cell.missed, cell.invented = result.difference.missed, result.difference.invented
    skipped = _SKIPPED in cell.invented
    if skipped:
        cell.invented = [one for one in cell.invented if one != _SKIPPED and not one.startswith(_FOLLOWS)]
        cell.notes.append("the kernel skipped runs of a program: what is missed is told as a gap")
    refused = re.search(r"ended with status 125: (?:.* / )?snoop: (.*)$", result.problem)
    if refused:
        cell.state, cell.words = "refused", refused[1]
    elif result.problem:
        cell.words = result.problem
    else:
        cell.state = "differs" if cell.invented or (cell.missed and not skipped) else "ok"
    return cell


@functools.cache
def _hides_io_uring() -> bool:
    """Whether this kernel has no tracepoint that shows io_uring's requests: then its use is told as a gap."""
    return programs.uring_tracepoint(kernel.Btf.of_running_kernel()) is None


def _durations(workloads: list[Workload], scratch: Path) -> dict[str, float]:
    began = [float(word) for file in scratch.glob("*/here/began") for word in file.read_text().split()]
    return {one.name: round(then - now, 1) for one, now, then in zip(workloads, began, began[1:], strict=False)}


if __name__ == "__main__":
    sys.exit(main())
