"""Attaches the kernel side to one cgroup and decodes what it says. The resident half: no LLVM here.

`start_tracer` compiles in a child (`compiler`), finds the cgroup to trace, attaches, and gives a `tracing.Tracer`.
"""

import contextlib
import ctypes
import errno
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from snoop_agent import bpfsys, kernel, programs, sweep, syscalls, wire
from snoop_agent.compiler import ATTACH_RAW, ATTACH_TRACEPOINT, ATTACH_VFS, Loaded, Plan, compile_programs
from snoop_agent.tracing import Counters, Event, NewContainer
from snoop_report.model import Gap, GapCode

LOG = logging.getLogger(__name__)

_OLDEST = (5, 10)
"""The first with all that is used: ring buffers (5.8), test runs of raw tracepoint programs (5.10)."""
_CROWDED = "another 63 tracing programs already sit on tracepoint {name}; end one of them, or use raw_tp"


@dataclass(frozen=True, slots=True)
class Place:
    """One cgroup on the way from a process's own to the hierarchy's root."""

    identifier: int
    name: str


@dataclass(frozen=True, slots=True)
class Subject:
    """What to trace."""

    cgroup: int
    """ID of the cgroup: a pod's, or a command's own."""
    level: int
    """Its depth below the hierarchy's root."""
    own: int = 0
    """ID of the agent's own container, never recorded."""
    whole: bool = False
    """The cgroup is one container, not a pod of them."""
    waiting: bool = False
    """Nothing counts before the first exec in it."""
    keep_root: bool = False
    """The root directory at the first exec is where paths end."""
    runtime: int = 0
    """Mount namespace (a kernel address) of the container runtime, whose doings do not count. 0: unknown."""
    runtime_root: int = 0
    """And its root directory."""


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where this process lives, in one cgroup hierarchy."""

    hierarchy: int
    """0: cgroup v2; N + 1: that of v1's controller N."""
    places: list[Place]
    """From its own cgroup to the root."""
    runtime: int
    """Mount namespace of whoever started its container. 0: nobody above it lives in another one."""
    runtime_root: int = 0
    """And their root directory."""


def pod_subject(here: Whereabouts, pod_uid: str) -> Subject:
    """Find the pod's cgroup above this process: the one that carries its UID, else the container's parent.

    Drivers write the UID as `pod<uid>` (cgroupfs) or `kubepods-…-pod<uid with _>.slice` (systemd).
    """
    places, depth = here.places, len(here.places) - 1
    marks = {f"pod{pod_uid}", f"pod{pod_uid.replace('-', '_')}"} if pod_uid else set()
    found = next((at for at, place in enumerate(places) if any(mark in place.name for mark in marks)), 1)
    if depth < 2 or found == 0:
        raise kernel.KernelError("this container's cgroup has no pod above it: is the agent running in a pod?")
    return Subject(
        cgroup=places[found].identifier,
        level=depth - found,
        own=places[found - 1].identifier,
        runtime=here.runtime,
        runtime_root=here.runtime_root,
    )


