"""What a posted delta may be: its size on the wire and inflated, and that it can be stored. Reading stops at a limit.

gzip is undone by aiohttp in small steps as the body is read, so a decompression bomb is stopped where it passes
`MAX_INFLATED`.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

from aiohttp.web import Request, RequestPayloadError

from snoop_operator.store.interface import PodKey
from snoop_report.codec import FormatError, loads_delta
from snoop_report.model import Delta
from snoop_report.paths import escape

MAX_WIRE = 8 << 20
MAX_INFLATED = 24 << 20
MAX_MARKS = 600_000
"""Of `[`, `{` and `,`: what a parsed body costs in memory grows with these, not with its size. Agents send 50,000."""
MAX_OBSERVATIONS = 20_000
"""Agents split at 5,000."""
MAX_CONTAINERS = 1_000
_MAX_NAME = 256
_MAX_TEXT = 8_192
_MAX_GAPS = 1_000
_INTEGER = 2**63 - 1


class BodyError(Exception):
    """The body cannot be taken. `status` is the HTTP status, `code` a stable name, the message a sentence."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


async def read(request: Request, reserve: Callable[[int], None]) -> bytes:
    """Read a request's body, inflated. BodyError (400, 413, 415) if it may not be.

    `reserve` is told of each piece before the next is read, and may raise.
    """
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise BodyError(415, "bad_encoding", f"Content-Encoding {encoding[:20]!r} is not known: send gzip or none")
    if (request.content_length or 0) > MAX_WIRE:
        raise _too_large("on the wire", MAX_WIRE)
    content = request.content
    body = bytearray()
    try:
        while chunk := await content.readany():
            reserve(len(chunk))
            body += chunk
            if len(body) > MAX_INFLATED:
                raise _too_large("inflated", MAX_INFLATED)
            if content.total_raw_bytes > MAX_WIRE:
                raise _too_large("on the wire", MAX_WIRE)
    except RequestPayloadError as error:
        words = " ".join(str(error).split())
        raise BodyError(400, "bad_encoding", f"the body is not what its headers say: {words}") from error
    return bytes(body)


def _too_large(where: str, limit: int) -> BodyError:
    return BodyError(413, "too_large", f"the delta is larger than {limit >> 20} MiB {where}: split it")


def parse(body: bytes, pod: PodKey) -> Delta:
    """Read a delta and put the true pod into it. BodyError (400, 413) if it is malformed, too much, or not storable."""
    marks = sum(body.count(mark) for mark in (b"[", b"{", b","))
    if marks > MAX_MARKS:
        raise BodyError(413, "too_large", f"the delta has more than {MAX_MARKS} values: split it")
    try:
        delta = loads_delta(body)
    except (FormatError, RecursionError) as error:
        raise BodyError(400, "malformed", str(error)) from error
    _check_amounts(delta)
    _check_texts(delta)
    delta.report = replace(
        delta.report, pod_name=pod.name, namespace=pod.namespace, pod_uid=pod.uid, node=pod.node, labels={}
    )
    return delta


def _check_amounts(delta: Delta) -> None:
    containers = delta.report.containers
    observations = sum(len(one.observations) for one in containers)
    if observations > MAX_OBSERVATIONS:
        raise BodyError(413, "too_large", f"{observations} observations are more than {MAX_OBSERVATIONS}: split them")
    if max(len(delta.report.gaps), len(delta.report.exclude)) > _MAX_GAPS or len(containers) > MAX_CONTAINERS:
        raise BodyError(400, "malformed", "delta.report: more containers, gaps or exclusions than a pod can have")
    numbers = [
        delta.sequence,
        delta.full_since,
        delta.report.max_unique_files,
        *(gap.count for gap in delta.report.gaps),
    ]
    for one in containers:
        numbers += (one.cgroup_id, one.total_events, one.dropped_events)
    if max(numbers) > _INTEGER:
        raise BodyError(400, "malformed", f"delta: {max(numbers)} is more than 64 bits hold")


def _check_texts(delta: Delta) -> None:
    report = delta.report
    agent = report.agent
    _check("boot", [delta.boot], _MAX_NAME)
    _check("agent", [agent.version, agent.kernel, agent.hooks, agent.attach], _MAX_TEXT)
    _check("exclude", [escape(prefix) for prefix in report.exclude], _MAX_TEXT)
    _check("gaps", [text for gap in report.gaps for text in (gap.message, gap.container)], _MAX_TEXT)
    for one in report.containers:
        _check("containers", [one.id, one.name, one.digest], _MAX_NAME)
        _check("containers", [one.image, escape(one.cgroup_path)], _MAX_TEXT)
        for seen in one.observations.values():
            # A path of 4,096 stray bytes is four times as long when written; no path is longer.
            _check("observations", (escape(seen.path), escape(seen.target), escape(seen.executable)), 4 * _MAX_TEXT)
    if any(not one.id for one in report.containers):
        raise BodyError(400, "malformed", "delta.report.containers: a container has neither ID nor name")


def _check(place: str, texts: Iterable[str], limit: int) -> None:
    for text in texts:
        # Databases hold Unicode without NUL, and so does every Linux path in its written form.
        if len(text) > limit or "\0" in text or (not text.isascii() and not _encodes(text)):
            raise BodyError(400, "malformed", f"delta.report.{place}: a text is too long or holds what is no character")


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
