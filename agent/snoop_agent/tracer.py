"""Traces: starts the kernel side for one cgroup, and gives a `tracing.Tracer`. The resident half: no LLVM here."""

import contextlib
import ctypes
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from snoop_agent import bpfsys, kernel, registration, sweep, wire
from snoop_agent.decoding import decode
from snoop_agent.installation import Installation, install
from snoop_agent.plan import ATTACH_RAW, ATTACH_TRACEPOINT, ATTACH_VFS, Plan
from snoop_agent.registration import Registration
from snoop_agent.ringbuffer import RingBuffer
from snoop_agent.sharing import TARGETS, SharedInstallation
from snoop_agent.subject import Subject, Whereabouts
from snoop_agent.tracing import Counters, Event, NewContainer
from snoop_report.model import Gap, GapCode

LOG = logging.getLogger(__name__)

_GLANCE, _LOOK = 1.0, 10.0
"""Seconds to wait for the node's other agents: at the end of the pod, and before recording."""
_PERF_LINKS = (5, 15)
"""The first kernel whose attachments to tracepoints can be pinned."""
_OLDEST = (5, 10)
"""The first with all that is used: ring buffers (5.8), test runs of raw tracepoint programs (5.10)."""


class KernelTracer:
    """A `tracing.Tracer` over an installation: its own, or its node's."""

    def __init__(
        self,
        installation: Installation,
        registered: Registration,
        shared: SharedInstallation | None = None,
    ) -> None:
        self.hooks = "vfs" if installation.attach == ATTACH_VFS else "syscalls"
        self.attach = installation.attach
        self.shared = shared is not None
        self.skipped = 0
        self._installation = installation
        self._registered = registered
        self._home = shared
        self._left: list[bytes] = []
        self._ring = RingBuffer(registered.ring, registered.ring_size)
        self._since = time.time()
        self._unread = 0
        self._cpus = bpfsys.possible_cpus()
        self._missed_before, self._failed_before = self._misses(), self._failures()

    def poll(self, timeout_s: float) -> list[Event | NewContainer]:
        """See `tracing.Tracer`."""
        found = []
        raws, self._left = self._left, []
        for raw in raws or self._ring.poll(timeout_s):
            decoded = decode(raw)
            if decoded is None:
                self._unread += 1
            else:
                found.append(decoded)
        return found

    def take_in(self, ring: int) -> None:
        """Read what is left in a ring that nothing writes to any more, and close it."""
        left = RingBuffer(ring, bpfsys.map_entries(ring))
        while records := left.poll(0):
            self._left += records
        left.close()
        os.close(ring)

    def counters(self) -> Mapping[int, Counters]:
        """See `tracing.Tracer`."""
        return {container: Counters(*total[:4]) for container, total in self._totals().items() if container}

    def _totals(self) -> dict[int, tuple[int, ...]]:
        found = {}
        slots = (wire.Counters * self._cpus)()
        for container in list(bpfsys.map_keys(self._registered.counters)):
            if bpfsys.map_lookup(self._registered.counters, ctypes.c_uint64(container), slots):
                found[container] = tuple(
                    sum(getattr(slot, field) for slot in slots)
                    for field in ("events", "records", "lost", "runtime", "blind")
                )
        return found

    def _misses(self) -> int:
        return sum(bpfsys.recursion_misses(descriptor) for descriptor in self._installation.programs.values())

    def _failures(self) -> int:
        """Count records that the kernel's limit of tail calls has cut off, on the whole node."""
        counts = (ctypes.c_uint64 * self._cpus)()
        bpfsys.map_lookup(self._installation.maps["failures"], ctypes.c_uint32(0), counts)
        return sum(counts)

    def gaps(self) -> list[Gap]:
        """See `tracing.Tracer`."""
        found = []
        lacking = self._installation.lacking
        if lacking:
            words = f"this kernel lacks what Snoop hooks: {', '.join(lacking)}"
            found.append(Gap(GapCode.BLIND_SPOT, words, self._since, len(lacking)))
        for container, total in self._totals().items():
            if total[4]:
                found.append(
                    Gap(
                        GapCode.BLIND_SPOT,
                        "32-bit code, io_uring or file handles were in use: what was opened that way is not known",
                        self._since,
                        total[4],
                        str(container) if container else "",
                    )
                )
            if not container and total[2]:
                words = "records of containers beyond those that are counted apart found no room in the ring buffer"
                found.append(Gap(GapCode.RECORDS_LOST, words, self._since, total[2]))
        if not (self._registered.intact and (self._home is None or self._home.intact)):
            words = "what this node's agents share was removed, or taken, from under this one: it sees nothing any more"
            found.append(Gap(GapCode.NOT_TRACING, words, self._since))
        self.skipped = max(0, self._misses() - self._missed_before)
        if self._unread:
            words = "records of the kernel side could not be read"
            found.append(Gap(GapCode.RECORDS_LOST, words, self._since, self._unread))
        if failed := self._failures() - self._failed_before:
            found.append(Gap(GapCode.RECORDS_LOST, "the kernel ended a tracing program early", self._since, failed))
        if self.skipped:
            words = "the kernel skipped runs of a tracing program"
            found.append(Gap(GapCode.RECORDS_LOST, words, self._since, self.skipped))
        return found

    def add(self, subject: Subject) -> None:
        """Trace another cgroup, of the same hierarchy as the first."""
        self._registered.add(subject)

    def remove(self, cgroup: int) -> None:
        """Stop tracing the cgroup of that ID."""
        self._registered.remove(cgroup)

    def alive(self) -> set[int]:
        """See `tracing.Tracer`."""
        with self._alone(_GLANCE):
            return {task.container for task in sweep.tasks(self._installation, self._registered.slot)}

    def sweep(self) -> None:
        """Tell what the processes that are there hold: it comes as records of kind HELD."""
        with self._alone(_LOOK):
            sweep.tell(self._installation, self._registered.slot)

    def _alone(self, patience_s: float) -> contextlib.AbstractContextManager[None]:
        """Keep the node's other agents from the maps through which questions are asked. KernelError if they do not."""
        return self._home.locked(patience_s) if self._home is not None else contextlib.nullcontext()

    def close(self) -> None:
        """See `tracing.Tracer`."""
        self._ring.close()
        if self._home is not None:
            self._home.close()
        else:
            self._registered.close()
            self._installation.close()


