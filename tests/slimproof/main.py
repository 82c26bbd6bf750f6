"""The command line: which applications, and what came of them."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

from tests.slimproof import app, table
from tests.slimproof.app import HERE, App
from tests.slimproof.session import Result, Session

ROOT = HERE.parents[1]


def main(arguments: list[str] | None = None) -> int:
    """Run; 0 if all that could be proved is, 1 if not, 2 if it could not be tried."""
    options = _options(arguments)
    try:
        chosen = _choose(app.load(), options)
    except app.AppError as error:
        return _refuse(str(error))
    if options.list:
        for one in chosen:
            print(f"{one.name:12} {'core ' if one.core else '     '}{one.about}")
            for other in one.others:
                print(f"{'':18}{other.name}: {other.about}")
        return 0
    if os.geteuid() != 0:
        return _refuse("needs root: it makes root file systems, mounts, and loads programs into the kernel")
    snoop = options.snoop or _snoop()
    if not snoop or shutil.which(snoop) is None:
        return _refuse("there is no snoop in .venv/bin: make install, or --snoop FILE")
    if options.write_docs and (options.core or options.app):
        return _refuse("--write-docs writes of all applications: not with --core or --app")
    signal.signal(signal.SIGTERM, _interrupted)
    scratch = Path(tempfile.mkdtemp(prefix="snoop-slimproof-"))
    try:
        results = _run(chosen, Session(scratch, str(Path(shutil.which(snoop) or snoop).absolute())), options)
    except KeyboardInterrupt:
        return 130
    finally:
        if options.keep:
            print(f"kept: {scratch}", file=sys.stderr)
        else:
            # Mounts were of namespaces that are gone; if not, nothing beyond them is removed.
            subprocess.run(["rm", "-rf", "--one-file-system", scratch], check=False)
    print(table.shape(results))
    if options.write_docs:
        table.write_docs(ROOT / "docs/slimming-proof.md", results)
    return 0 if all(one.good for one in results) else 1


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tests/slimproof/run",
        description="Traces real applications in root file systems of Debian, slims these by what was seen, and runs "
        "the same and other workloads in what is left.",
    )
    parser.add_argument("--app", action="append", metavar="NAME", help="this one only; may be repeated")
    parser.add_argument("--core", action="store_true", help="the two quick ones")
    parser.add_argument("--list", action="store_true", help="list the applications")
    parser.add_argument("--snoop", metavar="FILE", help="the program to try")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="so many at a time (2)")
    parser.add_argument("--keep", action="store_true", help="keep reports, outputs and slimmed roots")
    parser.add_argument("--show", type=int, default=20, metavar="N", help="differing lines shown (20)")
    parser.add_argument("--write-docs", action="store_true", help="write docs/slimming-proof.md")
    options = parser.parse_args(arguments)
    if options.jobs < 1:
        parser.error("--jobs: at least 1")
    return options


def _choose(known: list[App], options: argparse.Namespace) -> list[App]:
    names = {one.name for one in known}
    for name in options.app or ():
        if name not in names:
            raise app.AppError(f"{name}: no such application; --list lists them")
    return [one for one in known if (not options.app or one.name in options.app) and (one.core or not options.core)]


def _snoop() -> str:
    ours = ROOT / ".venv/bin/snoop"
    return str(ours) if ours.exists() else shutil.which("snoop") or ""


def _interrupted(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _run(chosen: list[App], session: Session, options: argparse.Namespace) -> list[Result]:
    results: list[Result] = []
    with ThreadPoolExecutor(options.jobs) as pool:
        try:
            for result in pool.map(session.prove, chosen):
                results.append(result)
                print(table.progress(result, options.show), flush=True)
        except BaseException:
            session.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return results


def _refuse(words: str) -> int:
    print(f"slimproof: {words}", file=sys.stderr)
    return 2
