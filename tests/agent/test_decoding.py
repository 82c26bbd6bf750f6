"""What holds for any record: as bytes, as an event, and as what it tells."""

import errno
import re
import struct
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from snoop_agent import wire
from snoop_agent.decoding import decode
from snoop_agent.recorder import Recorder
from snoop_agent.sightings import interpret
from snoop_agent.tracing import Event, NewContainer
from snoop_report.codec import dumps_report, loads_report
from snoop_report.model import GapCode, Kind, Outcome

EXCLUDE = (b"/proc/", b"/sys/", b"/dev/")
# struct snoop_record, written down once more: type flags kinds error, time container ino, dev mount mode tgid, lengths,
# below, padding.
HEAD = struct.Struct("<IIIi QQQ IIII 4H II")

NAMES = (
    st.binary(min_size=1, max_size=6).map(lambda raw: re.sub(rb"[\0/]", b"-", raw))
    | st.sampled_from([b"etc", b"proc", b"dev", b"passwd", b"\xff\n", b"a" * 255, b"..."])
).filter(lambda name: name not in (b".", b".."))
STEPS = st.lists(NAMES, max_size=5) | st.lists(NAMES, min_size=1, max_size=2).map(lambda steps: [b"proc", *steps])
ASKED = st.builds(
    lambda start, parts, end: start + b"/".join(parts) + end,
    st.sampled_from([b"", b"/", b"//", b"/proc/self/root", b"/proc/self/root/", b"/proc/7/root/", b"/dev/fd/3/"]),
    st.lists(NAMES | st.sampled_from([b".", b"..", b""]), max_size=6),
    st.sampled_from([b"", b"/", b"/."]),
)
ERRORS = (
    st.just(0) | st.sampled_from([-errno.ENOENT, -errno.EACCES, -errno.EEXIST, -errno.EINVAL]) | st.integers(-4095, 0)
)
U64, U32 = st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1)
ALL_KINDS, ALL_FLAGS = wire.HELD * 2 - 1, wire.EITHER * 2 - 1


class Record(NamedTuple):
    """What the kernel side writes; the three walks as steps from the root."""

    fields: tuple[int, ...]
    below: int
    asked: bytes
    base: list[bytes]
    target: list[bytes]
    executable: list[bytes]

    def written(self) -> bytes:
        return written(self.fields, self.below, self.asked, *map(walk, (self.base, self.target, self.executable)))


@st.composite
def records(draw: st.DrawFn) -> Record:
    flags = draw(st.integers(0, ALL_FLAGS) | st.sampled_from([0, wire.RESOLVED]))
    fields = (wire.RECORD_OBJECT, flags, draw(st.integers(0, ALL_KINDS)), draw(ERRORS))
    numbers = (draw(U64), draw(st.integers(1, 3)), draw(U64), *(draw(U32) for _ in range(4)))
    base = draw(STEPS)
    below = draw(st.just(0) | st.integers(0, len(base) + 1))
    return Record((*fields, *numbers), below, draw(ASKED), base, draw(STEPS), draw(STEPS))


def walk(steps: list[bytes]) -> bytes:
    return b"".join(step + b"/" for step in reversed(steps))


def written(fields: tuple[int, ...], below: int, *strings: bytes) -> bytes:
    return HEAD.pack(*fields, *map(len, strings), below, 0) + b"".join(strings)


def event_of(record: Record) -> Event:
    event = decode(record.written())
    assert isinstance(event, Event)
    return event


EVENTS = records().map(event_of)
# Of few things, so that they meet.
ALIKE = st.builds(
    lambda event, asked, target: event._replace(
        asked=asked, base=b"/", target=target, flags=wire.RESOLVED, error=0, container=1
    ),
    EVENTS,
    st.sampled_from([b"/a", b"/b"]),
    st.sampled_from([b"/a", b""]),
)


