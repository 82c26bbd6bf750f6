from pathlib import Path

import pytest

from snoop_agent import spool, state


def test_a_first_run_knows_that_it_is_the_first(tmp_path: Path) -> None:
    first = state.begin(tmp_path)

    assert (first.run, first.restarted, first.hopeless) == (1, False, False)


def test_a_later_run_knows_of_the_earlier_ones_and_has_a_name_of_its_own(tmp_path: Path) -> None:
    first, second = state.begin(tmp_path), state.begin(tmp_path)

    assert (second.run, second.restarted) == (2, True)
    assert first.boot != second.boot


def test_after_two_deaths_while_preparing_it_is_hopeless(tmp_path: Path) -> None:
    for _ in range(2):
        run = state.begin(tmp_path)
        assert not run.hopeless
        state.keep(tmp_path, state.preparing(run))

    assert state.begin(tmp_path).hopeless
    assert state.begin(tmp_path).hopeless


def test_a_run_that_survived_preparing_clears_the_earlier_deaths(tmp_path: Path) -> None:
    state.keep(tmp_path, state.preparing(state.begin(tmp_path)))
    run = state.begin(tmp_path)
    state.keep(tmp_path, state.preparing(run))
    state.keep(tmp_path, state.prepared(run))

    assert state.begin(tmp_path).deaths == 0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"run": null}'])
def test_a_mark_that_cannot_be_read_still_tells_of_a_run(tmp_path: Path, text: str) -> None:
    (tmp_path / "agent.json").write_text(text)

    assert state.begin(tmp_path).restarted


def test_where_nothing_can_be_written_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(spool.SpoolError):
        state.begin(tmp_path / "no")
