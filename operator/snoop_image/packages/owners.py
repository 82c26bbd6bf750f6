"""From files to packages."""

from collections.abc import Mapping, Sequence

from snoop_image.model import Package


def ownership(packages: Sequence[Package]) -> Mapping[str, tuple[int, ...]]:
    """Give for each path the indexes of the packages that have it, in order; mostly one.

    Paths of 200,000 files take some 15 MiB: the strings are the packages' own.
    """
    found: dict[str, tuple[int, ...]] = {}
    for index, package in enumerate(packages):
        alone = (index,)
        for path in package.files:
            before = found.get(path)
            found[path] = alone if before is None else (*before, index)
    return found