class KernelTracer:
    """A `tracing.Tracer` over loaded programs."""

    def __init__(
        self, loaded: Loaded, attach: str, ring: bpfsys.RingBuffer, links: list[int], lacking: list[str]
    ) -> None:
        self.hooks = "vfs" if attach == ATTACH_VFS else "syscalls"
        self.attach = attach
        self._loaded = loaded
        self._ring = ring
        self._links = links
        self._lacking = lacking
        self._since = time.time()
        self._unread = 0
        self._cpus = bpfsys.possible_cpus()

    def poll(self, timeout_s: float) -> list[Event | NewContainer]:
        """See `tracing.Tracer`."""
        found = []
        for raw in self._ring.poll(timeout_s):
            decoded = decode(raw)
            if decoded is None:
                self._unread += 1
            else:
                found.append(decoded)
        return found

    def counters(self) -> Mapping[int, Counters]:
        """See `tracing.Tracer`."""
        return {container: Counters(*total[:4]) for container, total in self._totals().items()}

    def _totals(self) -> dict[int, tuple[int, ...]]:
        found = {}
        slots = (wire.Counters * self._cpus)()
        for container in list(bpfsys.map_keys(self._loaded.maps["counters"])):
            if bpfsys.map_lookup(self._loaded.maps["counters"], ctypes.c_uint64(container), slots):
                found[container] = tuple(
                    sum(getattr(slot, field) for slot in slots)
                    for field in ("events", "records", "lost", "runtime", "blind")
                )
        return found

    def gaps(self) -> list[Gap]:
        """See `tracing.Tracer`."""
        found = []
        if self._lacking:
            found.append(
                Gap(
                    GapCode.BLIND_SPOT,
                    f"this kernel lacks what Snoop hooks: {', '.join(self._lacking)}",
                    self._since,
                    len(self._lacking),
                )
            )
        for container, total in self._totals().items():
            if total[4]:
                found.append(
                    Gap(
                        GapCode.BLIND_SPOT,
                        "32-bit code, io_uring or file handles were in use: what was opened that way is not known",
                        self._since,
                        total[4],
                        str(container),
                    )
                )
        misses = sum(bpfsys.recursion_misses(descriptor) for descriptor in self._loaded.programs.values())
        if self._unread:
            words = "records of the kernel side could not be read"
            found.append(Gap(GapCode.RECORDS_LOST, words, self._since, self._unread))
        if misses:
            found.append(Gap(GapCode.RECORDS_LOST, "the kernel skipped runs of a tracing program", self._since, misses))
        return found

    def add(self, subject: Subject) -> None:
        """Trace another cgroup, of the same depth and hierarchy as the first."""
        target = wire.Target(
            own=subject.own,
            waiting=subject.waiting,
            whole=subject.whole,
            keep_root=subject.keep_root,
            runtime_ns=subject.runtime,
            runtime_root=subject.runtime_root,
        )
        bpfsys.map_update(self._loaded.maps["targets"], ctypes.c_uint64(subject.cgroup), target)

    def remove(self, cgroup: int) -> None:
        """Stop tracing the cgroup of that ID."""
        bpfsys.map_delete(self._loaded.maps["targets"], ctypes.c_uint64(cgroup))

    def alive(self) -> set[int]:
        """See `tracing.Tracer`."""
        return {task.container for task in sweep.tasks(self._loaded)}

    def sweep(self) -> None:
        """Tell what the processes that are there hold: it comes as records of kind HELD."""
        sweep.tell(self._loaded)

    def close(self) -> None:
        """See `tracing.Tracer`."""
        for link in self._links:
            with contextlib.suppress(OSError):
                os.close(link)
        self._links.clear()
        self._ring.close()
        self._loaded.close()


_HEAD = ctypes.sizeof(wire.Record)


def _walked(raw: bytes) -> bytes:
    """`passwd/etc/` → `/etc/passwd`."""
    if not raw:
        return b"/"
    return b"/" + b"/".join(reversed(raw.split(b"/")[:-1]))


def decode(raw: bytes) -> Event | NewContainer | None:
    """Read one record. None if the kernel side cannot have written it.

    Too short, lengths that do not add up, a type or kinds that there are not, a cgroup ID beyond 63 bits, a NUL in a
    name that was read as a string.
    """
    if len(raw) < _HEAD:
        return None
    record = wire.Record.from_buffer_copy(raw)
    lengths = list(record.lengths)
    # The ring rounds sizes up to 8 bytes, so there may be more than the strings, never less.
    if _HEAD + sum(lengths) > len(raw):
        return None
    strings, at = [], _HEAD
    for length in lengths:
        strings.append(raw[at : at + length])
        at += length
    asked, base, target, executable = strings
    if b"\0" in asked or record.kinds & ~wire.KINDS or record.container >> 63:
        return None
    if record.type == wire.RECORD_CONTAINER:
        return NewContainer(record.container, _walked(asked), record.time_ns)
    if record.type != wire.RECORD_OBJECT:
        return None
    return Event(
        container=record.container,
        kinds=record.kinds,
        error=record.error,
        flags=record.flags,
        time_ns=record.time_ns,
        dev=record.dev,
        ino=record.ino,
        mount=record.mount,
        mode=record.mode,
        tgid=record.tgid,
        asked=asked,
        base=b"" if record.flags & wire.BASE_OUTSIDE and not base else _walked(base),
        target=_walked(target) if record.flags & wire.RESOLVED else b"",
        executable=_walked(executable) if executable else b"",
        below=record.below - 1,
    )


