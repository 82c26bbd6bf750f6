"""Reports, deltas and acknowledgements as JSON.

The report is a superset of the JSON that upstream snoop writes: its keys keep their names and meanings, so its readers
keep working. Times are RFC 3339 in UTC with milliseconds. Anything malformed raises `FormatError` with the place.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

from snoop_report.merge import observe
from snoop_report.model import (
    SCHEMA_VERSION,
    Acknowledgement,
    AgentInfo,
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
from snoop_report.paths import escape, unescape

JSON = dict[str, Any]
EVERYTHING = ("/",)
"""What a report excludes that does not say: nothing that it lacks is known to be unused."""
_EPOCH = datetime(1970, 1, 1)
_LATEST = 253_402_300_799.0
"""9999-12-31T23:59:59Z."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_E = TypeVar("_E", bound=StrEnum)
_T = TypeVar("_T")


class FormatError(ValueError):
    """The text is not a report; the message names the key at fault, in one line whatever the key is."""

    def __init__(self, message: str) -> None:
        super().__init__(message if message.isprintable() else message.encode("unicode_escape").decode())


def to_rfc3339(seconds: float) -> str:
    """Write seconds since the epoch as `2026-01-15T10:30:00.000Z`."""
    # In whole milliseconds: cut off from a float, the last one would drift with each reading and writing.
    moment = _EPOCH + timedelta(milliseconds=round(seconds * 1000))
    return moment.isoformat(timespec="milliseconds") + "Z"


def from_rfc3339(text: str) -> float:
    """Read an RFC 3339 time with a zone; ValueError otherwise. What is before the epoch (Go's zero) is no time: 0."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"no time zone in {text!r}")
    seconds = max(0.0, moment.timestamp())
    if seconds > _LATEST:
        raise ValueError(f"{text!r} is later than can be written")
    return seconds


def report_to_dict(report: Report, *, derived: bool = True) -> JSON:
    """Shape a report for JSON. `derived` adds the lists that follow from the observations (files, missing)."""
    return {
        "schema_version": report.schema_version,
        "pod_name": report.pod_name,
        "namespace": report.namespace,
        "pod_uid": report.pod_uid,
        "node": report.node,
        "labels": dict(report.labels),
        "started_at": to_rfc3339(report.started_at),
        "last_updated_at": to_rfc3339(report.last_updated_at),
        "containers": [_container_to_dict(container, derived) for container in report.containers],
        "total_events": report.total_events,
        "dropped_events": report.dropped_events,
        "complete": report.complete,
        "gaps": [_gap_to_dict(gap) for gap in report.gaps],
        "exclude": [escape(prefix) for prefix in report.exclude],
        "max_unique_files": report.max_unique_files,
        "agent": {
            "version": report.agent.version,
            "kernel": report.agent.kernel,
            "hooks": report.agent.hooks,
            "attach": report.agent.attach,
        },
    }


def report_from_dict(document: object) -> Report:
    """Read a report, also one of upstream's (without `observations`: its files become reads). FormatError if bad."""
    doc = _Reader(document, "report")
    version = doc.integer("schema_version", SCHEMA_VERSION)
    if version > SCHEMA_VERSION:
        raise FormatError(f"schema_version {version} is newer than this program reads ({SCHEMA_VERSION}): update snoop")
    started = doc.time("started_at")
    agent = doc.child("agent")
    return Report(
        pod_name=doc.text("pod_name"),
        namespace=doc.text("namespace"),
        pod_uid=doc.text("pod_uid"),
        node=doc.text("node"),
        labels=doc.texts("labels"),
        started_at=started,
        last_updated_at=doc.time("last_updated_at"),
        containers=[_container_from(one, started) for one in doc.children("containers")],
        gaps=[_gap_from(one) for one in doc.children("gaps")],
        exclude=_exclude_from(doc),
        max_unique_files=doc.integer("max_unique_files", 0),
        agent=AgentInfo(
            version=agent.text("version"),
            kernel=agent.text("kernel"),
            hooks=agent.text("hooks"),
            attach=agent.text("attach"),
        ),
        schema_version=version,
    )


def dumps_report(report: Report) -> str:
    """Write the report file's text: UTF-8 safe, one line per top-level thing, ending in a newline."""
    return json.dumps(report_to_dict(report), indent=1, ensure_ascii=False) + "\n"


def loads_report(text: str | bytes) -> Report:
    """Read a report file's text. FormatError if it is not one."""
    return report_from_dict(_parse(text))