BESIDE_OTHERS = (ATTACH_VFS, ATTACH_TRACEPOINT, ATTACH_RAW)
"""Ways of attaching, best first, for an agent that lives beside production: fexit sees most and costs other calls
nothing; per-call tracepoints cost what is not traced less than raw ones do. Detaching them takes the kernel 70 ms each.
"""


def ways(wanted: str, order: Sequence[str]) -> list[str]:
    """Ways of attaching to try, best first. `wanted` is `auto` or one of them."""
    if wanted != "auto":
        return [wanted]
    found = [way for way in order if way != ATTACH_TRACEPOINT or kernel.may_open_perf_events()]
    # A skipped run is a touch that nobody hears of: the report has a gap then.
    return sorted(found, key=_may_be_skipped) if kernel.is_preemptible() else found


def _may_be_skipped(way: str) -> bool:
    """Whether a preemptible kernel skips a program's run while another task was preempted in the same program.

    So it is with fexit (migrate_disable in __bpf_prog_enter_recur), and with raw tracepoints since they are guarded by
    SRCU (about 7.0; seen on 7.2). Tracepoints by perf run with preemption switched off, until those of system calls
    may sleep (trace_call_bpf_faultable in kernel/trace/bpf_trace.c; read and seen in 7.2).
    """
    if way == ATTACH_TRACEPOINT:
        return kernel.knows("trace_call_bpf_faultable")
    return way == ATTACH_VFS or (way == ATTACH_RAW and kernel.version() >= (7, 0))


