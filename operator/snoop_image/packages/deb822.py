"""Paragraphs of fields, as dpkg's status file and Python's METADATA have them (deb822(5); PEP 566, RFC 822)."""

import io
from collections.abc import Collection, Iterator


def paragraphs(content: bytes, wanted: Collection[str]) -> Iterator[list[tuple[str, str]]]:
    """Give each paragraph's fields that are wanted, in order: lower-case names, values with their further lines.

    A field may stand there more than once. What is no field is passed over; paragraphs without a wanted field too.
    """
    found: list[tuple[str, str]] = []
    lines: list[bytes] = []
    name = ""
    for raw in io.BytesIO(content):
        line = raw.rstrip(b"\r\n")
        if line[:1] in (b" ", b"\t") and line.strip():
            if name:
                lines.append(line)
            continue
        if name:
            found.append((name, decode(b"\n".join(lines)).strip()))
            name = ""
        if not line.strip():
            if found:
                yield found
            found = []
            continue
        key, colon, value = line.partition(b":")
        if colon and len(key) <= 100 and (lower := decode(key).lower()) in wanted:
            name = lower
            lines = [value]
    if name:
        found.append((name, decode(b"\n".join(lines)).strip()))
    if found:
        yield found


def decode(raw: bytes) -> str:
    """Give text as paths are kept: bytes that are not UTF-8 as surrogates."""
    return raw.decode("utf-8", "surrogateescape")
