"""Runs one workload under `snoop trace` and both witnesses at once, and compares."""

import os
import shlex
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.conformance import compare, fanotify, strace, witness
from tests.conformance.calls import TRACED
from tests.conformance.paths import forget, join
from tests.conformance.processes import Tree, follow
from tests.conformance.strace import DELETED, string
from tests.conformance.witness import DECLARED, Account, Answer
from tests.conformance.workload import Workload

NOTHING = "/snoop-conformance-excludes-nothing/"
_SHELL = "/bin/sh"


@dataclass(slots=True)
class Result:
    """What came of a workload."""

    workload: str
    way: str
    problem: str = ""
    """Why nothing could be compared."""
    events: int = 0
    paths: int = 0
    demands: int = 0
    seconds: float = 0.0
    difference: compare.Difference = field(default_factory=compare.Difference)
    notes: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether the report said what the witnesses saw."""
        return not (self.problem or self.difference.missed or self.difference.invented)


class Session:
    """Where workloads run: a scratch directory, a search path, and the snoop to try."""

    def __init__(self, scratch: Path, snoop: list[str], path: str, built: Path) -> None:
        self._scratch = scratch
        self._snoop = snoop
        self._path = path
        self._built = built

    def run(self, workload: Workload, way: str) -> Result:
        """Run and compare. Never raises for what the workload or the tracer does."""
        result = Result(workload.name, way)
        home = self._scratch / f"{workload.name}-{way}"
        here = home / "here"
        here.mkdir(parents=True)
        here.chmod(0o777)
        begun = time.monotonic()
        try:
            self._compare(workload, way, home, result)
        except (_FailedError, ValueError, OSError) as error:
            result.problem = str(error)
        result.seconds = time.monotonic() - begun
        return result

    def _compare(self, workload: Workload, way: str, home: Path, result: Result) -> None:
        environment = {
            "PATH": self._path,
            "HOME": str(home / "here"),
            "HERE": str(home / "here"),
            "PROGRAMS": str(self._built),
            "TMPDIR": str(home / "here"),
            "LANG": "C.UTF-8",
        }
        script = self._prepare(workload, home, environment)
        command = [_SHELL, "-eu", str(script)]
        log, report = home / "strace", home / "report.json"
        watch = _watch(home, result)
        try:
            self._trace(workload, way, command, home, environment)
        finally:
            opened = watch.stop() if watch else []
        here = os.fsencode(home / "here")
        forget()
        with log.open(encoding="latin-1", newline="\n") as lines:
            tree = follow(strace.parse(lines), [os.fsencode(one) for one in command], here)
        if not tree.begun:
            raise _FailedError("the witness did not see the command's execve")
        account = witness.account(tree)
        told = compare.read(report)
        _add_opened(account, tree, opened)
        _add_expected(account, workload, here, told.hooks)
        excluded = tuple(os.fsencode(one) for one in workload.exclude)
        result.difference = compare.compare(told, account, excluded, _gaps(workload, way))
        if way in workload.blind:
            result.notes.append(f"{len(result.difference.missed)} not seen, as docs/capture.md says of this way")
            result.difference.missed = [one for one in result.difference.missed if one.startswith("gap ")]
        result.events, result.paths = told.events, len(told.paths)
        result.demands = len(account.asked) + len(account.opened)

    def _prepare(self, workload: Workload, home: Path, environment: dict[str, str]) -> Path:
        script, setup = home / "run", home / "setup"
        script.write_text(workload.run)
        setup.write_text(workload.setup)
        if workload.setup:
            with (home / "setup.log").open("wb") as log:
                done = subprocess.run(
                    [_SHELL, "-eu", str(setup)],
                    cwd=home / "here",
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    timeout=workload.timeout,
                    check=False,
                )
            if done.returncode:
                raise _FailedError(f"its setup failed ({done.returncode}): {_last(home / 'setup.log')}")
        return script

    def _trace(self, workload: Workload, way: str, command: list[str], home: Path, environment: dict[str, str]) -> None:
        exclude = ",".join(workload.exclude) or NOTHING
        calls = ",".join(f"?{name}" for name in TRACED)
        arguments = [
            "strace",
            "-f",
            "--seccomp-bpf",
            "-y",
            "-xx",
            "-s",
            "4096",
            "--decode-pids=pidns",
            "-e",
            f"trace={calls}",
        ]
        arguments += ["-o", str(home / "strace"), "--", *self._snoop, "trace", "--attach", way, "--exclude", exclude]
        arguments += ["--report", str(home / "report.json"), "--", *command]
        (home / "command").write_text(shlex.join(arguments) + "\n")
        with (home / "log").open("wb") as log:
            child = subprocess.Popen(
                arguments,
                cwd=home / "here",
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            try:
                status = child.wait(workload.timeout)
            except subprocess.TimeoutExpired:
                raise _FailedError(f"not done after {workload.timeout:.0f} s: {_last(home / 'log')}") from None
            finally:
                _end(child)
        if status:
            raise _FailedError(f"it ended with status {status}: {_last(home / 'log')}")


def _gaps(workload: Workload, way: str) -> list[str]:
    told_instead = workload.blind.get(way)
    return [*workload.gaps, *([told_instead] if told_instead else [])]


class _FailedError(Exception):
    """There is nothing to compare."""


def _watch(home: Path, result: Result) -> fanotify.Watch | None:
    places = {os.fsencode(home), b"/"}
    try:
        return fanotify.Watch(sorted(places))
    except fanotify.UnavailableError as error:
        result.notes.append(f"without the second witness: {error}")
        return None


def _add_opened(account: Account, tree: Tree, opened: list[fanotify.Opened]) -> None:
    """Demand what strace could not see: what was opened by no call that it shows."""
    moved = _moved(tree)
    begun = False
    first = tree.calls[0][0].thread
    for one in opened:
        if one.thread not in tree.threads:
            continue
        if one.thread == first and not begun:
            # Until its first execve it is a copy of snoop.
            begun = one.executed
            if not begun:
                continue
        if one.path.endswith(DELETED):
            continue
        # The name is read after the event: by then it may have been renamed, to a name that nobody opened, or the root
        # directory exchanged.
        if tree.pivoted or any(one.path == to or one.path.startswith(to + b"/") for to in moved):
            account.targets.add(one.path)
        else:
            account.open(one.path, f"opened, seen by fanotify{' (executed)' if one.executed else ''}")


def _moved(tree: Tree) -> set[bytes]:
    return {
        join(name, place.cwd, place.root)
        for call, place in tree.calls
        if call.name.startswith("rename") and call.result == 0
        for name in [string(call.arguments[1 if call.name == "rename" else 3])]
        if name is not None
    }


def _add_expected(account: Account, workload: Workload, here: bytes, hooks: str) -> None:
    for line in workload.expect:
        word, _, text = line.partition(" ")
        if word.endswith(":"):
            if word != f"{hooks}:":
                continue
            word, _, text = text.partition(" ")
        path = os.fsencode(text).replace(b"$HERE", here)
        if word == "may":
            account.allow(path, set(Answer))
            account.targets.add(path)
        else:
            account.ask({path}, {Answer(word)}, DECLARED)


def _last(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return " / ".join(lines[-3:]) or "it said nothing"


def _end(child: subprocess.Popen[bytes]) -> None:
    """End strace with all that it traces. Daemons have left its session, but not its children's tree."""
    if child.poll() is not None:
        return
    for process in [child.pid, *_below(child.pid)]:
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue
    child.wait()


def _below(top: int) -> list[int]:
    """All descendants of a process; daemons go to the nearest subreaper, which this process is."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        parents.setdefault(parent, []).append(int(folder.name))
    found, left = [], [top]
    while left:
        children = parents.get(left.pop(), [])
        found += children
        left += children
    return found
