"""The system calls of tracing, by ctypes: bpf(2) on maps, programs, links and their names, and perf_event_open(2).

Layouts are those of include/uapi/linux/bpf.h and perf_event.h. Failures raise OSError.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_SYS_BPF, _SYS_PERF_EVENT_OPEN = {"x86_64": (321, 298), "aarch64": (280, 241)}.get(platform.machine(), (0, 0))

_MAP_CREATE, _MAP_LOOKUP, _MAP_UPDATE, _MAP_DELETE, _MAP_NEXT_KEY = 0, 1, 2, 3, 4
_PROG_LOAD, _OBJ_PIN, _OBJ_GET, _PROG_TEST_RUN, _GET_INFO_BY_FD, _RAW_TRACEPOINT_OPEN = 5, 6, 7, 10, 15, 17
_LINK_CREATE = 28
MAP_ARRAY, MAP_PERCPU_HASH, MAP_RINGBUF = 2, 5, 27
PROGRAM_TRACEPOINT, PROGRAM_RAW_TRACEPOINT, PROGRAM_TRACING = 5, 17, 26
TRACE_FEXIT, _PERF_EVENT = 25, 41
_PERF_TYPE_TRACEPOINT = 2
_PERF_FLAG_FD_CLOEXEC = 8
_PERF_EVENT_IOC_ENABLE, _PERF_EVENT_IOC_SET_BPF = 0x2400, 0x40042408

_u32, _u64 = ctypes.c_uint32, ctypes.c_uint64
_S = TypeVar("_S", bound=ctypes.Structure)


class _Map(ctypes.Structure):
    _fields_ = (
        ("map_type", _u32),
        ("key_size", _u32),
        ("value_size", _u32),
        ("max_entries", _u32),
        ("map_flags", _u32),
        ("inner_map_fd", _u32),
        ("numa_node", _u32),
        ("map_name", ctypes.c_char * 16),
    )


class _Object(ctypes.Structure):
    _fields_ = (("pathname", _u64), ("bpf_fd", _u32), ("file_flags", _u32))


class _Link(ctypes.Structure):
    _fields_ = (("prog_fd", _u32), ("target_fd", _u32), ("attach_type", _u32), ("flags", _u32))


class _Element(ctypes.Structure):
    _fields_ = (("map_fd", _u32), ("pad", _u32), ("key", _u64), ("value", _u64), ("flags", _u64))


class _RawTracepoint(ctypes.Structure):
    _fields_ = (("name", _u64), ("prog_fd", _u32), ("pad", _u32), ("cookie", _u64))


class _TestRun(ctypes.Structure):
    _fields_ = (
        ("prog_fd", _u32),
        ("retval", _u32),
        ("data_size_in", _u32),
        ("data_size_out", _u32),
        ("data_in", _u64),
        ("data_out", _u64),
        ("repeat", _u32),
        ("duration", _u32),
        ("ctx_size_in", _u32),
        ("ctx_size_out", _u32),
        ("ctx_in", _u64),
        ("ctx_out", _u64),
        ("flags", _u32),
        ("cpu", _u32),
        ("batch_size", _u32),
        ("pad", _u32),
    )


class _Load(ctypes.Structure):
    _fields_ = (
        ("prog_type", _u32),
        ("insn_cnt", _u32),
        ("insns", _u64),
        ("license", _u64),
        ("log_level", _u32),
        ("log_size", _u32),
        ("log_buf", _u64),
        ("kern_version", _u32),
        ("prog_flags", _u32),
        ("prog_name", ctypes.c_char * 16),
        ("prog_ifindex", _u32),
        ("expected_attach_type", _u32),
        ("prog_btf_fd", _u32),
        ("func_info_rec_size", _u32),
        ("func_info", _u64),
        ("func_info_cnt", _u32),
        ("line_info_rec_size", _u32),
        ("line_info", _u64),
        ("line_info_cnt", _u32),
        ("attach_btf_id", _u32),
        ("attach_prog_fd", _u32),
        ("pad", _u32),
    )


class _Info(ctypes.Structure):
    _fields_ = (("bpf_fd", _u32), ("info_len", _u32), ("info", _u64))


class _ProgramInfo(ctypes.Structure):
    """The head of struct bpf_prog_info, up to recursion_misses (5.12)."""

    _fields_ = (
        ("head", ctypes.c_uint8 * 192),
        ("run_time_ns", _u64),
        ("run_cnt", _u64),
        ("recursion_misses", _u64),
    )


class _MapInfo(ctypes.Structure):
    """The head of struct bpf_map_info."""

    _fields_ = (("type", _u32), ("id", _u32), ("key_size", _u32), ("value_size", _u32), ("max_entries", _u32))


class _PerfEventAttr(ctypes.Structure):
    _fields_ = (
        ("type", _u32),
        ("size", _u32),
        ("config", _u64),
        ("sample_period", _u64),
        ("rest", ctypes.c_uint8 * 88),
    )


def _bpf(command: int, attribute: ctypes.Structure) -> int:
    result = _libc.syscall(_SYS_BPF, command, ctypes.byref(attribute), ctypes.sizeof(attribute))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(result)


def _address(value: Any) -> int:
    return ctypes.addressof(value)


def map_create(kind: int, name: str, key_size: int, value_size: int, entries: int, inner: int = 0) -> int:
    """Make a map. `entries`: of a ring its bytes, a power of two of whole pages. `inner`: one of those it holds."""
    return _bpf(_MAP_CREATE, _Map(kind, key_size, value_size, entries, inner_map_fd=inner, map_name=name.encode()[:15]))


def pin(path: Path, descriptor: int) -> None:
    """Give a map, program or link a name in a bpffs: it lives until that is removed."""
    text = ctypes.create_string_buffer(os.fsencode(path))
    _bpf(_OBJ_PIN, _Object(_address(text), descriptor))


def pinned(path: Path) -> int:
    """Open what has that name."""
    text = ctypes.create_string_buffer(os.fsencode(path))
    return _bpf(_OBJ_GET, _Object(_address(text)))


def map_update(map_fd: int, key: Any, value: Any) -> None:
    """Set `key` (a ctypes value) to `value`."""
    _bpf(_MAP_UPDATE, _Element(map_fd, 0, _address(key), _address(value), 0))


def map_delete(map_fd: int, key: Any) -> None:
    """Remove `key`. OSError (ENOENT) if it is not there."""
    _bpf(_MAP_DELETE, _Element(map_fd, 0, _address(key), 0, 0))


def map_discard(map_fd: int, key: Any) -> None:
    """Remove `key`, if it is there."""
    try:
        map_delete(map_fd, key)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise


def map_lookup(map_fd: int, key: Any, value: _S | ctypes.Array[Any]) -> bool:
    """Read `key` into `value`; False if it is not there."""
    try:
        _bpf(_MAP_LOOKUP, _Element(map_fd, 0, _address(key), _address(value), 0))
    except OSError as error:
        if error.errno == errno.ENOENT:
            return False
        raise
    return True


def map_keys(map_fd: int) -> Iterator[int]:
    """Walk a map with 64-bit keys. What changes meanwhile may be missed or met twice."""
    key, following = _u64(0), _u64(0)
    attribute = _Element(map_fd, 0, 0, _address(following), 0)
    while True:
        try:
            _bpf(_MAP_NEXT_KEY, attribute)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return
            raise
        yield following.value
        key.value = following.value
        attribute.key = _address(key)


def load_program(instructions: bytes, name: str, kind: int, attach: int = 0, function: int = 0) -> int:
    """Load a program under the GPL; `function` is the BTF type ID of what `attach` (TRACE_FEXIT) hooks.

    OSError says what the verifier said last.
    """
    code = ctypes.create_string_buffer(instructions, len(instructions))
    licence = ctypes.create_string_buffer(b"GPL")
    attribute = _Load(
        prog_type=kind,
        insn_cnt=len(instructions) // 8,
        insns=_address(code),
        license=_address(licence),
        prog_name=name.encode()[:15],
        expected_attach_type=attach,
        attach_btf_id=function,
    )
    try:
        return _bpf(_PROG_LOAD, attribute)
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}{_verifier_words(attribute)}") from error


def _verifier_words(attribute: _Load) -> str:
    """Load once more, with a log. Its last lines say why: what comes after them is statistics."""
    log = ctypes.create_string_buffer(1 << 24)
    attribute.log_level, attribute.log_size, attribute.log_buf = 1, len(log), _address(log)
    with contextlib.suppress(OSError):
        os.close(_bpf(_PROG_LOAD, attribute))
    lines = [line for line in log.value.decode(errors="replace").splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith(("processed ", "verification time", "stack depth"))]
    return f" ({said[-1].strip()})" if said else ""


def attach_tracing(program_fd: int) -> int:
    """Attach a program to the function that it was loaded for; the descriptor returned holds the attachment."""
    return _bpf(_RAW_TRACEPOINT_OPEN, _RawTracepoint(0, program_fd, 0, 0))


def attach_raw_tracepoint(program_fd: int, name: str) -> int:
    """Attach; the descriptor returned holds the attachment."""
    text = ctypes.create_string_buffer(name.encode())
    return _bpf(_RAW_TRACEPOINT_OPEN, _RawTracepoint(_address(text), program_fd, 0, 0))


def attach_tracepoint(program_fd: int, identifier: int, *, link: bool = False) -> int:
    """Attach to the tracepoint of that number, on every CPU; the descriptor returned holds the attachment.

    `link`: it is one that can be pinned (5.15).
    """
    attribute = _PerfEventAttr(_PERF_TYPE_TRACEPOINT, ctypes.sizeof(_PerfEventAttr), identifier, 1)
    # A tracepoint's BPF programs run on every CPU, whichever one the event is opened on.
    opened = _libc.syscall(_SYS_PERF_EVENT_OPEN, ctypes.byref(attribute), -1, 0, -1, _PERF_FLAG_FD_CLOEXEC)
    if opened < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    try:
        if link:
            fcntl.ioctl(opened, _PERF_EVENT_IOC_ENABLE, 0)
            made = _bpf(_LINK_CREATE, _Link(program_fd, opened, _PERF_EVENT))
            os.close(opened)
            return made
        fcntl.ioctl(opened, _PERF_EVENT_IOC_SET_BPF, program_fd)
        fcntl.ioctl(opened, _PERF_EVENT_IOC_ENABLE, 0)
    except OSError:
        os.close(opened)
        raise
    return int(opened)


def run_program(program_fd: int) -> None:
    """Run a raw tracepoint program once, in this process's context (BPF_PROG_TEST_RUN, 5.10 on)."""
    context = (_u64 * 12)()
    attribute = _TestRun(prog_fd=program_fd, ctx_size_in=ctypes.sizeof(context), ctx_in=_address(context))
    _bpf(_PROG_TEST_RUN, attribute)


def map_entries(map_fd: int) -> int:
    """Tell a map's max_entries: of a ring buffer its bytes."""
    return int(_map_info(map_fd).max_entries)


def map_id(map_fd: int) -> int:
    """Tell a map's ID: no two maps have the same one."""
    return int(_map_info(map_fd).id)


def _map_info(map_fd: int) -> _MapInfo:
    info = _MapInfo()
    _bpf(_GET_INFO_BY_FD, _Info(map_fd, ctypes.sizeof(info), _address(info)))
    return info


def recursion_misses(program_fd: int) -> int:
    """How often a program was not run since it already was running on that CPU. 0 where the kernel does not say."""
    info = _ProgramInfo()
    try:
        _bpf(_GET_INFO_BY_FD, _Info(program_fd, ctypes.sizeof(info), _address(info)))
    except OSError:
        return 0
    return int(info.recursion_misses)


def possible_cpus() -> int:
    """Count the slots of a per-CPU map's value."""
    with open("/sys/devices/system/cpu/possible", encoding="ascii") as file:  # noqa: PTH123 - sysfs, one line
        last = file.read().strip().split(",")[-1].split("-")[-1]
    return int(last) + 1
