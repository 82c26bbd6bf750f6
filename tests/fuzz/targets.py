"""What is fuzzed: functions of bytes that raise only if something is wrong, each with inputs to begin from.

`records` is what the kernel side could write, from the ring buffer to the report. `report`, `delta` and
`acknowledgement` are JSON from elsewhere. `body` is a delta as the operator takes it from a pod. What images hold is in
three files beside this one.
"""

import contextlib
import ctypes
import json
import os
import re
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

# Beside this file; whoever loads it by its path has not put them there.
sys.path.insert(0, str(Path(__file__).parent))

import closure_targets
import package_targets
import source_targets

from snoop_agent import decoding, wire
from snoop_agent.recorder import Recorder
from snoop_agent.sightings import interpret
from snoop_agent.tracing import NewContainer
from snoop_operator.ingest import body
from snoop_operator.store.interface import PodKey
from snoop_report import codec
from snoop_report.model import (
    Acknowledgement,
    ContainerReport,
    Delta,
    Gap,
    GapCode,
    Identity,
    Kind,
    Observation,
    Outcome,
    Report,
)

EXCLUDE = ("/proc/", "/sys/", "/dev/")
_LENGTH = struct.Struct("<H")
_POD = PodKey("shop", "web-0", "8d1f")


class Target(NamedTuple):
    """A function of bytes, what is known to be good for it, and words that its input is made of."""

    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    words: tuple[bytes, ...] = ()


def records(data: bytes) -> None:
    """Decode records (each behind its length in two bytes), and record and report what they tell."""
    recorder = Recorder(exclude=EXCLUDE, max_unique_files=100, boot_time=lambda: 1_700_000_000.0)
    excluded = tuple(os.fsencode(prefix) for prefix in EXCLUDE)
    for raw in _split(data):
        decoded = decoding.decode(raw)
        if decoded is None:
            continue
        if not isinstance(decoded, NewContainer):
            seen = interpret(decoded, excluded)
            for path in (seen.path, seen.target, seen.executable):
                assert path[:1] in (b"", b"/"), path
            if seen.outcome is Outcome.EXISTS and not seen.path and not seen.gaps:
                # Only what is excluded may vanish without a word.
                told = interpret(decoded)
                assert told.path.startswith(excluded), decoded
        recorder.record([decoded])
    report, containers = recorder.whole()
    for shaped, ledger in containers:
        for one in ledger.observations():
            shaped.observations[one.key] = one
        report.containers.append(shaped)
    _reads_back(report)
    _reads_back(recorder.cut(1000, 1 << 20, final=True))


def _split(data: bytes) -> Iterator[bytes]:
    at = 0
    while at + _LENGTH.size <= len(data):
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        # In a buffer of its own: a decoder that reads past the record's end shows.
        yield data[at : at + length]
        at += length


def _reads_back(report: Report) -> None:
    text = codec.dumps_report(report)
    text.encode()
    again = codec.loads_report(text)
    assert codec.dumps_report(again) == text
    assert [one.files for one in again.containers] == [one.files for one in report.containers]


def report(data: bytes) -> None:
    """Read a report file."""
    with contextlib.suppress(codec.FormatError):
        _reads_back(codec.loads_report(data))


def delta(data: bytes) -> None:
    """Read a delta."""
    with contextlib.suppress(codec.FormatError):
        found = codec.loads_delta(data)
        written = codec.dumps_delta(found)
        assert codec.dumps_delta(codec.loads_delta(written)) == written


def acknowledgement(data: bytes) -> None:
    """Read the operator's answer."""
    with contextlib.suppress(codec.FormatError):
        found = codec.loads_acknowledgement(data)
        assert codec.loads_acknowledgement(codec.dumps_acknowledgement(found)) == found


def posted(data: bytes) -> None:
    """Take a body that a pod posted: what is accepted is storable, and says nothing of who sent it."""
    found: Delta | None = None
    with contextlib.suppress(body.BodyError):
        found = body.parse(data, _POD)
    if found is None:
        return
    report = found.report
    assert (report.namespace, report.pod_name, report.pod_uid, report.labels) == (
        _POD.namespace,
        _POD.name,
        _POD.uid,
        {},
    )
    written = codec.dumps_delta(found)
    assert b"\\u0000" not in written
    assert codec.dumps_delta(codec.loads_delta(written)) == written


def _record(
    asked: bytes = b"", base: bytes = b"", target: bytes = b"", executable: bytes = b"", **fields: int
) -> bytes:
    strings = (asked, base, target, executable)
    head = wire.Record(
        **{"type": wire.RECORD_OBJECT, "flags": wire.RESOLVED, "kinds": wire.READ, "container": 77, "time_ns": 9}
        | fields
    )
    head.lengths = (ctypes.c_uint16 * 4)(*map(len, strings))
    raw = bytes(head) + b"".join(strings)
    return _LENGTH.pack(len(raw)) + raw


