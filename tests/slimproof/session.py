"""Proves one application: trace, analyze, slim, and the same workload again in what is left."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.slimproof.app import HERE, App
from tests.slimproof.compare import Ran, Verdicts, agrees, differences, lost

_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
# PID 1 of a namespace takes all with it; it dies with unshare, and unshare with who started it.
_ALONE = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child")
# A process's peak begins with that of who started it, up to its exec: this one's, unless a small one is between.
_WEIGH = """import resource, subprocess, sys
status = subprocess.call(sys.argv[2:])
open(sys.argv[1], "w").write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(status)"""
_BUILD_SECONDS = 1800.0
_TOOL_SECONDS = 300.0


class FailedError(Exception):
    """It cannot be told whether it holds; the message says why."""


@dataclass(slots=True)
class OtherResult:
    """What came of a different workload."""

    name: str
    about: str
    lost: list[str]
    """Files that it used and the verdict calls unused."""
    differences: list[str]
    words: str
    """What the slimmed root said in place of what was expected."""
    failed: bool
    """Whether it ended with another status."""

    @property
    def good(self) -> bool:
        """Whether it went as foretold."""
        return agrees(self.lost, self.differences)


@dataclass(slots=True)
class Result:
    """What came of an application."""

    app: App
    problem: str = ""
    """Why nothing can be told."""
    verdicts: Verdicts | None = None
    seconds: float = 0.0
    """The verdict's time."""
    memory: int = 0
    """The verdict's peak, in bytes."""
    differences: list[str] = field(default_factory=list)
    """Between the workload in the whole root and in the slimmed one."""
    others: list[OtherResult] = field(default_factory=list)
    took: float = 0.0

    @property
    def good(self) -> bool:
        """Whether the slimmed root did the same, and everything else went as foretold."""
        return not (self.problem or self.differences) and all(one.good for one in self.others)


