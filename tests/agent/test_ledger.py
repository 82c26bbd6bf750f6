import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from snoop_agent import wire
from snoop_agent.ledger import KINDS, Executables, Ledger, kinds_of
from snoop_report.merge import observe
from snoop_report.model import ContainerReport, Kind, Observation, Outcome
from snoop_report.paths import decode

PATHS = st.sampled_from([b"/a", b"/a/b", b"/b", b"/a b", b"/\xff", b"/\xc3\xa9", b"/a\n"])
TOUCHES = st.lists(
    st.tuples(
        PATHS, st.just(b"") | PATHS, st.sampled_from(Outcome), st.integers(1, 2047), st.booleans(), st.booleans()
    ),
    max_size=30,
)


def everything(ledger: Ledger) -> list[Observation]:
    return sorted(ledger.observations(), key=lambda seen: seen.key)


@given(TOUCHES)
def test_packed_observations_say_what_the_models_own_would(
    touches: list[tuple[bytes, bytes, Outcome, int, bool, bool]],
) -> None:
    ledger, model = Ledger(Executables()), ContainerReport("c", 1, "")
    for second, (path, target, outcome, kinds, volume, collapsed) in enumerate(touches, 1):
        ledger.note(path, target, outcome, kinds, second, b"/app", volume=volume, collapsed=collapsed)
        known = Observation(
            decode(path), decode(target), outcome, kinds_of(kinds), second, second, "/app", volume, collapsed
        )
        observe(model, known)

    assert everything(ledger) == sorted(model.observations.values(), key=lambda seen: seen.key)
    assert sorted(ledger.existing()) == model.files
    assert sorted(ledger.missing()) == model.missing
    assert list(ledger.existing()) == sorted(
        ledger.existing(), key=lambda path: path.encode("utf-8", "surrogateescape")
    )


def test_bits_are_the_kernels() -> None:
    for bit, kind in ((wire.READ, Kind.READ), (wire.EXECUTE, Kind.EXECUTE), (wire.OPEN, Kind.OPEN)):
        assert kinds_of(bit) == {kind}
    assert kinds_of(wire.READ | wire.LIST) == {Kind.READ, Kind.LIST}
    assert set(KINDS) == set(Kind)


def test_what_is_taken_is_news_no_longer_until_it_changes() -> None:
    ledger = Ledger(Executables())
    for number in range(5):
        ledger.note(b"/%d" % number, b"", Outcome.EXISTS, wire.STAT, 1.0, b"")

    taken = ledger.take(3, 1 << 20) + ledger.take(3, 1 << 20)

    assert sorted(seen.path for seen in taken) == ["/0", "/1", "/2", "/3", "/4"]
    assert ledger.fresh == 0
    ledger.note(b"/2", b"", Outcome.EXISTS, wire.STAT, 2.0, b"")
    assert ledger.fresh == 0
    ledger.note(b"/2", b"", Outcome.EXISTS, wire.READ, 2.0, b"")
    ledger.note(b"/2", b"", Outcome.EXISTS, wire.WRITE, 2.0, b"")
    assert [(seen.path, seen.kinds) for seen in ledger.take(9, 1 << 20)] == [("/2", {Kind.STAT, Kind.READ, Kind.WRITE})]
    ledger.forget_taken()
    assert ledger.fresh == 5


def test_one_take_is_bounded_in_bytes_too() -> None:
    ledger = Ledger(Executables())
    for number in range(100):
        ledger.note(b"/" + b"x" * 1000 + b"%d" % number, b"", Outcome.EXISTS, wire.STAT, 1.0, b"")

    assert len(ledger.take(100, 10_000)) == 10


def test_at_the_cap_what_is_known_stays_and_grows_and_the_rest_is_counted() -> None:
    ledger = Ledger(Executables(), cap=2)
    for path in (b"/a", b"/b", b"/c", b"/d"):
        ledger.note(path, path, Outcome.EXISTS, wire.READ, 1.0, b"")
    ledger.note(b"/a", b"/a", Outcome.EXISTS, wire.WRITE, 2.0, b"")

    assert list(ledger.existing()) == ["/a", "/b"]
    assert everything(ledger)[0].kinds == {Kind.READ, Kind.WRITE}
    assert ledger.refused == 2


def test_an_observation_costs_about_two_hundred_bytes() -> None:
    ledger = Ledger(Executables())
    tracemalloc.start()
    try:
        for number in range(20_000):
            path = b"/usr/lib/python3/dist-packages/some/module%06d.py" % number
            ledger.note(path, path, Outcome.EXISTS, wire.READ, 1.0, b"/usr/bin/python3")
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert used / 20_000 < 280
