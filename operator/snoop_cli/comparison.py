"""What two pieces of evidence used differently. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from snoop_cli.evidence import Evidence
from snoop_cli.uses import Selection, Use, uses
from snoop_report.model import Outcome


@dataclass(frozen=True, slots=True)
class Change:
    """One path and outcome that both have, used in different ways."""

    before: Use
    after: Use


@dataclass(frozen=True, slots=True)
class Comparison:
    """What A and B do not have in common, of what was selected. Sorted by path."""

    only_a: tuple[Use, ...]
    only_b: tuple[Use, ...]
    changed: tuple[Change, ...]
    """The same paths, with other kinds of use."""
    same: int
    """Paths that both used in the same way."""
    gaps_a: tuple[str, ...]
    """Codes of the gaps that only A has."""
    gaps_b: tuple[str, ...]
    known_a: dict[str, tuple[Outcome, ...]]
    """Of paths only in B: with which other outcomes A asked for them."""
    known_b: dict[str, tuple[Outcome, ...]]

    @property
    def differs(self) -> bool:
        """Whether there is any difference in use; gaps are no use."""
        return bool(self.only_a or self.only_b or self.changed)


def compare(a: Evidence, b: Evidence, selection: Selection) -> Comparison:
    """Compare what was selected of both."""
    in_a = {use.key: use for use in uses(a, selection)}
    in_b = {use.key: use for use in uses(b, selection)}
    both = [(use, in_b[key]) for key, use in in_a.items() if key in in_b]
    only_a = tuple(use for key, use in in_a.items() if key not in in_b)
    only_b = tuple(use for key, use in in_b.items() if key not in in_a)
    codes_a = {one.code for one in a.shortcomings}
    codes_b = {one.code for one in b.shortcomings}
    changed = tuple(Change(one, other) for one, other in both if one.kinds != other.kinds)
    return Comparison(
        only_a,
        only_b,
        changed,
        len(both) - len(changed),
        tuple(sorted(codes_a - codes_b)),
        tuple(sorted(codes_b - codes_a)),
        _otherwise(a, only_b),
        _otherwise(b, only_a),
    )


def _otherwise(evidence: Evidence, lacking: Sequence[Use]) -> dict[str, tuple[Outcome, ...]]:
    """Tell what `evidence` knows of paths that it lacks with the outcome in question."""
    wanted = {use.path for use in lacking}
    found: dict[str, set[Outcome]] = {}
    for report in evidence.reports:
        for container in report.containers:
            for seen in container.observations.values():
                if seen.path in wanted:
                    found.setdefault(seen.path, set()).add(seen.outcome)
    return {path: tuple(sorted(outcomes)) for path, outcomes in found.items()}
