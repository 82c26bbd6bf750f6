"""Makes reports by hand."""

from collections.abc import Sequence

from snoop_report.model import ContainerReport, Gap, Kind, Observation, Outcome, Report


def seen(
    path: str,
    target: str = "",
    outcome: Outcome = Outcome.EXISTS,
    *,
    kinds: tuple[Kind, ...] = (Kind.READ,),
    executable: str = "",
    volume: bool = False,
    collapsed: bool = False,
) -> Observation:
    return Observation(path, target, outcome, frozenset(kinds), 1.0, 2.0, executable, volume, collapsed)


def pod(
    *observations: Observation,
    uid: str = "1",
    namespace: str = "shop",
    digest: str = "",
    started: float = 100.0,
    updated: float = 259_300.0,
    gaps: Sequence[Gap] = (),
    exclude: tuple[str, ...] = (),
) -> Report:
    container = ContainerReport("c1", 0, "", "app", digest=digest, observations={one.key: one for one in observations})
    return Report(
        "web-" + uid,
        namespace,
        uid,
        started_at=started,
        last_updated_at=updated,
        containers=[container],
        gaps=list(gaps),
        exclude=exclude,
    )
