"""The running kernel: what its BTF says of types and functions, and what else decides how to trace.

BTF is parsed here rather than dumped as C: BCC lays some kernel types out wrongly (runs of 64-bit padding, 1-byte
enums), while an offset read from BTF cannot be wrong. Format: Documentation/bpf/btf.rst in the kernel.
"""

import ctypes
import os
import platform
import re
import struct
import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BTF_PATH = Path(os.environ.get("SNOOP_BTF") or "/sys/kernel/btf/vmlinux")
"""The kernel's types. SNOOP_BTF names another file: a kernel that carries none can be described by one."""
ARCHITECTURES = ("x86_64", "aarch64")

_KIND_POINTER, _KIND_ARRAY, _KIND_STRUCT, _KIND_UNION, _KIND_ENUM, _KIND_TYPEDEF = 2, 3, 4, 5, 6, 8
_KIND_FUNC, _KIND_PROTO, _KIND_LAST = 12, 13, 19
_HEADER = struct.Struct("<HBBIIIII")
_MODIFIERS = frozenset({8, 9, 10, 11, 18})  # typedef, volatile, const, restrict, type_tag


class KernelError(Exception):
    """Why this kernel cannot be traced, and what to do."""


@dataclass(frozen=True, slots=True)
class Member:
    """Where a member lies: bytes from the start of its outermost struct, and its own size in bytes."""

    offset: int
    size: int