def dumps_delta(delta: Delta) -> bytes:
    """Write a delta for the wire: compact UTF-8 JSON."""
    body = {
        "boot": delta.boot,
        "sequence": delta.sequence,
        "full": delta.full,
        "final": delta.final,
        "store": delta.store,
        "revision": delta.revision,
        "full_since": delta.full_since,
        "more": delta.more,
        "report": report_to_dict(delta.report, derived=False),
    }
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def loads_delta(text: str | bytes) -> Delta:
    """Read a delta. FormatError if it is not one."""
    doc = _Reader(_parse(text), "delta")
    boot = doc.text("boot")
    sequence = doc.integer("sequence", 0)
    if not boot or sequence < 1:
        raise FormatError("delta: boot must be set and sequence at least 1")
    return Delta(
        boot=boot,
        sequence=sequence,
        report=report_from_dict(doc.value("report")),
        full=doc.boolean("full"),
        final=doc.boolean("final"),
        store=doc.text("store"),
        revision=doc.integer("revision", 0),
        full_since=doc.integer("full_since", 0),
        more=doc.boolean("more"),
    )


def dumps_acknowledgement(answer: Acknowledgement) -> bytes:
    """Write the operator's answer."""
    body: JSON = {
        "sequence": answer.sequence,
        "store": answer.store,
        "revision": answer.revision,
        "resend": answer.resend,
        "containers": {
            key: {"name": one.name, "image": one.image, "digest": one.digest} for key, one in answer.containers.items()
        },
        "ca_bundle": answer.ca_bundle,
    }
    return json.dumps(body, separators=(",", ":")).encode()


def loads_acknowledgement(text: str | bytes) -> Acknowledgement:
    """Read the operator's answer. FormatError if it is not one."""
    doc = _Reader(_parse(text), "acknowledgement")
    identities = doc.child("containers")
    return Acknowledgement(
        sequence=doc.integer("sequence", 0),
        store=doc.text("store"),
        revision=doc.integer("revision", 0),
        resend=doc.boolean("resend"),
        containers={
            key: Identity(name=one.text("name"), image=one.text("image"), digest=one.text("digest"))
            for key in identities
            for one in [identities.child(key)]
        },
        ca_bundle=doc.text("ca_bundle"),
    )


def _container_to_dict(container: ContainerReport, derived: bool) -> JSON:
    shaped: JSON = {
        "id": container.id,
        "name": container.name,
        "image": container.image,
        "digest": container.digest,
        "cgroup_id": container.cgroup_id,
        "cgroup_path": escape(container.cgroup_path),
        "started_at": to_rfc3339(container.started_at),
        "total_events": container.total_events,
        "dropped_events": container.dropped_events,
    }
    if derived:
        files = [escape(path) for path in container.files]
        shaped["files"] = files
        shaped["unique_files"] = len(files)
        shaped["missing"] = [escape(path) for path in container.missing]
    shaped["observations"] = [observation_to_dict(one) for one in _ordered(container.observations.values())]
    return shaped


def _ordered(observations: Iterable[Observation]) -> list[Observation]:
    return sorted(observations, key=lambda seen: (seen.path, seen.target, seen.outcome))


def observation_to_dict(seen: Observation) -> JSON:
    """Shape one observation for JSON, for writers that stream them."""
    shaped: JSON = {
        "path": escape(seen.path),
        "outcome": seen.outcome.value,
        "kinds": sorted(kind.value for kind in seen.kinds),
        "first_seen": to_rfc3339(seen.first_seen),
        "last_seen": to_rfc3339(seen.last_seen),
    }
    # What is empty or false is left out: 100,000 of these make a file.
    if seen.target and seen.target != seen.path:
        shaped["target"] = escape(seen.target)
    elif seen.target:
        shaped["resolved"] = True
    if seen.executable:
        shaped["executable"] = escape(seen.executable)
    if seen.volume:
        shaped["volume"] = True
    if seen.collapsed:
        shaped["collapsed"] = True
    return shaped


def _gap_to_dict(gap: Gap) -> JSON:
    return {
        "code": gap.code.value,
        "message": gap.message,
        "since": to_rfc3339(gap.since),
        "count": gap.count,
        "container": gap.container,
    }


def _gap_from(doc: "_Reader") -> Gap:
    return Gap(
        code=doc.enum("code", GapCode),
        message=doc.text("message"),
        since=doc.time("since"),
        count=doc.integer("count", 1),
        container=doc.text("container"),
    )


