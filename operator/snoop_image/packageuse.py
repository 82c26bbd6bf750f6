"""Which packages are used, and what must stay with those that do."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from snoop_image.links import Directories
from snoop_image.model import Inventory, Package, PackageKind
from snoop_image.names import Names
from snoop_image.reasons import Reason, ReasonCode
from snoop_image.totals import weights


class PackageUse(StrEnum):
    """Of one package."""

    USED = "used"
    """A file of it was seen in use, and none of its files is unused."""
    PARTLY_USED = "partly_used"
    """A file of it was seen in use, and others were not."""
    NEEDED = "needed"
    """None was seen in use, but what stays needs one of them or the package, or it is protected or essential."""
    UNUSED = "unused"
    UNKNOWN = "unknown"
    """The evidence or the package database does not allow a verdict."""


@dataclass(frozen=True, slots=True)
class PackageVerdict:
    """The verdict on one package."""

    package: Package
    use: PackageUse
    words: str
    """Why, as the end of a sentence."""
    files: int = 0
    unused_files: int = 0
    bytes: int = 0
    unused_bytes: int = 0
    """Hard links once, where they are kept; a name that shares its bytes with a kept one frees none."""


class Packages:
    """Judges the packages of an image."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._providers: dict[tuple[PackageKind, str], list[int]] = {}
        for number, package in enumerate(inventory.packages):
            for name in {package.name, *package.provides}:
                self._providers.setdefault((package.kind, name), []).append(number)

    def stay(
        self,
        used: Collection[str],
        needed: Collection[str],
        protected: Collection[str],
        blind: Callable[[str], bool],
    ) -> dict[int, tuple[PackageUse, str]]:
        """Give the packages that stay, by number, with a use (`used` for any) and why.

        Those of which it cannot be known (`unknown`) are among them: what they require must stay as well.
        """
        found: dict[int, tuple[PackageUse, str]] = {}
        for number, package in enumerate(self._inventory.packages):
            if any(path in used for path in package.files):
                found[number] = (PackageUse.USED, "seen in use")
                continue
            for some, words in ((needed, "a kept file needs"), (protected, "protected:")):
                path = next((path for path in package.files if path in some), None)
                if path is not None:
                    found[number] = (PackageUse.NEEDED, f"{words} {path}")
                    break
            else:
                if package.essential:
                    found[number] = (PackageUse.NEEDED, "the distribution calls it essential")
                elif not package.files_known:
                    found[number] = (PackageUse.UNKNOWN, "which files it has is not known")
                elif any(map(blind, package.files)):
                    found[number] = (PackageUse.UNKNOWN, "files of it lie where nothing was recorded")
        self._require(found)
        return found

    def _require(self, found: dict[int, tuple[PackageUse, str]]) -> None:
        pending = list(found)
        while pending:
            package = self._inventory.packages[pending.pop()]
            for group in package.requires:
                for name in group:
                    for number in self._providers.get((package.kind, name), ()):
                        # Who may be in use may need it as well as who is.
                        if number not in found or found[number][0] is PackageUse.UNKNOWN:
                            found[number] = (PackageUse.NEEDED, f"required by {package.name}")
                            pending.append(number)

    def verdicts(
        self, verdicts: Mapping[str, str], stays: Mapping[int, tuple[PackageUse, str]], complete: bool
    ) -> list[PackageVerdict]:
        """Judge each package, in the inventory's order; unless the evidence is `complete`, none is unused."""
        entries = self._inventory.entries
        owners = weights(entries, verdicts)
        judged = []
        for number, package in enumerate(self._inventory.packages):
            size = files = unused_files = unused_bytes = unknown = 0
            for path in package.files:
                entry = entries.get(path)
                if entry is None:
                    continue
                own = entry.size if not entry.link or owners[entry.link] == path else 0
                files += 1
                size += own
                unknown += verdicts[path] == "unknown"
                if verdicts[path] == "unused":
                    unused_files += 1
                    unused_bytes += own
            use, words = stays.get(number, (PackageUse.UNUSED, "no file of it was seen in use"))
            if use is PackageUse.USED and unused_files:
                use = PackageUse.PARTLY_USED
            elif use is PackageUse.UNUSED and (unknown or not complete):
                use, words = PackageUse.UNKNOWN, "no file of it was seen in use, but what was seen is not all"
            judged.append(PackageVerdict(package, use, words, files, unused_files, size, unused_bytes))
        return judged


def companions(
    inventory: Inventory, names: Names, stays: Mapping[int, tuple[PackageUse, str]]
) -> Iterator[tuple[str, Reason]]:
    """Give what stays with the packages that stay: configuration, copyright, and what its language reads of it."""
    directories = Directories(inventory.entries)
    for number in stays:
        package = inventory.packages[number]
        name = package.name
        reason = Reason(ReasonCode.CONFIGURATION, f"configuration of the package {name}, which stays")
        yield from ((path, reason) for path in package.configuration)
        licence = Reason(ReasonCode.LICENCE, f"the copyright of the package {name}, which stays")
        if package.kind in (PackageKind.DEB, PackageKind.APK, PackageKind.RPM):
            path = f"/usr/share/doc/{name}/copyright"
            if directories.own(path):
                yield path, licence
            for place in (f"/usr/share/licenses/{name}", f"/usr/share/licenses/{package.source or name}"):
                yield from ((path, licence) for path in names.below(place))
        elif package.database:
            yield from _metadata(names, package, licence)


def _metadata(names: Names, package: Package, licence: Reason) -> Iterator[tuple[str, Reason]]:
    """Give what importlib.metadata and npm read: *.dist-info and *.egg-info; package.json and the licence beside it."""
    reason = Reason(ReasonCode.METADATA, f"tells of the package {package.name}, which stays")
    yield package.database, reason
    directory = package.database.rpartition("/")[0]
    if directory.endswith((".dist-info", ".egg-info")):
        yield from ((path, reason) for path in names.below(directory))
    elif package.kind is PackageKind.NODE:
        for path in names.children(directory):
            if path[len(directory) + 1 :].upper().startswith(("LICEN", "COPYING", "NOTICE")):
                yield path, licence
