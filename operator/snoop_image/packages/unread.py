"""Package databases that are known and not read: whose files they tell of is not known."""

from collections.abc import Iterator, Mapping

from snoop_image.model import Entry

_UNREAD = {
    "/var/lib/pacman/local": "pacman",
    "/var/db/pkg": "Portage",
    "/var/db/xbps": "XBPS",
    "/nix/store": "Nix",
    "/gnu/store": "Guix",
    "/usr/lib/opkg/status": "opkg",
    "/var/lib/opkg/status": "opkg",
    "/var/lib/chisel/manifest.wall": "Chisel",
    "/opt/conda/conda-meta": "conda",
}


def notes(entries: Mapping[str, Entry]) -> Iterator[str]:
    """Say which there are."""
    for path, name in _UNREAD.items():
        if path in entries:
            yield f"{path}: snoop does not read {name}'s packages: its files are told one by one"