SCRAPS = st.binary(max_size=8) | st.lists(st.sampled_from([b"/", b"\0", b"..", b"a", b"\xff"])).map(b"".join)
NOISE = st.builds(
    lambda kind, fields, below, strings: written((kind, *fields), below, *strings),
    st.sampled_from([wire.RECORD_OBJECT, wire.RECORD_CONTAINER]) | U32,
    st.tuples(U32, U32, st.integers(-(2**31), 2**31 - 1), U64, U64, U64, U32, U32, U32, U32),
    U32,
    st.tuples(SCRAPS, SCRAPS, SCRAPS, SCRAPS),
)


@given(st.lists(st.binary(max_size=200) | NOISE, max_size=4))
def test_any_bytes_are_a_record_or_none_and_can_be_reported(raws: list[bytes]) -> None:
    recorder = Recorder(exclude=("/proc/",), boot_time=lambda: 0.0)
    recorder.record([decoded for raw in raws if (decoded := decode(raw)) is not None])

    report, containers = recorder.whole()
    for shaped, ledger in containers:
        shaped.observations |= {one.key: one for one in ledger.observations()}
        assert all(one.path.startswith("/") for one in shaped.observations.values())
        report.containers.append(shaped)
    loads_report(dumps_report(report))


@given(records(), st.binary(max_size=7))
def test_a_record_says_what_was_written_whatever_the_ring_pads_it_with(record: Record, padding: bytes) -> None:
    event = decode(record.written() + padding)

    assert isinstance(event, Event)
    _, flags, kinds, error, time_ns, container, ino, dev, mount, mode, tgid = record.fields
    assert (event.flags, event.kinds, event.error, event.time_ns) == (flags, kinds, error, time_ns)
    assert (event.container, event.ino, event.dev, event.mount) == (container, ino, dev, mount)
    assert (event.mode, event.tgid, event.below, event.asked) == (mode, tgid, record.below - 1, record.asked)
    base, target, executable = (b"/" + b"/".join(steps) for steps in record[3:])
    assert event.base == (b"" if flags & wire.BASE_OUTSIDE and base == b"/" else base)
    assert event.target == (target if flags & wire.RESOLVED else b"")
    assert event.executable == (b"" if executable == b"/" else executable)


@given(records(), st.data())
def test_a_record_that_ends_early_is_none(record: Record, data: st.DataObject) -> None:
    raw = record.written()

    assert decode(raw[: data.draw(st.integers(0, len(raw) - 1))]) is None


@given(STEPS.filter(bool), st.integers(0, 2**63 - 1), st.integers(0, 2**63))
def test_a_containers_cgroup_is_told_from_the_root(steps: list[bytes], container: int, time_ns: int) -> None:
    fields = (wire.RECORD_CONTAINER, 0, 0, 0, time_ns, container, 0, 0, 0, 0, 0)

    assert decode(written(fields, 0, walk(steps), b"", b"", b"")) == NewContainer(
        container, b"/" + b"/".join(steps), time_ns
    )


def is_normal(path: bytes) -> bool:
    return path == b"" or path == b"/" or (path[:1] == b"/" and not {b"", b".", b".."} & set(path[1:].split(b"/")))


def own(asked: bytes) -> bytes:
    """The name without the way to the process's own root directory."""
    return re.sub(rb"\A/proc/(?:self|thread-self)/root(?:/|\Z)", b"/", asked)


def climbs(path: bytes) -> bool:
    """Whether a `..` follows a name, which may be a link: such a path is told with it."""
    parts = [part for part in own(path).split(b"/") if part not in (b"", b".")]
    return b".." in parts[next((at for at, part in enumerate(parts) if part != b".."), len(parts)) :]


@given(EVENTS)
def test_a_sighting_is_made_of_absolute_normal_paths(event: Event) -> None:
    seen = interpret(event, EXCLUDE)

    assert is_normal(seen.target)
    assert is_normal(seen.executable)
    if climbs(event.asked):
        assert seen.path[:1] in (b"", b"/")
        assert not {b"", b"."} & set(seen.path[1:].split(b"/")) or len(seen.path) <= 1
    else:
        assert is_normal(seen.path)