def _exclude_from(doc: "_Reader") -> tuple[str, ...]:
    if doc.value("exclude") is None:
        return EVERYTHING  # upstream's reports do not say what they left out
    return tuple(doc.convert("exclude", text, unescape) for text in doc.strings("exclude"))


def _container_from(doc: "_Reader", started: float) -> ContainerReport:
    container = ContainerReport(
        id=doc.text("id") or doc.text("name"),
        cgroup_id=doc.integer("cgroup_id", 0),
        cgroup_path=doc.path("cgroup_path"),
        name=doc.text("name"),
        image=doc.text("image"),
        digest=doc.text("digest"),
        total_events=doc.integer("total_events", 0),
        dropped_events=doc.integer("dropped_events", 0),
        started_at=doc.time("started_at"),
    )
    if doc.has("observations"):
        for one in doc.children("observations"):
            observe(container, _observation_from(one))  # the same one twice is their union
    else:
        for text in doc.strings("files"):
            path = doc.convert("files", text, unescape)
            seen = Observation(path, "", Outcome.EXISTS, frozenset({Kind.READ}), started, started)
            container.observations[seen.key] = seen
    return container


def _observation_from(doc: "_Reader") -> Observation:
    path = doc.path("path")
    target = path if doc.boolean("resolved") else doc.path("target")
    first = doc.time("first_seen")
    return Observation(
        path=path,
        target=target,
        outcome=doc.enum("outcome", Outcome),
        kinds=frozenset(doc.convert("kinds", text, Kind) for text in doc.strings("kinds")),
        first_seen=first,
        last_seen=max(first, doc.time("last_seen")),
        executable=doc.path("executable"),
        volume=doc.boolean("volume"),
        collapsed=doc.boolean("collapsed"),
    )


def _parse(text: str | bytes) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not JSON: {error}") from error


class _Reader:
    """Typed look-ups in a parsed JSON object that say where they failed."""

    def __init__(self, document: object, place: str) -> None:
        if not isinstance(document, dict):
            raise FormatError(f"{place}: expected an object, found {type(document).__name__}")
        self._document: JSON = document
        self._place = place

    def _get(self, key: str, kind: type[_T], default: _T) -> _T:
        value = self._document.get(key)
        if value is None:
            return default
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise FormatError(f"{self._place}.{key}: expected {kind.__name__}, found {type(value).__name__}")
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._document)

    def has(self, key: str) -> bool:
        return key in self._document

    def value(self, key: str) -> object:
        return self._document.get(key)

    def text(self, key: str) -> str:
        return self._valid(key, self._get(key, str, ""))

    def path(self, key: str) -> str:
        return self.convert(key, self.text(key), unescape)

    def _valid(self, key: str, text: str) -> str:
        # JSON can spell what is no Unicode text: half a surrogate pair. Neither UTF-8 nor a database takes it.
        if not text.isascii() and _SURROGATE.search(text):
            raise FormatError(f"{self._place}.{key}: half of a surrogate pair")
        return text

    def boolean(self, key: str) -> bool:
        return self._get(key, bool, False)

    def integer(self, key: str, default: int) -> int:
        value = self._get(key, int, default)
        if not 0 <= value < 1 << 63:
            raise FormatError(f"{self._place}.{key}: {'negative' if value < 0 else 'too large'}")
        return value

    def time(self, key: str) -> float:
        text = self.text(key)
        return self.convert(key, text, from_rfc3339) if text else 0.0

    def enum(self, key: str, kind: type[_E]) -> _E:
        return self.convert(key, self.text(key), kind)

    def convert(self, key: str, text: str, convert: Callable[[str], _T]) -> _T:
        try:
            return convert(text)
        except (ValueError, OverflowError) as error:
            raise FormatError(f"{self._place}.{key}: {error}") from error

    def texts(self, key: str) -> dict[str, str]:
        found = self.child(key)
        return {self._valid(key, name): found.text(name) for name in found}

    def strings(self, key: str) -> list[str]:
        values = self._get(key, list, [])
        if not all(isinstance(value, str) for value in values):
            raise FormatError(f"{self._place}.{key}: expected strings")
        return [self._valid(key, value) for value in values]

    def child(self, key: str) -> "_Reader":
        return _Reader(self._get(key, dict, {}), f"{self._place}.{key}")

    def children(self, key: str) -> "list[_Reader]":
        values: list[object] = self._get(key, list, [])
        return [_Reader(value, f"{self._place}.{key}[{index}]") for index, value in enumerate(values)]
