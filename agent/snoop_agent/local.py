"""`snoop trace`: runs one command in a cgroup of its own and reports what it and its children touch.

No Kubernetes and no network: the same kernel side, recorder and report as the sidecar's, around a child process.
"""

import contextlib
import errno
import logging
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from snoop_agent import kernel, spool, subject, tracer
from snoop_agent.owncgroup import CgroupError, OwnCgroup
from snoop_agent.plan import ATTACH_RAW, ATTACH_TRACEPOINT, ATTACH_VFS, Plan
from snoop_agent.recorder import Recorder
from snoop_agent.settings import DEFAULT_EXCLUDE
from snoop_agent.tracing import Tracer
from snoop_report.model import AgentInfo, ContainerReport, Gap, GapCode, Identity, Observation, Report

LOG = logging.getLogger(__name__)

# As env(1), chroot(1) and docker-run(1) have them.
STATUS_FAILED, STATUS_NOT_EXECUTABLE, STATUS_NOT_FOUND = 125, 126, 127

# A ring that no start-up burst fills: here nobody's pod pays for it.
PLAN = Plan("raw_tp", ring_pages=4096, seen_entries=131072, maps=True)
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_SI_KERNEL = 0x80


class TraceError(Exception):
    """The command was not run; the message says why. `status` is what to exit with."""

    def __init__(self, message: str, status: int = STATUS_FAILED) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Options:
    """What to run, and what to keep."""

    command: Sequence[str]
    report: Path | None = None
    """Where the report goes; None: nowhere, only the summary is told."""
    rootfs: Path | None = None
    interval: float = 30.0
    """Seconds between report writes while the command runs."""
    exclude: tuple[str, ...] = tuple(DEFAULT_EXCLUDE.split(","))
    max_unique_files: int = 0
    attach: str = "auto"


@dataclass(slots=True)
class Outcome:
    """How a traced command ended."""

    status: int
    """Its exit status; 128 + N if signal N ended it."""
    seconds: float
    report: Report
    warnings: list[str] = field(default_factory=list)
    """What went wrong beside the command: a report that could not be written …"""


def trace(options: Options, version: str = "", on_start: Callable[[str], None] = lambda _: None) -> Outcome:
    """Run and trace a command. TraceError if it could not be; `on_start` is told once the hooks are attached."""
    _check(options)
    name = os.path.basename(options.command[0]) or options.command[0]  # noqa: PTH119 - not a path of ours
    try:
        cgroup = OwnCgroup("snoop-trace")
    except CgroupError as error:
        raise TraceError(str(error)) from error
    try:
        return _Session(options, name, cgroup, version).run(on_start)
    finally:
        with contextlib.suppress(CgroupError):
            cgroup.remove()


def _check(options: Options) -> None:
    """Refuse early, before anything is compiled, what cannot work."""
    if not options.command:
        raise TraceError("no command was given: snoop trace -- CMD ARG…")
    if not kernel.may_trace():
        raise TraceError("tracing needs root (or CAP_BPF, CAP_PERFMON): sudo snoop trace -- CMD ARG…")
    if options.rootfs is not None and not options.rootfs.is_dir():
        raise TraceError(f"--rootfs {options.rootfs}: no such directory")
    if options.report is not None:
        # A report replaces what was there, which must not be a device, and a link is followed rather than replaced.
        place = options.report.resolve()
        if place.exists() and not place.is_file():
            raise TraceError(f"--report {options.report}: {place} is not a regular file")
        folder = place.parent
        if not folder.is_dir():
            raise TraceError(f"--report {options.report}: the directory {folder} does not exist")
        if not os.access(folder, os.W_OK):
            raise TraceError(f"--report {options.report}: the directory {folder} cannot be written to")
    for prefix in options.exclude:
        if not prefix.startswith("/"):
            raise TraceError(f"--exclude {prefix}: not an absolute path")
    program = options.command[0]
    if options.rootfs is None and shutil.which(program) is None:
        if "/" in program and Path(program).exists():
            raise TraceError(f"{program}: not an executable file", STATUS_NOT_EXECUTABLE)
        raise TraceError(f"{program}: command not found", STATUS_NOT_FOUND)


