"""The ctypes mirror of bpf/snoop.h: sizes and offsets are compared with the C compiler's in a test."""

import ctypes

FORMAT = 3
NAME_MAX, COMPONENTS_MAX = 4096, 2048

READ, WRITE, CREATE, EXECUTE, MAP, STAT, READLINK, LIST, CHDIR, MODIFY, OPEN, HELD = (1 << bit for bit in range(12))

KINDS = HELD * 2 - 1
"""All of them."""

RECORD_OBJECT, RECORD_CONTAINER = 1, 2

ASKED_UNREADABLE, TRUNCATED, RESOLVED, VOLUME, DELETED, OUTSIDE, BASE_OUTSIDE, INTERPRETER = (1 << n for n in range(8))
UNCONFIRMED, EITHER = 1 << 8, 1 << 9

ASKED, BASE, TARGET, EXE = range(4)

NO_ARGUMENT = 0xFF
(
    BY_NAME,
    BY_OPEN,
    BY_OPENAT2,
    BY_FD,
    BY_EXEC,
    BY_BLIND,
    BY_RESULT,
    BY_CHDIR,
    BY_CHROOT,
    BY_FCHDIR,
    BY_SOCKET,
    BY_UNSHARE,
    BY_MOUNT,
    BY_SETNS,
) = range(1, 15)

_u8, _u16, _u32, _s32, _u64 = ctypes.c_uint8, ctypes.c_uint16, ctypes.c_uint32, ctypes.c_int32, ctypes.c_uint64


class Record(ctypes.Structure):
    """struct snoop_record; its four strings follow it."""

    _fields_ = (
        ("type", _u32),
        ("flags", _u32),
        ("kinds", _u32),
        ("error", _s32),
        ("time_ns", _u64),
        ("container", _u64),
        ("ino", _u64),
        ("dev", _u32),
        ("mount", _u32),
        ("mode", _u32),
        ("tgid", _u32),
        ("lengths", _u16 * 4),
        ("below", _u32),
        ("pad", _u32),
    )


class Call(ctypes.Structure):
    """struct snoop_call."""

    _fields_ = (
        ("kinds", _u16),
        ("how", _u8),
        ("name", _u8),
        ("dirfd", _u8),
        ("extra", _u8),
        ("second", _u8),
        ("second_dirfd", _u8),
    )


class Target(ctypes.Structure):
    """struct snoop_target."""

    _fields_ = (
        ("own", _u64),
        ("waiting", _u32),
        ("whole", _u32),
        ("root_mnt", _u64),
        ("root_dentry", _u64),
        ("keep_root", _u32),
        ("slot", _u32),
        ("runtime_ns", _u64),
        ("runtime_root", _u64),
        ("epoch", _u64),
    )


class Leaf(ctypes.Structure):
    """struct snoop_leaf."""

    _fields_ = (("target", _u64), ("container", _u64), ("slot", _u32), ("generation", _u32))


class Counters(ctypes.Structure):
    """struct snoop_counters, one per CPU."""

    _fields_ = (("events", _u64), ("records", _u64), ("lost", _u64), ("runtime", _u64), ("blind", _u64))


BUCKET = 8


class Bucket(ctypes.Structure):
    """struct snoop_bucket."""

    _fields_ = (("seen", _u64 * BUCKET),)


LEVELS, HIERARCHIES = 4, 33


class Config(ctypes.Structure):
    """struct snoop_config."""

    _fields_ = (
        ("count", _u32),
        ("levels", _u32 * LEVELS),
        ("hierarchy", _u32),
        ("generation", _u32),
        ("pad", _u32),
        ("root", _u64),
    )


CGROUP_DEPTH, CGROUP_NAME = 16, 128


class Cgroup(ctypes.Structure):
    """struct snoop_cgroup."""

    _fields_ = (("id", _u64), ("name", ctypes.c_char * CGROUP_NAME))


class Whereabouts(ctypes.Structure):
    """struct snoop_whereabouts."""

    _fields_ = (
        ("hierarchy", _u32),
        ("pad", _u32),
        ("root", _u64),
        ("runtime_ns", _u64),
        ("runtime_root", _u64),
        ("cgroups", Cgroup * CGROUP_DEPTH),
    )


SWEEP_TASKS = 32
SWEEP_NEXT, SWEEP_PLACE, SWEEP_FILE, SWEEP_MAP = range(1, 5)


class HeldTask(ctypes.Structure):
    """struct snoop_held_task."""

    _fields_ = (("task", _u64), ("container", _u64), ("tgid", _u32), ("fds", _u32), ("name", ctypes.c_char * 16))


class Sweep(ctypes.Structure):
    """struct snoop_sweep."""

    _fields_ = (
        ("step", _u32),
        ("count", _u32),
        ("task", _u64),
        ("at", _u64),
        ("next", _u64),
        ("first", _u64),
        ("done", _u32),
        ("slot", _u32),
        ("tasks", HeldTask * SWEEP_TASKS),
    )
