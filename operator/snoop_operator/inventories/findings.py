"""What is known of an image's inventory, for the rollup. Values; no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Findings:
    """The verdict on one image, counted. Bytes are of content, hard links once."""

    files: int
    """Names in the image that are no directories."""
    bytes: int
    bytes_kept: int
    """Of what was seen in use, what that needs, and what is protected."""
    bytes_unused: int
    """Of what was not seen in use; 0 and meaningless unless `complete`."""
    packages_unused: int
    """Packages of which nothing was seen in use and that nothing needs; as `bytes_unused`."""
    complete: bool
    """Whether the evidence that was judged allows to speak of disuse."""
    notes: int = 0
    """What could not be seen, read or found in the image, counted."""
    note: str = ""
    """The first of it, a sentence."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why there is no verdict."""

    reason: str
    """One CamelCase word."""
    message: str
    """With the image's name, and what to do."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a profile's images now. An image that is not in `images` is waited for."""

    images: Mapping[str, Findings | Trouble] = field(default_factory=dict)
    """By digest."""
    unrecorded: Mapping[str, int] = field(default_factory=dict)
    """Digest → pods of the namespace that run the image, carry no agent and that the profile does not select."""