class Btf:
    """Look-ups in a BTF blob. Parsing is one pass over ~150,000 types; only their positions are kept."""

    def __init__(self, raw: bytes) -> None:
        if len(raw) < _HEADER.size:
            raise KernelError("the kernel's BTF is cut short")
        magic, _, _, header, type_offset, type_length, string_offset, string_length = _HEADER.unpack_from(raw)
        if magic != 0xEB9F:
            raise KernelError("the kernel's BTF is not little-endian BTF")
        if header + max(type_offset + type_length, string_offset + string_length) > len(raw):
            raise KernelError("the kernel's BTF is cut short")
        self._raw = raw
        self._strings = header + string_offset
        self._strings_end = self._strings + string_length
        self._positions = array("I", [0])
        self._named: dict[int, list[int]] = {}
        at, end = header + type_offset, header + type_offset + type_length
        head = struct.Struct("<III").unpack_from
        # Bytes after the 12-byte head: fixed, and for each of vlen.
        fixed = {1: 4, 3: 12, 14: 4, 17: 4}
        each = {4: 12, 5: 12, 6: 8, 13: 8, 15: 12, 19: 12}
        wanted = frozenset({_KIND_STRUCT, _KIND_UNION, _KIND_ENUM, _KIND_TYPEDEF, _KIND_FUNC})
        positions, named = self._positions, self._named
        while at < end:
            name, info, _ = head(raw, at)
            kind = info >> 24 & 0x1F
            if not 0 < kind <= _KIND_LAST:
                raise KernelError(
                    f"the kernel's BTF has types of kind {kind}, which Snoop cannot read; please report it"
                )
            if kind in wanted and name:
                named.setdefault(name, []).append(len(positions))
            positions.append(at)
            at += 12 + fixed.get(kind, 0) + each.get(kind, 0) * (info & 0xFFFF)

    @classmethod
    def of_running_kernel(cls, path: Path = BTF_PATH) -> "Btf":
        """Read the kernel's own BTF. KernelError if it has none."""
        try:
            raw = path.read_bytes()
        except FileNotFoundError as error:
            raise KernelError(
                f"no BTF: {path} does not exist. Snoop needs a kernel built with CONFIG_DEBUG_INFO_BTF=y"
            ) from error
        except OSError as error:
            raise KernelError(f"cannot read the kernel's BTF: {error}") from error
        return cls(raw)

    def function(self, name: str) -> int:
        """Find a function: its type ID, as BPF_PROG_LOAD wants it. 0 if BTF knows none of this name."""
        return next((one for one in self._by_name(name) if self._kind(one) == _KIND_FUNC), 0)

    def struct(self, name: str) -> int:
        """Find a struct: its type ID. 0 if BTF knows none of this name."""
        return next((one for one in self._by_name(name) if self._kind(one) == _KIND_STRUCT), 0)

    def enumeration(self, name: str) -> dict[str, int]:
        """List an enum's values. Empty if it is not there."""
        for one in self._by_name(name):
            if self._kind(one) == _KIND_ENUM:
                at, count = self._positions[one] + 12, self._head(one)[1] & 0xFFFF
                pairs = (struct.unpack_from("<Ii", self._raw, at + index * 8) for index in range(count))
                return {self._name(offset): value for offset, value in pairs}
        return {}

    def tracepoint_arguments(self, name: str) -> list[str]:
        """Name the structs that a raw tracepoint's arguments point to; empty strings for other types."""
        for one in self._by_name(f"btf_trace_{name}"):
            proto = self._strip(self._pointee(self._strip(one)))
            if self._kind(proto) != _KIND_PROTO:
                continue
            at, count = self._positions[proto] + 12, self._head(proto)[1] & 0xFFFF
            kinds = [struct.unpack_from("<II", self._raw, at + index * 8)[1] for index in range(1, count)]
            return [self._struct_name(self._pointee(self._strip(kind))) for kind in kinds]
        return []

    def _kind(self, type_id: int) -> int:
        return self._head(type_id)[1] >> 24 & 0x1F if type_id else 0

    def _pointee(self, type_id: int) -> int:
        return self._head(type_id)[2] if self._kind(type_id) == _KIND_POINTER else 0

    def _struct_name(self, type_id: int) -> str:
        stripped = self._strip(type_id)
        return self._name(self._head(stripped)[0]) if self._kind(stripped) == _KIND_STRUCT else ""

    def member(self, struct_name: str, path: str) -> Member | None:
        """Find `path` (dotted) in a struct, also through its anonymous members. None if it is not there."""
        for one in self._by_name(struct_name):
            if self._kind(one) == _KIND_STRUCT:
                found = self._find(one, path.split("."))
                if found is not None:
                    return found
        return None

    def _by_name(self, name: str) -> Iterator[int]:
        needle = b"\0" + name.encode() + b"\0"
        at = self._raw.find(needle, self._strings, self._strings_end)
        while at >= 0:
            yield from self._named.get(at + 1 - self._strings, ())
            at = self._raw.find(needle, at + 1, self._strings_end)

    def _head(self, type_id: int) -> tuple[int, int, int]:
        name, info, size = struct.unpack_from("<III", self._raw, self._positions[type_id])
        return name, info, size

    def _strip(self, type_id: int) -> int:
        while type_id:
            _, info, target = self._head(type_id)
            if info >> 24 & 0x1F not in _MODIFIERS:
                break
            type_id = target
        return type_id

    def _name(self, offset: int) -> str:
        start = self._strings + offset
        return self._raw[start : self._raw.index(b"\0", start)].decode()

    def _find(self, type_id: int, path: list[str]) -> Member | None:
        _, info, _ = self._head(type_id)
        bitfields = info >> 31
        base = self._positions[type_id] + 12
        for index in range(info & 0xFFFF):
            name_at, member_type, bits = struct.unpack_from("<III", self._raw, base + index * 12)
            offset = (bits & 0xFFFFFF if bitfields else bits) // 8
            if bitfields and bits >> 24:
                continue  # a bit field has no offset in bytes
            name = self._name(name_at)
            inner = self._strip(member_type)
            kind = self._head(inner)[1] >> 24 & 0x1F if inner else 0
            if name == path[0] and len(path) == 1:
                return Member(offset, self._size(inner))
            rest = path if not name else path[1:] if name == path[0] else None
            if rest and kind in (_KIND_STRUCT, _KIND_UNION):
                found = self._find(inner, rest)
                if found is not None:
                    return Member(offset + found.offset, found.size)
        return None

    def _size(self, type_id: int) -> int:
        if not type_id:
            return 0
        _, info, size = self._head(type_id)
        kind = info >> 24 & 0x1F
        if kind == _KIND_POINTER:
            return 8
        if kind == _KIND_ARRAY:
            element, _, count = struct.unpack_from("<III", self._raw, self._positions[type_id] + 12)
            return self._size(self._strip(element)) * int(count)
        return size


