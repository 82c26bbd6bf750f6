"""What a status says of its images' contents: numbers, words for the columns, and the condition `Inventoried`. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from snoop_operator.conditions import Condition, clip, pods
from snoop_operator.inventories.findings import Findings, Known, Trouble

_TOLD = 3
"""Images in a message that have the same trouble."""
_WORDS = 500
_UNITS = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))
NUMBERS = ("bytesUsed", "bytesUnused", "unusedPackages")

WAY_OUT = "With your own credentials and the profile's report, `snoop analyze` tells it on your machine"


def of_image(found: Findings | Trouble | None, complete: bool) -> dict[str, Any]:
    """Give an image's numbers. What was not seen in use is told only if the evidence is `complete` now and was then."""
    if not isinstance(found, Findings):
        return {}
    told = {"filesTotal": found.files, "bytesTotal": found.bytes, "bytesUsed": found.bytes_kept}
    if complete and found.complete:
        told |= {"bytesUnused": found.bytes_unused, "unusedPackages": found.packages_unused}
    return told


def of_all(images: Sequence[Mapping[str, Any]], wanted: bool) -> dict[str, Any]:
    """Sum up the images of a status: each number only if every image has it, since a part of it would mislead."""
    if not images or not wanted:
        return {}
    return {key: sum(one[key] for one in images) for key in NUMBERS if all(key in one for one in images)}


def display(totals: Mapping[str, Any], images: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Give the words of the columns USED and UNUSED; a column without words is empty."""
    words: dict[str, str] = {}
    if "bytesUsed" in totals:
        words["used"] = size(totals["bytesUsed"])
        complete = "bytesUnused" in totals
        words["unused"] = size(totals["bytesUnused"]) if complete else "incomplete"
    elif any("bytesUsed" in one for one in images):
        words["used"] = words["unused"] = "partial"
    return words


def inventoried(source: str, known: Known, images: Sequence[Mapping[str, Any]]) -> Condition:
    """Whether it is known what every image of the status holds. `images` are the status' own."""
    kind = "Inventoried"
    if source == "None":
        return Condition(kind, "False", "NotWanted", f"spec.inventory.source is None. {WAY_OUT}")
    if not images:
        return Condition(kind, "Unknown", "NoEvidence", "No image has been recorded yet")
    digests = [str(one.get("digest") or "") for one in images]
    nameless = sum(not digest for digest in digests)
    troubles = [found for one in digests if isinstance(found := known.images.get(one), Trouble)]
    waiting = sum(bool(one) and one not in known.images for one in digests)
    judged = len(digests) - len(troubles) - waiting - nameless
    parts = [f"{judged} of {_images(len(digests))} compared with what was recorded"]
    if troubles:
        first = troubles[0].reason
        same = [one for one in troubles if one.reason == first]
        parts += [clip(one.message, _WORDS) for one in same[:_TOLD]]
        if len(troubles) > min(len(same), _TOLD):
            parts.append(f"and {len(troubles) - min(len(same), _TOLD)} further")
        return Condition(kind, "False", first, f"{'; '.join(parts)}. {WAY_OUT}")
    if waiting:
        return Condition(kind, "Unknown", "InProgress", f"{parts[0]}; {waiting} to go")
    if nameless:
        return Condition(kind, "Unknown", "NoDigest", f"{parts[0]}; the digest of {nameless} is not known")
    for image in images:
        found = known.images.get(str(image.get("digest")))
        if isinstance(found, Findings) and found.notes:
            more = f" (and {found.notes - 1} more: `snoop analyze` tells them)" if found.notes > 1 else ""
            parts.append(f"{image.get('image')}: {clip(found.note, _WORDS)}{more}")
    strangers = sum(known.unrecorded.get(digest, 0) for digest in set(digests))
    if strangers:
        parts.append(
            f"{pods(strangers)} of this namespace that the profile does not select use the same images and carry no "
            "agent: what these use was not seen"
        )
    return Condition(kind, "True", "Inventoried", "; ".join(parts))


def size(number: int) -> str:
    """Write bytes for people: `142 MiB`, `1.3 GiB`."""
    for unit, factor in _UNITS:
        if number >= factor:
            amount = number / factor
            return f"{amount:.1f} {unit}" if amount < 10 else f"{amount:.0f} {unit}"
    return f"{number} B"


def _images(number: int) -> str:
    return f"{number} image" if number == 1 else f"{number} images"
