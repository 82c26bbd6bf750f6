r"""Path names: lexical normal form, and a reversible way to write any Linux file name into JSON.

A Linux path is bytes without NUL. In memory it is a str decoded with surrogateescape (PEP 383). JSON wants valid
Unicode, so a path that is not UTF-8 is written with each stray byte as \xNN. To stay reversible, a valid path that
happens to hold the four characters \xNN gets its backslash written as \x5c. Every other path is written as it is.
"""

import re

_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")
_STRAY = re.compile("[\udc80-\udcff]")


def normalise(path: str, base: str = "/", root: str = "/") -> str:
    """Make `path` absolute and lexically normal: no `.`, `..`, empty component or trailing slash.

    A relative path starts at `base`, itself as the container sees it. An absolute one starts at `root`, the process's
    own root directory (other than `/` after a chroot). `..` never climbs above `root`.
    """
    floor = [part for part in root.split("/") if part]
    start = floor if path.startswith("/") else [part for part in base.split("/") if part]
    # A working directory outside the process's root is possible; there the floor is the container's root.
    lowest = len(floor) if start[: len(floor)] == floor else 0
    parts = list(start)
    for part in path.split("/"):
        if part in ("", "."):
            continue
        if part == "..":
            if len(parts) > lowest:
                parts.pop()
        else:
            parts.append(part)
    return "/" + "/".join(parts)


def decode(raw: bytes) -> str:
    """Turn the kernel's bytes into the in-memory form."""
    return raw.decode("utf-8", "surrogateescape")


def escape(path: str) -> str:
    r"""Write an in-memory path as valid Unicode; `unescape` gives it back exactly.

    >>> escape("/etc/passwd"), escape(decode(b"/tmp/\xff")), escape("/dev/by\\x2duuid")
    ('/etc/passwd', '/tmp/\\xff', '/dev/by\\x5cx2duuid')
    """
    stray = _STRAY.search(path) is not None
    if not stray and not _ESCAPE.search(path):
        return path
    # Every backslash of an escaped path is spelled out, so that no accidental \xNN can form beside a stray byte.
    spelled = path.replace("\\", "\\x5c")
    return _STRAY.sub(lambda match: f"\\x{ord(match.group()) - 0xDC00:02x}", spelled)


def unescape(text: str) -> str:
    """Read what `escape` wrote. ValueError if no file can be named so."""
    if "\0" in text:
        raise ValueError("a NUL in a path")
    if not _ESCAPE.search(text):
        return text
    raw = bytearray()
    position = 0
    for match in _ESCAPE.finditer(text):
        raw += text[position : match.start()].encode("utf-8", "surrogateescape")
        raw.append(int(match.group(1), 16))
        position = match.end()
    raw += text[position:].encode("utf-8", "surrogateescape")
    if 0 in raw:
        raise ValueError("a NUL in a path")
    return bytes(raw).decode("utf-8", "surrogateescape")
