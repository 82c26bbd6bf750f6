"""Which distribution an image is (os-release(5))."""

import io
import re
import shlex
from collections.abc import Mapping

from snoop_image.packages.deb822 import decode

# In the order of os-release(5): the first that is there counts.
_FILES = ("/etc/os-release", "/usr/lib/os-release")
# What both may be made of, by the manual; nobody's VERSION_ID keeps to lower case.
_PLAIN = re.compile(r"[0-9A-Za-z._-]{1,100}")


def wanted(path: str) -> bool:
    """Say whether `distribution` needs the content of the file."""
    return path in _FILES


def distribution(contents: Mapping[str, bytes]) -> tuple[str, str]:
    """Give ID and VERSION_ID (`debian`, `12`); each empty where it is not told."""
    found: dict[str, str] = {}
    content = next((contents[path] for path in _FILES if path in contents), b"")
    for line in io.BytesIO(content[: 1 << 16]):
        key, _, value = decode(line).strip().partition("=")
        if key not in ("ID", "VERSION_ID"):
            continue
        try:
            words = shlex.split(value)
        except ValueError:
            continue
        if len(words) == 1 and _PLAIN.fullmatch(words[0]):
            found[key] = words[0]
    return found.get("ID", ""), found.get("VERSION_ID", "")