class _Session:
    """One command's run: the child, the thread that reads the ring, and the report between them."""

    def __init__(self, options: Options, name: str, cgroup: OwnCgroup, version: str) -> None:
        self._options = options
        self._cgroup = cgroup
        self._hierarchy = 0
        self._name = name
        self._started = time.time()
        about = Report(
            pod_name=name,
            node=os.uname().nodename,
            started_at=self._started,
            agent=AgentInfo(version=version, kernel=kernel.release()),
        )
        self._recorder = Recorder(exclude=options.exclude, max_unique_files=options.max_unique_files, about=about)
        # Identities go by container ID, which here is the cgroup's name.
        self._recorder.identify({cgroup.name: Identity(name=name, image="", digest="")})
        self._done = threading.Event()
        self._failure: Exception | None = None
        self._warnings: list[str] = []

    def run(self, on_start: Callable[[str], None]) -> Outcome:
        """Attach, run, wait, drain."""
        try:
            self._hierarchy = self._cgroup.hierarchy
            running = tracer.start_tracer(
                self._subject,
                attach=self._options.attach,
                order=(ATTACH_VFS, ATTACH_RAW, ATTACH_TRACEPOINT),
                plan=PLAN,
            )
        except kernel.KernelError as error:
            raise TraceError(str(error)) from error
        try:
            self._recorder.attached(running.hooks, running.attach)
            on_start(running.attach)
            reader = threading.Thread(target=self._read, args=(running,), name="ring", daemon=True)
            # Threads inherit the mask: signals are this thread's to wait for.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {*_FORWARDED, signal.SIGCHLD})
            try:
                reader.start()
                self._started = self._recorder.about.started_at = time.time()
                child = self._spawn(before)
                status = _wait(child)
            finally:
                self._done.set()
                if reader.ident is not None:
                    reader.join()
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            seconds = time.time() - self._started
            self._count(running)
            self._leftovers()
        finally:
            running.close()
        if self._failure is not None:
            words = f"reading the kernel's records failed: {self._failure}"
            self._recorder.gap(Gap(GapCode.RECORDS_LOST, words, time.time()))
            self._warnings.append(words)
        self._write()
        return Outcome(status, seconds, self._report(), self._warnings)

    def _subject(self, here: subject.Whereabouts) -> subject.Subject:
        if here.hierarchy != self._hierarchy:
            raise kernel.KernelError("the command's cgroup is in another hierarchy")
        return subject.Subject(
            self._cgroup.identifier,
            level=len(here.places),
            whole=True,
            waiting=True,
            keep_root=self._options.rootfs is not None,
        )

    def _spawn(self, mask: Iterable[int]) -> int:
        """Start the command. TraceError if the kernel would not execute it."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            self._become_command(writing, mask)
        os.close(writing)
        with open(reading, encoding="utf-8") as pipe:  # noqa: PTH123 - by descriptor
            problem = pipe.read()
        if problem:
            os.waitpid(child, 0)
            status, _, words = problem.partition(" ")
            raise TraceError(words, int(status))
        return child

    def _become_command(self, writing: int, mask: Iterable[int]) -> None:
        """In the child: enter the cgroup, then exec. Never returns."""
        command = list(self._options.command)
        status, words = STATUS_FAILED, "it could not be started"
        try:
            self._cgroup.join()
            if self._options.rootfs is not None:
                os.chroot(self._options.rootfs)
                os.chdir("/")
            # Python ignores these, and an ignored signal stays so across exec.
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            os.execvp(command[0], command)  # noqa: S606 - that is the job
        except FileNotFoundError:
            status, words = STATUS_NOT_FOUND, f"{command[0]}: command not found"
        except PermissionError:
            status, words = STATUS_NOT_EXECUTABLE, f"{command[0]}: permission denied"
        except OSError as error:
            if error.errno == errno.ENOEXEC:
                status = STATUS_NOT_EXECUTABLE
            words = f"{command[0]}: {error.strerror}"
        finally:
            os.write(writing, f"{status} {words}".encode())
            os._exit(STATUS_FAILED)

    def _read(self, running: Tracer) -> None:
        """In the thread: take records in, and write the report now and then."""
        due = time.monotonic() + self._options.interval
        try:
            while True:
                ending = self._done.is_set()
                records = running.poll(0.0 if ending else 0.05)
                self._recorder.record(records)
                if ending and not records:
                    return
                if time.monotonic() >= due and not ending:
                    due = time.monotonic() + self._options.interval
                    self._count(running)
                    self._write()
        except Exception as error:  # told in the report, and by the caller
            LOG.debug("reading the ring", exc_info=True)
            self._failure = error

    def _count(self, running: Tracer) -> None:
        self._recorder.count(running.counters())
        for gap in running.gaps():
            self._recorder.gap(gap)

    def _leftovers(self) -> None:
        left = self._cgroup.members()
        if left:
            words = "processes outlived the command; what they did afterwards was not recorded"
            self._recorder.gap(Gap(GapCode.BLIND_SPOT, words, time.time(), len(left)))

    def _write(self) -> None:
        if self._options.report is None:
            return
        try:
            spool.write(self._options.report.resolve(), spool.report_chunks(self._recorder), sync=False)
        except spool.SpoolError as error:
            LOG.debug("writing the report: %s", error)
            if str(error) not in self._warnings:
                self._warnings.append(str(error))

    def _report(self) -> Report:
        report, containers = self._recorder.whole()
        report.containers = [_filled(shaped, ledger.observations()) for shaped, ledger in containers]
        return report


def _filled(shaped: ContainerReport, observations: Iterable[Observation]) -> ContainerReport:
    shaped.observations = {seen.key: seen for seen in observations}
    return shaped


def _wait(child: int) -> int:
    """Wait for the command and pass signals on to it."""
    while True:
        got = signal.sigwaitinfo({*_FORWARDED, signal.SIGCHLD})
        if got.si_signo == signal.SIGCHLD:
            pid, raw = os.waitpid(child, os.WNOHANG)
            if pid:
                status = os.waitstatus_to_exitcode(raw)
                return status if status >= 0 else 128 - status
            continue
        # What a terminal sends (Ctrl-C) has reached the command already: it is in the same foreground group.
        if got.si_code == _SI_KERNEL:
            continue
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, got.si_signo)


def summary(options: Options, outcome: Outcome) -> str:
    """Say in a few lines what the command used."""
    report = outcome.report
    seen = [one for container in report.containers for one in container.observations.values()]
    files = sorted({path for container in report.containers for path in container.files})
    missing = {path for container in report.containers for path in container.missing}
    programs = sorted({one.executable for one in seen if one.executable})
    lines = [
        f"snoop: {' '.join(options.command)}",
        f"  ended     with status {outcome.status} after {outcome.seconds:.1f} s",
        f"  used      {_count(len(files), 'path')}{_places(files)}",
        f"  missing   {_count(len(missing), 'path')} asked for and not there",
        f"  programs  {', '.join(programs[:4])}{f' and {len(programs) - 4} more' if len(programs) > 4 else ''}",
        f"  events    {report.total_events}, {report.dropped_events} records lost",
    ]
    if report.complete:
        lines.append("  evidence  complete: nothing was lost, and nothing seen that could not be followed")
    else:
        lines += [f"  evidence  INCOMPLETE: {gap.message} ({gap.code}, {gap.count})" for gap in report.gaps]
    if options.report is None:
        lines.append("  report    not kept: --report FILE writes it")
    elif not outcome.warnings:
        lines.append(f"  report    {options.report}")
    return "\n".join(lines)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _places(files: Sequence[str]) -> str:
    """Name the directories that most of the files lie in."""
    found: dict[str, int] = {}
    for path in files:
        top = "/".join(path.split("/")[:3]) if path.startswith("/usr/") else "/".join(path.split("/")[:2])
        found[top] = found.get(top, 0) + 1
    most = sorted(found.items(), key=lambda item: (-item[1], item[0]))[:4]
    return f" ({', '.join(f'{number} in {top}' for top, number in most)})" if most else ""