def start_tracer(
    find: Callable[[Whereabouts], Subject],
    *,
    attach: str = "auto",
    order: Sequence[str] = BESIDE_OTHERS,
    plan: Plan | None = None,
    scratch: Path | None = None,
    pins: Path | None = None,
) -> KernelTracer:
    """Compile, load and attach. `find` is given this process's cgroups and says what to trace.

    `pins`: a directory in a bpffs where the agents of a node share what they load. If that cannot be, this one loads
    its own, and says so in the log.

    It is asked for cgroup v2, then for each of v1's controllers until it raises no KernelError.
    `attach`: `auto`, `fexit`, `tracepoint` or `raw_tp`. KernelError says in one line why this machine cannot be traced.
    """
    kernel.machine()
    if kernel.version() < _OLDEST:
        raise kernel.KernelError(f"kernel {kernel.release()} is too old: Snoop needs 5.10 or newer")
    if not kernel.may_trace():
        raise kernel.KernelError("tracing needs CAP_BPF and CAP_PERFMON (or root)")
    if not kernel.BTF_PATH.exists():
        kernel.Btf.of_running_kernel()  # says what is missing
    first = plan or Plan(ATTACH_RAW)
    problem: kernel.KernelError | None = None
    tries = [replace(first, attach=way) for way in ways(attach, order)]
    if ATTACH_VFS in [one.attach for one in tries] and len(tries) > 1:
        # Without some of its hooks it is worth less than another way that has all.
        tries = [replace(one, strict=one.attach == ATTACH_VFS) for one in tries] + [replace(first, attach=ATTACH_VFS)]
    where = [pins, None] if pins is not None else [None]
    for directory in where:
        for one in tries:
            if directory is not None and one.attach == ATTACH_TRACEPOINT and kernel.version() < _PERF_LINKS:
                problem = problem or kernel.KernelError("tracepoints cannot be shared before Linux 5.15")
                continue
            try:
                return _start(find, one, scratch) if directory is None else _share(find, one, scratch, directory)
            except kernel.KernelError as error:
                LOG.debug("attaching by %s: %s", one.attach, error)
                # Where fexit is refused the next way is as good, and its problem is the one to tell.
                problem = error if problem is None or one.attach != ATTACH_VFS else problem
        if directory is not None:
            LOG.warning("the programs cannot be shared with this node's other agents: %s", problem)
    assert problem is not None
    raise problem


def _start(find: Callable[[Whereabouts], Subject], plan: Plan, scratch: Path | None) -> KernelTracer:
    installation = install(plan, scratch)
    try:
        here, subject = registration.locate(installation, find)
        registration.configure(installation, here=here)
        tracer = KernelTracer(installation, registration.register(installation, plan, shared=False))
        # Last: nothing is recorded before it can be read.
        tracer.add(subject)
    except OSError as error:
        installation.close()
        raise kernel.KernelError(f"cannot trace by {plan.attach}: {error.strerror}") from error
    except BaseException:
        installation.close()
        raise
    return tracer


def _share(find: Callable[[Whereabouts], Subject], plan: Plan, scratch: Path | None, directory: Path) -> KernelTracer:
    shared = SharedInstallation(directory, replace(plan, targets=TARGETS))
    try:
        with shared.locked():
            installation = shared.open(scratch)
            here, subject = registration.locate(installation, find)
            registration.configure(installation, here=here)
            registered = registration.register(installation, shared.plan, shared=True)
            shared.own(registered)
            tracer = KernelTracer(installation, registered, shared)
            before = shared.take_over(subject.cgroup)
            tracer.add(subject)
            if before is not None:
                tracer.take_in(before)
            shared.keep(subject.cgroup)
    except OSError as error:
        shared.close()
        raise kernel.KernelError(f"cannot trace by {plan.attach}: {error.strerror}") from error
    except BaseException:
        shared.close()
        raise
    return tracer
