"""Python distributions that are used from where they are developed (`pip install -e`)."""

import json
from urllib.parse import unquote, urlsplit


def folder_of_editable(direct_url: bytes) -> str:
    """Give the folder of an editable installation; empty if it is none.

    Format: packaging.python.org, direct-url-data-structure.
    """
    try:
        found = json.loads(direct_url[: 1 << 16]) if direct_url else None
        if not isinstance(found, dict) or not isinstance(info := found.get("dir_info"), dict):
            return ""
        if info.get("editable") is not True:
            return ""
        parts = urlsplit(str(found.get("url", "")))
        folder = unquote(parts.path, errors="surrogateescape").rstrip("/")
    except (ValueError, RecursionError):
        return ""
    return folder if parts.scheme == "file" and folder.startswith("/") else ""