def record_seeds() -> list[bytes]:
    """Give a record of each kind, and a few that belong together."""
    app = b"app/bin/usr/"
    announced = _record(b"c" * 64 + b"/pod1/kubepods/", type=wire.RECORD_CONTAINER)
    started = _record(b"/bin/app", b"", app, app, kinds=wire.EXECUTE)
    relative = _record(b"../passwd", b"nginx/etc/", b"passwd/etc/", app)
    missing = _record(b"/etc/nope", b"", b"", app, flags=0, error=-2, kinds=wire.STAT)
    outside = _record(b"x", b"", b"x/srv/", app, flags=wire.RESOLVED | wire.OUTSIDE | wire.BASE_OUTSIDE)
    deleted = _record(b"/tmp/\xff\n", b"", b"\xff\n/tmp/", app, flags=wire.RESOLVED | wire.DELETED | wire.VOLUME)
    unreadable = _record(b"", b"", b"", app, flags=wire.ASKED_UNREADABLE)
    cut = _record(b"/" + b"a" * 4094, b"", b"b/" * 1900, app, flags=wire.RESOLVED | wire.TRUNCATED)
    excluded = _record(b"/proc/self/exe", b"", app, app)
    single = [announced, started, relative, missing, outside, deleted, unreadable, cut, excluded]
    return [*single, b"".join(single)]


def _report() -> Report:
    container = ContainerReport("c" * 64, 77, "/kubepods/pod1", name="web", image="nginx:1", digest="sha256:1")
    for path, target, outcome, flag in (
        ("/etc/passwd", "/etc/passwd", Outcome.EXISTS, False),
        ("/bin/sh", "/usr/bin/d\udcffsh", Outcome.EXISTS, True),
        ("/etc/\\x41", "", Outcome.MISSING, False),
    ):
        seen = Observation(path, target, outcome, frozenset(Kind), 1.7e9, 1.8e9, "/bin/app", flag, flag)
        container.observations[seen.key] = seen
    gaps = [Gap(GapCode.LATE_START, "words", 1.7e9, 2, container.id)]
    return Report("web-0", "shop", "8d1f", "node", {"app": "web"}, 1.7e9, 1.8e9, [container], gaps)


def report_seeds() -> list[bytes]:
    """Give one of ours and one of upstream's."""
    upstream = {
        "pod_name": "my-app",
        "started_at": "2026-01-15T10:30:00+01:00",
        "containers": [{"name": "nginx", "cgroup_id": 12345, "files": ["/etc/a"], "total_events": 12}],
    }
    return [
        codec.dumps_report(_report()).encode(),
        json.dumps(upstream).encode(),
        codec.dumps_report(Report()).encode(),
    ]


def delta_seeds() -> list[bytes]:
    """Give a delta with everything, and one with nothing."""
    return [
        codec.dumps_delta(Delta("b00t", 3, _report(), full=True, final=True)),
        b'{"boot":"b","sequence":1,"report":{}}',
    ]


def acknowledgement_seeds() -> list[bytes]:
    """Give an answer that names a container."""
    answer = Acknowledgement(3, "store", True, {"abc": Identity("web", "nginx:1", "sha256:1")}, "PEM")
    return [codec.dumps_acknowledgement(answer), b"{}"]


_ODDITIES = (
    rb"\\x00",
    rb"\\xff",
    rb"\ud800",
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"99999999999999999999",
    b"0001-01-01T00:00",
)


def _words(texts: list[bytes]) -> tuple[bytes, ...]:
    """Keys and strings of JSON documents, for a fuzzer to put together anew."""
    return (*sorted({word for text in texts for word in re.findall(rb'"[^"]{1,40}"', text)}), *_ODDITIES)


TARGETS = {
    "records": Target(records, record_seeds),
    "report": Target(report, report_seeds, _words(report_seeds())),
    "delta": Target(delta, delta_seeds, _words(delta_seeds())),
    "acknowledgement": Target(acknowledgement, acknowledgement_seeds, _words(acknowledgement_seeds())),
    "body": Target(posted, delta_seeds, _words(delta_seeds())),
    "elf": Target(closure_targets.elf, closure_targets.elf_seeds, closure_targets.WORDS),
    "ld_cache": Target(closure_targets.ld_cache, closure_targets.ld_cache_seeds, closure_targets.WORDS),
    "image": Target(closure_targets.image, closure_targets.image_seeds, closure_targets.WORDS),
    "packages": Target(package_targets.packages, package_targets.package_seeds, package_targets.WORDS),
    "rpm": Target(package_targets.rpm, package_targets.rpm_seeds, package_targets.WORDS),
    **{name: Target(*one) for name, one in source_targets.SOURCES.items()},
}
