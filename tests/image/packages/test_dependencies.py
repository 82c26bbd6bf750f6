import time

from hypothesis import given
from hypothesis import strategies as st

from snoop_image.model import Package, PackageKind
from snoop_image.packages import Dependencies, ownership

NAMES = st.sampled_from("abcdef")


def package(name: str, *requires: tuple[str, ...], essential: bool = False, provides: tuple[str, ...] = ()) -> Package:
    return Package(PackageKind.DEB, name, "1", requires=requires, essential=essential, provides=provides)


PACKAGES = st.lists(
    st.builds(
        Package,
        kind=st.sampled_from([PackageKind.DEB, PackageKind.NODE]),
        name=NAMES,
        version=st.just("1"),
        requires=st.lists(st.lists(NAMES, min_size=1, max_size=3).map(tuple), max_size=3).map(tuple),
        provides=st.lists(NAMES, max_size=2).map(tuple),
        essential=st.booleans(),
        files=st.lists(st.sampled_from(["/a", "/b", "/c"]), unique=True).map(tuple),
        database=st.sampled_from(["", "/x/node_modules/a/package.json", "/x/node_modules/b/package.json"]),
    ),
    max_size=8,
)


def test_a_used_package_keeps_what_it_needs_and_says_through_which() -> None:
    graph = Dependencies([package("a", ("b",)), package("b", ("c",)), package("c"), package("d")])
    assert graph.needed([0]) == {0: None, 1: 0, 2: 1}


def test_all_alternatives_that_are_installed_are_needed() -> None:
    graph = Dependencies([package("a", ("b", "c", "gone")), package("b"), package("c"), package("d", provides=("b",))])
    assert set(graph.needed([0])) == {0, 1, 2, 3}


def test_cycles_end() -> None:
    graph = Dependencies([package("a", ("b",)), package("b", ("a",)), package("c", ("c",))])
    assert set(graph.needed([0])) == {0, 1}
    assert graph.requirements(2) == ()
    assert graph.purgeable([2]) == [2]


def test_what_needs_each_other_goes_together_and_what_is_needed_stays() -> None:
    packages = [package("used", ("lib",)), package("lib"), package("tool", ("part",)), package("part", ("tool",))]
    graph = Dependencies([*packages, package("core", essential=True)])
    assert graph.purgeable([1, 2, 3, 4]) == [2, 3]
    assert graph.purgeable([3]) == []
    assert graph.dependents(1) == (0,)


def test_packages_of_another_kind_are_not_needed() -> None:
    packages = [package("a", ("b",)), Package(PackageKind.PYTHON, "b", "1")]
    assert set(Dependencies(packages).needed([0])) == {0}


def test_a_name_that_all_need_and_all_answer_to_takes_no_quadratic_time() -> None:
    graph = Dependencies([package("a", ("b",), provides=("b",))] * 20_000)
    began = time.process_time()
    assert len(graph.needed([0])) == 20_000
    assert time.process_time() - began < 5
    assert graph.purgeable(range(20_000)) == list(range(20_000))


@given(PACKAGES, st.sets(st.integers(0, 7)))
def test_nothing_that_stays_needs_what_goes(packages: list[Package], unused: set[int]) -> None:
    graph = Dependencies(packages)
    unused &= set(range(len(packages)))
    going = set(graph.purgeable(unused))
    staying = set(range(len(packages))) - going
    assert going <= unused
    assert not [index for index in staying if not going.isdisjoint(graph.requirements(index))]
    assert not [index for index in going if packages[index].essential]


@given(PACKAGES, st.sets(st.integers(0, 7)))
def test_what_is_needed_is_the_least_that_holds_itself(packages: list[Package], used: set[int]) -> None:
    graph = Dependencies(packages)
    used &= set(range(len(packages)))
    expected = used | set(graph.essential)
    while more := {one for index in expected for one in graph.requirements(index)} - expected:
        expected |= more
    found = graph.needed(used)
    assert set(found) == expected
    for index, by in found.items():
        assert (index in used or index in graph.essential) if by is None else index in graph.requirements(by)


@given(PACKAGES)
def test_dependents_are_requirements_the_other_way(packages: list[Package]) -> None:
    graph = Dependencies(packages)
    pairs = {(a, b) for a in range(len(packages)) for b in graph.requirements(a)}
    assert {(a, b) for b in range(len(packages)) for a in graph.dependents(b)} == pairs


@given(PACKAGES)
def test_ownership_is_files_the_other_way(packages: list[Package]) -> None:
    expected = {(path, index) for index, one in enumerate(packages) for path in one.files}
    assert {(path, index) for path, indexes in ownership(packages).items() for index in indexes} == expected