BESIDE_OTHERS = (ATTACH_VFS, ATTACH_TRACEPOINT, ATTACH_RAW)
"""Ways of attaching, best first, for an agent that lives beside production: fexit sees most and costs other calls
nothing; per-call tracepoints cost what is not traced less than raw ones do. Detaching them takes the kernel 70 ms each.
"""


def ways(wanted: str, order: Sequence[str]) -> list[str]:
    """Ways of attaching to try, best first. `wanted` is `auto` or one of them."""
    if wanted != "auto":
        return [wanted]
    return [way for way in order if way != ATTACH_TRACEPOINT or kernel.may_open_perf_events()]


def start_tracer(
    find: Callable[[Whereabouts], Subject],
    *,
    attach: str = "auto",
    order: Sequence[str] = BESIDE_OTHERS,
    plan: Plan | None = None,
    scratch: Path | None = None,
) -> KernelTracer:
    """Compile, load and attach. `find` is given this process's cgroups and says what to trace.

    It is asked for cgroup v2, then for each of v1's controllers until it raises no KernelError.
    `attach`: `auto`, `fexit`, `tracepoint` or `raw_tp`. KernelError says in one line why this machine cannot be traced.
    """
    if not kernel.may_trace():
        raise kernel.KernelError("tracing needs CAP_BPF and CAP_PERFMON (or root)")
    kernel.machine()
    if kernel.version() < _OLDEST:
        raise kernel.KernelError(f"kernel {kernel.release()} is too old: Snoop needs 5.10 or newer")
    if not kernel.BTF_PATH.exists():
        kernel.Btf.of_running_kernel()  # says what is missing
    first = plan or Plan(ATTACH_RAW)
    problem: kernel.KernelError | None = None
    tries = [replace(first, attach=way) for way in ways(attach, order)]
    if ATTACH_VFS in [one.attach for one in tries] and len(tries) > 1:
        # Without some of its hooks it is worth less than another way that has all.
        tries = [replace(one, strict=one.attach == ATTACH_VFS) for one in tries] + [replace(first, attach=ATTACH_VFS)]
    for one in tries:
        try:
            return _start(find, one, scratch)
        except kernel.KernelError as error:
            LOG.debug("attaching by %s: %s", one.attach, error)
            # Where fexit is refused the next way is as good, and its problem is the one to tell.
            problem = error if problem is None or one.attach != ATTACH_VFS else problem
    assert problem is not None
    raise problem


def _start(find: Callable[[Whereabouts], Subject], plan: Plan, scratch: Path | None) -> KernelTracer:
    loaded = compile_programs(plan, scratch)
    links: list[int] = []
    ring = None
    try:
        _fill(loaded, plan)
        here, subject = _locate(loaded, find)
        levels = (ctypes.c_uint32 * wire.LEVELS)(subject.level)
        config = wire.Config(1, levels, here.hierarchy)
        bpfsys.map_update(loaded.maps["configs"], ctypes.c_uint32(0), config)
        ring = bpfsys.RingBuffer(loaded.maps["ring"])
        lacking = _attach(loaded, plan, links)
        tracer = KernelTracer(loaded, plan.attach, ring, links, lacking)
        # Last: nothing is recorded by half the hooks.
        tracer.add(subject)
    except BaseException as error:
        for link in links:
            os.close(link)
        if ring is not None:
            ring.close()
        loaded.close()
        if isinstance(error, OSError):
            raise kernel.KernelError(f"cannot attach by {plan.attach}: {error.strerror}") from error
        raise
    return tracer


