"""Which batches count: those that had the core for themselves."""

import itertools
from collections.abc import Callable, Sequence

import pytest
from tests.bench import overhead, timing
from tests.bench.containers import Load
from tests.bench.timing import Core, Timed

QUIET = [(1000.0, 50.0)] * 90 + [(1900.0, 95.0)] * 10
BESIDE = [(1900.0, 95.0)] * 70 + [(1400.0, 50.0)] * 30


class _Printed(Load):
    """A load that has printed these batches: what an operation took, what filling the core took."""

    def __init__(self, batches: Sequence[tuple[float, float]]) -> None:
        self._batches = batches

    def go(self) -> Load:
        return self

    def result(self) -> list[float]:
        return list(itertools.chain.from_iterable(self._batches))


def _starting(*runs: Sequence[tuple[float, float]]) -> Callable[[], Load]:
    left = iter(runs)
    return lambda: _Printed(next(left))


def test_only_batches_that_had_the_core_for_themselves_count() -> None:
    assert Core().timed(_starting(QUIET)) == Timed(1000.0, 1000.0, True)


def test_a_load_beside_a_neighbour_is_run_again_and_not_even_its_quiet_batches_count() -> None:
    assert Core().timed(_starting(BESIDE, BESIDE, QUIET)).median == 1000.0


def test_a_neighbour_who_was_always_there_is_known_by_what_the_core_took_before() -> None:
    core = Core()
    core.timed(_starting(QUIET))
    always = [(1900.0, 95.0)] * 100
    assert core.timed(_starting(always, QUIET)).median == 1000.0
    assert core.timed(_starting(always, always), tries=2) == Timed(1900.0, 1900.0, False)


def test_a_neighbour_who_was_there_from_the_start_is_noticed_when_he_goes() -> None:
    core = Core()
    core.timed(_starting([(1900.0, 95.0)] * 100))
    assert not core.misjudged
    core.timed(_starting(QUIET))
    assert core.misjudged


def test_the_cores_clock_may_move_a_little() -> None:
    core = Core()
    core.timed(_starting(QUIET))
    assert core.timed(_starting([(1080.0, 54.0)] * 100)) == Timed(1080.0, 1080.0, True)
    core.timed(_starting([(960.0, 48.0)] * 100))
    assert not core.misjudged
    assert timing.alone([1.0, 2.0, 3.0], [50.0, 54.0, 60.0], 50.0) == [1.0, 2.0]


def test_a_figure_leaves_out_rounds_beside_a_neighbour_and_says_so() -> None:
    rounds = [(Timed(1000.0, 1100.0), Timed(1400.0, 1500.0)), (Timed(1000.0, 1100.0, False), Timed(900.0, 950.0))]
    row = overhead.row("an open", "raw_tp", rounds, 450.0)
    assert (row.value, row.verdict, row.samples) == (400.0, "ok", [400.0])
    assert "1 of 2 rounds beside a neighbour" in row.detail
    assert "neighbour" not in overhead.row("an open", "raw_tp", rounds[:1], 450.0).detail


def test_a_figure_without_any_round_is_none() -> None:
    row = overhead.row("an open", "raw_tp", [(Timed(1000.0, 1100.0), Timed(200.0, 300.0, False))] * 3, 450.0)
    assert (row.value, row.verdict) == (None, "")
    assert "3 of 3 rounds" in row.detail


@pytest.mark.parametrize(("way", "what", "target"), [("tracepoint", "getppid", 50.0), ("fexit", "getppid", 5.0)])
def test_the_target_of_many_sidecars_is_that_of_one_and_a_tenth(way: str, what: str, target: float) -> None:
    (figure,) = (one for one in overhead.TARGETS[way] if one.startswith(what))
    assert overhead.target_of(way, figure, {figure: 200.0}, 1) == target
    assert overhead.target_of(way, figure, {figure: 200.0}, 100) == pytest.approx(220.0)
    assert overhead.target_of(way, figure, {figure: -80.0}, 100) == 5.0
    assert overhead.target_of(way, figure, {}, 100) == target
