r"""How paths, times and sizes are written for people. Pure.

A container chooses its file names, so none reaches a terminal as it is: what does not print is written as the bytes
that it is made of, `\xNN`. `snoop_report.paths.unescape` reads that back.
"""

import re
from datetime import UTC, datetime

from snoop_report.paths import escape

_UNPRINTED = re.compile(r"[^\x20-\x7e]")
_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def shown(path: str) -> str:
    r"""Write an in-memory path on one line.

    >>> shown("/tmp/a b"), shown("/tmp/a\nb"), shown("/tmp/\x1b[31m")
    ('/tmp/a b', '/tmp/a\\x0ab', '/tmp/\\x1b[31m')
    """
    if path.isprintable():  # which surrogates are not
        return escape(path)
    # Every backslash is spelled out as well, or a name that holds the four characters \x0a would read back as another.
    return _UNPRINTED.sub(_spelled, path.replace("\\", "\\x5c"))


def _spelled(match: re.Match[str]) -> str:
    character = match.group()
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))


def printable(text: str) -> str:
    """Make any text safe for one line of a terminal; nobody reads it back."""
    return _UNPRINTED.sub(_spelled, " ".join(text.split()))


def moment(seconds: float) -> str:
    """Write a time in UTC, to the second; `-` where there is none."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if seconds else "-"


def duration(seconds: float) -> str:
    """Write a time span by its two largest units.

    >>> duration(4.2), duration(75), duration(90000)
    ('4s', '1m15s', '1d1h')
    """
    left = max(0, round(seconds))
    parts: list[str] = []
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        number, left = divmod(left, length)
        if number or (unit == "s" and not parts):
            parts.append(f"{number}{unit}")
        elif parts:
            break
    return "".join(parts[:2])


def size(count: int) -> str:
    """Write bytes in IEC units (IEC 80000-13), three digits at most before the point.

    >>> size(999), size(1536), size(200 << 20)
    ('999 B', '1.5 KiB', '200 MiB')
    """
    if abs(count) < 1000:
        return f"{count} B"
    value = float(count)
    for unit in _UNITS:
        value /= 1024
        # 999.6 KiB would round to four digits.
        if abs(value) < 999.5 or unit == _UNITS[-1]:
            break
    return f"{value:.1f} {unit}" if abs(value) < 99.95 else f"{value:.0f} {unit}"


def several(number: int, noun: str, plural: str = "") -> str:
    """`1 pod`, `2 pods`; `plural` where an s is not enough."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
