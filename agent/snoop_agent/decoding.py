"""Records of the kernel side, as values. Whatever bytes come, there is an answer."""

import ctypes

from snoop_agent import wire
from snoop_agent.tracing import Event, NewContainer

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