def told_name(event: Event) -> bytes:
    """The asked name, read from its base, by another way than `normalise`: step by step."""
    asked = own(event.asked)
    place = [step for step in event.base.split(b"/") if step]
    lowest = len(place) if asked[:1] == b"/" else max(0, len(place) - event.below) if event.below >= 0 else 0
    for step in asked.split(b"/"):
        if step == b"..":
            if len(place) > lowest:
                place.pop()
        elif step not in (b"", b"."):
            place.append(step)
    return b"/" + b"/".join(place)


@given(EVENTS)
def test_no_path_is_made_up(event: Event) -> None:
    """Either what was asked for, read from its base, or what it was resolved to."""
    seen = interpret(event)

    if seen.path not in (b"", event.target):
        if climbs(event.asked):
            assert climbs(seen.path)
            assert seen.path.split(b"/")[-1] in event.asked
        else:
            assert seen.path == told_name(event)
    assert seen.target in (b"", event.target)
    assert seen.executable in (b"", event.executable)
    if event.flags & wire.OUTSIDE:
        assert seen.target == b""
    if event.flags & wire.BASE_OUTSIDE:
        assert seen.path == seen.target


@given(EVENTS)
def test_what_was_used_is_told_or_a_gap_or_excluded(event: Event) -> None:
    seen = interpret(event, EXCLUDE)

    if seen.outcome is Outcome.EXISTS and not seen.path and not seen.gaps:
        told = interpret(event)
        assert told.path.startswith(EXCLUDE)
        assert not told.target or told.target.startswith(EXCLUDE)


@given(EVENTS)
def test_only_what_was_used_can_be_a_gap(event: Event) -> None:
    seen = interpret(event)

    if seen.gaps:
        assert seen.outcome is Outcome.EXISTS
    assert len(set(seen.gaps)) == len(seen.gaps)


@given(EVENTS)
def test_nothing_excluded_is_kept_and_nothing_else_is_left_out(event: Event) -> None:
    seen, told = interpret(event, EXCLUDE), interpret(event)

    assert not seen.target.startswith(EXCLUDE)
    if not climbs(event.asked):
        assert not seen.path.startswith(EXCLUDE)
        if not told.path.startswith(EXCLUDE) and not told.target.startswith(EXCLUDE):
            assert seen == told
    # An excluded name may lead to what is not: a gap more.
    assert seen.outcome is told.outcome
    assert seen.gaps[: len(told.gaps)] == told.gaps


@given(EVENTS)
def test_a_truncated_record_is_never_complete(event: Event) -> None:
    seen = interpret(event._replace(flags=event.flags | wire.TRUNCATED))

    assert seen.outcome is not Outcome.EXISTS or GapCode.PATH_TRUNCATED in seen.gaps


@given(st.lists(EVENTS | ALIKE, max_size=12), st.permutations(range(12)))
def test_every_sighting_is_in_the_report_whatever_the_order(events: list[Event], order: list[int]) -> None:
    for these in (events, [events[at] for at in order if at < len(events)]):
        recorder = Recorder(exclude=("/proc/", "/sys/", "/dev/"), boot_time=lambda: 0.0)
        recorder.record(these)
        report, containers = recorder.whole()
        known = {shaped.cgroup_id: {one.key: one for one in ledger.observations()} for shaped, ledger in containers}
        gaps = {(gap.code, gap.container) for gap in report.gaps}
        ids = {shaped.cgroup_id: shaped.id for shaped, _ in containers}

        for event in these:
            seen = interpret(event, EXCLUDE)
            assert {(code, "" if seen.elsewhere else ids[event.container]) for code in seen.gaps} <= gaps
            if not seen.path:
                continue
            names = [raw.decode("utf-8", "surrogateescape") for raw in (seen.path, seen.target)]
            found = known[event.container][names[0], names[1], seen.outcome]
            assert found.first_seen <= event.time_ns / 1e9 <= found.last_seen
            assert found.kinds == found.kinds | {kind for kind in Kind if event.kinds & getattr(wire, kind.name)}