class Session:
    """Where it is done: a scratch directory, and the snoop to try."""

    def __init__(self, scratch: Path, snoop: str) -> None:
        self._scratch = scratch
        self._snoop = snoop
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def stop(self) -> None:
        """End what runs; nothing starts any more."""
        with self._lock:
            self._stopped = True
            for child in self._running:
                child.kill()

    def prove(self, app: App) -> Result:
        """Do it. Never raises for what the application or snoop does."""
        result = Result(app)
        begun = time.monotonic()
        home = self._scratch / app.name
        try:
            home.mkdir()
            self._prove(app, home, result)
        except (FailedError, OSError, ValueError, KeyError) as error:
            result.problem = f"{error}" or type(error).__name__
        result.took = time.monotonic() - begun
        return result

    def _prove(self, app: App, home: Path, result: Result) -> None:
        root = self._build(app, home)
        report, slim = home / "report.json", home / "slim"
        first = self._trace(app, app.run, root, report)
        before = _stamp(root)
        result.verdicts, result.seconds, result.memory = self._judge(report, root)
        self._tool("slim", report, "--rootfs", root, "--to", slim)
        if _stamp(root) != before:
            raise FailedError("the root was changed meanwhile, which nothing may do")
        if len(_stamp(slim)) != result.verdicts.after[0]:
            raise FailedError(f"the slimmed root has {len(_stamp(slim))} files, not {result.verdicts.after[0]}")
        result.differences = differences(app, first, self._again(app, app.run, slim, home / "again"))
        for number, other in enumerate(app.others):
            used = home / f"other-{number}.json"
            whole = self._trace(app, other.run, root, used)
            verdicts, _, _ = self._judge(used, root)
            ran = self._again(app, other.run, slim, home / f"other-{number}")
            told = differences(app, whole, ran)
            result.others.append(
                OtherResult(
                    other.name,
                    other.about,
                    lost=lost(result.verdicts, verdicts),
                    differences=told,
                    words=_instead(told, ran),
                    failed=ran.status != whole.status,
                )
            )

    def _build(self, app: App, home: Path) -> Path:
        command = (str(HERE / "build"), app.name, app.setup, " ".join(app.programs), *app.packages)
        # The machine's environment: its apt may be told there of a proxy.
        done = self._run(command, _BUILD_SECONDS, home / "build", dict(os.environ))
        if done.status:
            raise FailedError(done.said or f"the root cannot be built: status {done.status}")
        return Path(done.output.splitlines()[-1])

    def _trace(self, app: App, script: str, root: Path, report: Path) -> Ran:
        """Run a workload under `snoop trace` in the whole root; FailedError unless it ends well."""
        stage = report.with_suffix(".stage")
        command = (self._snoop, "trace", "--report", str(report), "--rootfs", str(stage / "root"), "--")
        ran = self._staged(app, root, stage, (*command, *_shell(script)))
        if ran.status:
            raise FailedError(f"the workload fails where nothing is missing: {ran.last}; {ran.said}")
        return ran

    def _again(self, app: App, script: str, slim: Path, stage: Path) -> Ran:
        """Run a workload in the slimmed root, untraced."""
        return self._staged(app, slim, stage, ("chroot", str(stage / "root"), *_shell(script)))

    def _staged(self, app: App, root: Path, stage: Path, command: tuple[str, ...]) -> Ran:
        stage.mkdir()
        staged = (*_ALONE, "--mount-proc", str(HERE / "stage"), "over", str(root), str(stage), *command)
        return self._run(staged, app.timeout, stage / "run", _ENVIRONMENT)

    def _judge(self, report: Path, root: Path) -> tuple[Verdicts, float, int]:
        begun = time.monotonic()
        ran = self._tool("analyze", report, "--rootfs", root, "-o", "json", "--require-complete")
        seconds = time.monotonic() - begun
        return Verdicts.of(json.loads(ran.output)), seconds, ran.memory

    def _tool(self, *arguments: str | Path) -> Ran:
        output = self._scratch / f"{time.monotonic_ns()}-{arguments[0]}"
        peak = output.with_suffix(".peak")
        command = (sys.executable, "-I", "-c", _WEIGH, str(peak), self._snoop, *map(str, arguments))
        ran = self._run(command, _TOOL_SECONDS, output, dict(os.environ))
        if ran.status:
            raise FailedError(f"snoop {arguments[0]} ends with {ran.status}: {ran.said or ran.last}")
        return replace(ran, memory=int(peak.read_text()) * 1024)

    def _run(self, command: tuple[str, ...], most: float, files: Path, environment: dict[str, str]) -> Ran:
        """Run a command, its output into FILES.out and FILES.err. FailedError if it takes more seconds than `most`."""
        names = files.with_suffix(".out"), files.with_suffix(".err")
        with contextlib.ExitStack() as opened:
            # Appending: a server may open its standard error again by name.
            output, errors = (opened.enter_context(name.open("ab")) for name in names)
            with self._lock:
                if self._stopped:
                    raise FailedError("interrupted")
                child = subprocess.Popen(
                    command, cwd="/", env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=errors
                )
                self._running.add(child)
            alarm = threading.Timer(most, child.kill)
            alarm.start()
            child.wait()
            with self._lock:
                self._running.discard(child)
            late = not alarm.is_alive() and child.returncode < 0
            alarm.cancel()
        text, said = (name.read_text(errors="replace") for name in names)
        if late and not self._stopped:
            raise FailedError(f"{Path(command[0]).name}: not done after {most:.0f} s: {Ran(0, text + said).last}")
        return Ran(child.returncode, text, Ran(child.returncode, said).last)


def _instead(differs: list[str], ran: Ran) -> str:
    """Give the first line that only the second run said."""
    return next((line[1:].strip() for line in differs if line.startswith("+")), ran.last)


def _shell(script: str) -> tuple[str, ...]:
    return ("/bin/sh", "-eu", "-c", f"exec 2>&1\n{script}")


def _stamp(root: Path) -> set[tuple[str, int, int]]:
    """Give what changes when somebody writes to a root."""
    found = set()
    for folder, folders, files in os.walk(root):
        for name in (*files, *(one for one in folders if os.path.islink(f"{folder}/{one}"))):  # noqa: PTH114
            seen = os.lstat(os.path.join(folder, name))  # noqa: PTH118 - faster, of many
            found.add((f"{folder}/{name}", seen.st_mtime_ns, seen.st_size))
    return found
