"""Files and bytes by verdict: of the image, its top-level directories and its layers; hard links once."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from snoop_image.model import Entry, FileType, Inventory, Layer

# Best first: the bytes of a hard-linked file go with the best of its names.
ORDER = ("used", "needed", "protected", "unknown", "unused")


@dataclass(slots=True)
class Count:
    """Names that are no directories, and bytes of content."""

    files: int = 0
    bytes: int = 0


@dataclass(slots=True)
class Counts:
    """By verdict."""

    by_verdict: dict[str, Count] = field(default_factory=lambda: {verdict: Count() for verdict in ORDER})

    def of(self, *verdicts: str) -> Count:
        """Sum over verdicts; over all if none is named."""
        chosen = [self.by_verdict[verdict] for verdict in verdicts or ORDER]
        return Count(sum(one.files for one in chosen), sum(one.bytes for one in chosen))

    @property
    def kept(self) -> Count:
        """What stays."""
        return self.of("used", "needed", "protected")


@dataclass(frozen=True, slots=True)
class LayerCounts:
    """Of what one layer brought and no later one replaced."""

    layer: Layer
    shared: bool
    """Whether other images have it too."""
    counts: Counts


@dataclass(slots=True)
class Totals:
    """Of an image."""

    counts: Counts = field(default_factory=Counts)
    directories: dict[str, Counts] = field(default_factory=dict)
    """By top-level directory; files directly in the root under `/`."""
    layers: list[LayerCounts] = field(default_factory=list)

    @property
    def unused(self) -> int:
        """Bytes not seen in use (gross)."""
        return self.counts.of("unused").bytes

    @property
    def net(self) -> int:
        """Those of them that leave a node's disk when the image is built anew on its shared layers."""
        return sum(one.counts.of("unused").bytes for one in self.layers if not one.shared)

    @property
    def net_flattened(self) -> int:
        """What leaves a node's disk when the image becomes one layer of its own; negative: more comes than goes.

        The shared layers stay for the other images' sake, so what is kept of them comes on top.
        """
        own = sum(one.counts.of().bytes for one in self.layers if not one.shared)
        stays = self.counts.of("used", "needed", "protected", "unknown").bytes
        return own - stays


def weights(entries: Mapping[str, Entry], verdicts: Mapping[str, str]) -> dict[int, str]:
    """Give, for each hard-linked file, the name that its bytes go with: the first of those with the best verdict."""
    owners: dict[int, str] = {}
    ranks = {verdict: rank for rank, verdict in enumerate(ORDER)}
    for path, entry in entries.items():
        if entry.link:
            known = owners.get(entry.link)
            if known is None or ranks[verdicts[path]] < ranks[verdicts[known]]:
                owners[entry.link] = path
    return owners


def count(inventory: Inventory, verdicts: Mapping[str, str], shared: Collection[str] = ()) -> Totals:
    """Count an image. `shared` are digests, of either kind, of layers that other images have too."""
    totals = Totals()
    owners = weights(inventory.entries, verdicts)
    layers = inventory.layers or [Layer()]
    totals.layers = [
        LayerCounts(layer, bool({layer.digest, layer.blob} - {""} & set(shared)), Counts()) for layer in layers
    ]
    for path, entry in inventory.entries.items():
        if entry.type is FileType.DIRECTORY:
            continue
        verdict = verdicts[path]
        size = entry.size if not entry.link or owners[entry.link] == path else 0
        end = path.find("/", 1)
        top = totals.directories.setdefault(path[:end] if end > 0 else "/", Counts())
        for counts in (totals.counts, top, totals.layers[min(entry.layer, len(layers) - 1)].counts):
            one = counts.by_verdict[verdict]
            one.files += 1
            one.bytes += size
    return totals
