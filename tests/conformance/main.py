"""The command line: which workloads, in which ways to attach, and what came of it."""

import argparse
import ctypes
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.conformance import table, workload
from tests.conformance.session import Result, Session
from tests.conformance.workload import HERE, Workload

ROOT = HERE.parents[1]
_PR_SET_CHILD_SUBREAPER = 36
# Debian's own programs first; behind them what a machine adds (Go).
_STANDARD = "/usr/sbin:/usr/bin:/sbin:/bin"


def main(arguments: list[str] | None = None) -> int:
    """Run; 0 if all that could be compared is alike, 1 if not, 2 if it could not be tried."""
    options = _options(arguments)
    try:
        chosen = _choose(workload.load(), options)
    except workload.WorkloadError as error:
        return _refuse(str(error))
    if options.list:
        for one in chosen:
            print(f"{one.name:20} {'core ' if one.core else '     '}{one.about}")
        return 0
    if os.geteuid() != 0:
        return _refuse("needs root: it loads programs into the kernel")
    if shutil.which("strace") is None:
        return _refuse("strace is not installed")
    snoop = options.snoop or _snoop()
    if not snoop:
        return _refuse("snoop is not on PATH, and not in .venv/bin: make install, or --snoop FILE")
    ways = options.attach or _ways(snoop)
    if not ways:
        return _refuse(f"no way to attach loads here: {snoop} trace --attach … -- /bin/true")
    # Daemons that a workload leaves behind become this process's children, so that they can be found and ended.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    scratch = Path(tempfile.mkdtemp(prefix="snoop-conformance-"))
    scratch.chmod(0o755)
    try:
        results, skipped = _run(chosen, ways, snoop, scratch, options)
    finally:
        if options.keep:
            print(f"kept: {scratch}", file=sys.stderr)
        else:
            # Not shutil: some of what lies there is too deep for it.
            subprocess.run(["rm", "-rf", scratch], check=False)
    text = table.shape(results, skipped)
    print(text)
    if options.write_docs:
        table.write_docs(ROOT / "docs/conformance.md", chosen, results, skipped)
    bad = [one for one in results if not one.good]
    if skipped and options.all_needed:
        print("conformance: programs are missing: tests/conformance/provide installs them", file=sys.stderr)
        return 1
    return 1 if bad else 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/conformance/run", description=__doc__)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help="these only")
    parser.add_argument("--core", action="store_true", help="the short run")
    parser.add_argument("--attach", action="append", metavar="WAY", help="a way to attach; default: all that load")
    parser.add_argument("--snoop", metavar="FILE", help="the program to try")
    parser.add_argument("--programs", type=Path, metavar="DIR", help="built programs (tests/conformance/build DIR)")
    parser.add_argument("--all-needed", action="store_true", help="a missing program is a failure, not a skip")
    parser.add_argument("--keep", action="store_true", help="keep logs and reports")
    parser.add_argument("--jobs", type=int, default=4, metavar="N", help="so many at a time (4)")
    parser.add_argument("--show", type=int, default=20, metavar="N", help="differences shown of each kind")
    parser.add_argument("--list", action="store_true", help="list the workloads")
    parser.add_argument("--write-docs", action="store_true", help="write docs/conformance.md")
    return parser.parse_args(arguments)


def _choose(known: list[Workload], options: argparse.Namespace) -> list[Workload]:
    names = {one.name for one in known}
    for name in options.workloads:
        if name not in names:
            raise workload.WorkloadError(f"{name}: no such workload; --list lists them")
    return [
        one
        for one in known
        if (not options.workloads or one.name in options.workloads) and (one.core or not options.core)
    ]


def _snoop() -> str:
    ours = ROOT / ".venv/bin/snoop"
    return str(ours) if ours.exists() else shutil.which("snoop") or ""


def _ways(snoop: str) -> list[str]:
    """Those of the ways that `snoop trace --help` tells of that load on this kernel."""
    told = subprocess.run([snoop, "trace", "--help"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"--attach \[([^\]]*)\]", " ".join(told.split()))
    ways = [way for way in (found[1].split("|") if found else []) if way != "auto"]
    return [
        way
        for way in ways
        if not subprocess.run([snoop, "trace", "--attach", way, "--", "/bin/true"], capture_output=True).returncode
    ]


def _run(
    chosen: list[Workload], ways: list[str], snoop: str, scratch: Path, options: argparse.Namespace
) -> tuple[list[Result], list[tuple[str, str]]]:
    built = options.programs or scratch / "programs"
    if not options.programs:
        _build(built)
    path = f"{_STANDARD}:{os.environ.get('PATH', '')}"
    session = Session(scratch, [snoop], path, built)
    results: list[Result] = []
    skipped: list[tuple[str, str]] = []
    runs: list[tuple[Workload, str]] = []
    for one in chosen:
        lacking = one.lacking(path, built)
        if lacking:
            skipped.append((one.name, ", ".join(lacking)))
            print(f"SKIP {one.name}: not here: {', '.join(lacking)}", flush=True)
            continue
        runs += [(one, way) for way in ways]
    # Most of a run is waiting: for the kernel to detach, for servers to come up.
    with ThreadPoolExecutor(options.jobs) as pool:
        for result in pool.map(lambda run: session.run(*run), runs):
            results.append(result)
            print(table.progress(result, options.show), flush=True)
    return results, skipped


def _build(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([HERE / "build", folder], capture_output=True, text=True, check=False)
    for line in done.stderr.splitlines():
        print(line, file=sys.stderr)


def _refuse(words: str) -> int:
    print(f"conformance: {words}", file=sys.stderr)
    return 2