def _fill(loaded: Loaded, plan: Plan) -> None:
    """Set the tables that the programs read: system calls and tail calls."""
    architecture = kernel.machine()
    tables = (("calls", syscalls.numbers(architecture)), ("calls32", syscalls.numbers32(architecture)))
    for table, rows in tables:
        for number, call in rows.items():
            if (call.label == "io_uring_setup" and loaded.uring) or not _wants(plan, call):
                continue
            row = wire.Call(call.kinds, call.how, call.name, call.dirfd, call.extra, call.second, call.second_dirfd)
            bpfsys.map_update(loaded.maps[table], ctypes.c_uint32(number), row)
    for table, tails in programs.tails(plan.attach).items():
        for index, label in tails.items():
            if label in loaded.programs:
                program = ctypes.c_uint32(loaded.programs[label])
                bpfsys.map_update(loaded.maps[table], ctypes.c_uint32(index), program)


def _wants(plan: Plan, call: syscalls.Call) -> bool:
    """Whether to listen to a call: the optional ones only where they cost no hook of their own, or are asked for."""
    return not call.optional or plan.maps


def _locate(loaded: Loaded, find: Callable[[Whereabouts], Subject]) -> tuple[Whereabouts, Subject]:
    """Ask `find` in one hierarchy after another."""
    problem: kernel.KernelError | None = None
    for hierarchy in range(wire.HIERARCHIES):
        here = _whereabouts(loaded, hierarchy)
        try:
            return here, find(here)
        except kernel.KernelError as error:
            problem = problem or error
    assert problem is not None
    raise problem


def _whereabouts(loaded: Loaded, hierarchy: int) -> Whereabouts:
    key = ctypes.c_uint32(0)
    bpfsys.map_update(loaded.maps["whereabouts"], key, wire.Whereabouts(hierarchy=hierarchy))
    bpfsys.run_program(loaded.programs["snoop_whereabouts"])
    found = wire.Whereabouts()
    bpfsys.map_lookup(loaded.maps["whereabouts"], key, found)
    places = [Place(one.id, one.name.decode(errors="replace")) for one in found.cgroups if one.id]
    return Whereabouts(hierarchy, places, found.runtime_ns, found.runtime_root)


def _attach(loaded: Loaded, plan: Plan, links: list[int]) -> list[str]:
    """Attach everything; `links` collects the descriptors. Returns the hooks that this kernel lacks."""
    lacking = list(loaded.lacking)
    # Exec first: what it tells (the container's first instruction) cannot be learned later.
    links.append(bpfsys.attach_raw_tracepoint(loaded.programs[programs.EXEC], "sched_process_exec"))
    if plan.attach == ATTACH_VFS:
        links.extend(bpfsys.attach_tracing(loaded.programs[name]) for name in programs.VFS if name in loaded.programs)
        return lacking
    links.append(bpfsys.attach_raw_tracepoint(loaded.programs[programs.FORK], "sched_process_fork"))
    if loaded.uring:
        links.append(bpfsys.attach_raw_tracepoint(loaded.programs[programs.URING], loaded.uring))
    program = loaded.programs[programs.SYS_EXIT]
    if plan.attach == ATTACH_RAW:
        links.append(bpfsys.attach_raw_tracepoint(program, "sys_exit"))
        return lacking
    for call in syscalls.numbers(kernel.machine()).values():
        name = call.exit_tracepoint
        identifier = loaded.tracepoints.get(name)
        if not _wants(plan, call) or (call.label == "io_uring_setup" and loaded.uring):
            continue
        if identifier is None:
            if not call.recent:
                lacking.append(name)
            continue
        try:
            links.append(bpfsys.attach_tracepoint(program, identifier))
        except OSError as error:
            if error.errno == errno.E2BIG:
                raise kernel.KernelError(_CROWDED.format(name=name)) from error
            raise
    return lacking
