"""What packages need of each other: which ones stay with a used one, and which can go together."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from snoop_image.model import Package, PackageKind

_MODULES = "/node_modules/"
_FILE = "/package.json"


def _names(package: Package) -> Iterator[str]:
    """Give the names by which others need a package."""
    yield package.name
    yield from package.provides
    if package.kind is PackageKind.NODE:
        yield package.database.removesuffix(_FILE).rpartition(_MODULES)[2]


class Dependencies:
    """The graph of one image's packages, by their indexes.

    Versions are left out, and of alternatives every one that is installed counts as needed: more rather than less.
    Only packages of one kind need each other.
    """

    def __init__(self, packages: Sequence[Package]) -> None:
        self._packages = packages
        self._named: dict[tuple[PackageKind, str], list[int]] = {}
        self._at: dict[str, int] = {}
        for index, package in enumerate(packages):
            for name in dict.fromkeys(_names(package)):
                self._named.setdefault((package.kind, name), []).append(index)
            if package.kind is PackageKind.NODE:
                self._at[package.database] = index
        self.essential: tuple[int, ...] = tuple(index for index, one in enumerate(packages) if one.essential)
        """Packages without which nothing works, as the distribution says."""

    def requirements(self, index: int) -> tuple[int, ...]:
        """Give the packages that one needs itself."""
        return tuple(dict.fromkeys(one for one in self._found(index, set()) if one != index))

    def _found(self, index: int, passed: set[tuple[PackageKind, str]]) -> Iterator[int]:
        """Give what one package needs, without what stands for names that were `passed` already; marks its own."""
        package = self._packages[index]
        for group in package.requires:
            for name in group:
                near = self._nearest(package, name) if package.kind is PackageKind.NODE else None
                if near is not None:
                    yield near
                elif (key := (package.kind, name)) not in passed:
                    passed.add(key)
                    yield from self._named.get(key, ())

    def _nearest(self, package: Package, name: str) -> int | None:
        """Give what Node finds (nodejs.org: modules, loading from node_modules folders); None if that is not plain.

        It may be a link, as pnpm makes them.
        """
        folder = package.database.removesuffix(_FILE)
        while folder:
            found = self._at.get(f"{folder}{_MODULES}{name}{_FILE}")
            if found is not None:
                return found
            folder = folder[: folder.rfind("/")]
        return None

    def needed(self, used: Iterable[int]) -> Mapping[int, int | None]:
        """Give what used packages and the essential ones need, these included.

        With each the package that needs it: one of the shortest way from a used one, None for where it begins. Used
        ones come first, so an essential package is told as needed only by what is used, if it is.
        """
        found: dict[int, int | None] = dict.fromkeys(used)
        # A name is looked up once, however many need it and however many answer to it.
        passed: set[tuple[PackageKind, str]] = set()
        self._spread(found, list(found), passed)
        more: dict[int, int | None] = {index: None for index in self.essential if index not in found}
        found.update(more)
        self._spread(found, list(more), passed)
        return found

    def _spread(self, found: dict[int, int | None], level: list[int], passed: set[tuple[PackageKind, str]]) -> None:
        while level:
            following = []
            for index in level:
                for one in self._found(index, passed):
                    if one not in found:
                        found[one] = index
                        following.append(one)
            level = following

    def purgeable(self, unused: Iterable[int]) -> list[int]:
        """Give those of the unused packages that can go together: none is essential, or needed by what stays."""
        candidates = set(unused)
        stay = self.needed(index for index in range(len(self._packages)) if index not in candidates)
        return sorted(candidates.difference(stay))

    def dependents(self, index: int) -> tuple[int, ...]:
        """Give the packages that need one themselves."""
        wanted = self._packages[index]
        names = set(_names(wanted))
        return tuple(
            other
            for other, package in enumerate(self._packages)
            if other != index
            and package.kind is wanted.kind
            and any(not names.isdisjoint(group) for group in package.requires)
            and index in self._found(other, set())
        )