def machine() -> str:
    """Name the CPU architecture. KernelError if Snoop has no table for it."""
    found = platform.machine()
    if found not in ARCHITECTURES:
        raise KernelError(f"architecture {found} is not supported (x86_64 and aarch64 are)")
    return found


def boot_time() -> float:
    """Seconds since the epoch at which CLOCK_BOOTTIME was zero."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def version() -> tuple[int, int]:
    """Tell the running kernel's version, as far as Snoop goes by it: most is looked up in BTF."""
    found = re.match(r"(\d+)\.(\d+)", release())
    return (int(found[1]), int(found[2])) if found else (0, 0)


def release() -> str:
    """Name the kernel as `uname -r` does."""
    return os.uname().release


def is_preemptible() -> bool:
    """Whether kernel code, BPF programs included, may be preempted here. True if that cannot be told."""
    told = _text("/sys/kernel/debug/sched/preempt")
    # From 7.0 on none and voluntary are refused: a command line that asks for them changes nothing.
    return preempts(os.uname().version, told, _text("/proc/cmdline") if version() < (7, 0) else "")


def preempts(built: str, mode: str, command_line: str) -> bool:
    """Judge by `uname -v`, the scheduler's debug file (may be empty: a pod does not see it) and the command line."""
    if "PREEMPT" not in built:
        return False
    if "PREEMPT_DYNAMIC" not in built:
        return True
    # The mode in force stands in brackets: `none (voluntary) full lazy`.
    told = re.search(r"\((\w+)\)", mode)
    chosen = told[1] if told else next(iter(re.findall(r"(?:^|\s)preempt=(\w+)", command_line)[::-1]), "")
    return chosen not in ("none", "voluntary")


def knows(name: str, path: Path = BTF_PATH) -> bool:
    """Whether the kernel's BTF has that name at all; False where there is no BTF. Far cheaper than reading it whole."""
    needle, before = b"\0" + name.encode() + b"\0", b""
    try:
        with path.open("rb") as btf:
            while piece := btf.read(1 << 18):
                if needle in before + piece:
                    return True
                before = piece[-len(needle) :]
    except OSError:
        pass
    return False


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


_CAP_SYS_ADMIN, _CAP_PERFMON, _CAP_BPF = 21, 38, 39
_CLONE_NEWNS, _MS_REC_PRIVATE = 0x00020000, 0x4000 | 0x40000


def capabilities() -> int:
    """Effective capabilities of this process, as a bit set (capabilities(7))."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def may_trace() -> bool:
    """Whether this process may load tracing programs: CAP_BPF with CAP_PERFMON, or CAP_SYS_ADMIN."""
    held = capabilities()
    both = 1 << _CAP_BPF | 1 << _CAP_PERFMON
    return held & both == both or bool(held & 1 << _CAP_SYS_ADMIN)


def may_open_perf_events() -> bool:
    """Whether per-syscall tracepoints can be attached: Debian's level 3 refuses all but CAP_SYS_ADMIN."""
    try:
        level = int(Path("/proc/sys/kernel/perf_event_paranoid").read_text())
    except (OSError, ValueError):
        return False
    return level < 3 or bool(capabilities() & 1 << _CAP_SYS_ADMIN)


def mount_tracefs_privately(where: Path) -> None:
    """Mount tracefs in a mount namespace of this process's own. OSError without CAP_SYS_ADMIN."""
    libc = ctypes.CDLL(None, use_errno=True)

    def check(result: int) -> None:
        if result != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    check(libc.unshare(_CLONE_NEWNS))
    check(libc.mount(b"none", b"/", None, ctypes.c_ulong(_MS_REC_PRIVATE), None))
    check(libc.mount(b"nodev", os.fsencode(where), b"tracefs", ctypes.c_ulong(0), None))
