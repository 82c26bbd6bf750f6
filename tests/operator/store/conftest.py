from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from snoop_operator.profile import Profile, Selector
from snoop_operator.store.interface import PodKey
from snoop_operator.store.sql import SqlStore, open_sqlite
from snoop_operator.workload import PodState
from snoop_report.model import AgentInfo, ContainerReport, Delta, Gap, Identity, Kind, Observation, Outcome, Report

NGINX = Identity("nginx", "nginx:1.27", "sha256:" + "a" * 64)


class Make:
    """Short ways to say what a test is about."""

    nginx = NGINX
    labels = {"app": "web"}  # noqa: RUF012 - never changed

    @staticmethod
    def key(uid: str = "u1", name: str = "web-1") -> PodKey:
        return PodKey("shop", name, uid, "node-1")

    @staticmethod
    def seen(
        path: str,
        target: str | None = None,
        outcome: Outcome = Outcome.EXISTS,
        kinds: Iterable[Kind] = (Kind.READ,),
        first: float = 100.0,
        last: float = 100.0,
        executable: str = "/usr/sbin/nginx",
        *,
        volume: bool = False,
        collapsed: bool = False,
    ) -> Observation:
        resolved = path if target is None else target
        return Observation(path, resolved, outcome, frozenset(kinds), first, last, executable, volume, collapsed)

    @staticmethod
    def container(
        *observations: Observation, key: str = "c1", events: int = 0, dropped: int = 0, started: float = 90.0
    ) -> ContainerReport:
        made = ContainerReport(key, 42, f"/kubepods/{key}", total_events=events, dropped_events=dropped)
        made.started_at = started
        made.observations = {one.key: one for one in observations}
        return made

    @staticmethod
    def delta(
        sequence: int,
        *containers: ContainerReport,
        boot: str = "b1",
        gaps: Iterable[Gap] = (),
        full: bool = False,
        final: bool = False,
        since: int = 0,
        more: bool = False,
        exclude: Iterable[str] = (),
        cap: int = 0,
    ) -> Delta:
        agent = AgentInfo("0.1.0", "6.1.0", "syscalls", "tracepoint")
        report = Report(started_at=90.0, containers=list(containers), gaps=list(gaps), agent=agent)
        report.exclude, report.max_unique_files = tuple(exclude), cap
        return Delta(boot, sequence, report, full or since > 0, final, since or (sequence if full else 0), more)

    @staticmethod
    def pod(uid: str = "u1", name: str = "web-1", *, injected: bool = True, **more: object) -> PodState:
        given: dict[str, object] = {"node": "node-1", "labels": Make.labels, "phase": "Running", **more}
        return PodState(namespace="shop", name=name, uid=uid, injected=injected, **given)  # type: ignore[arg-type]

    @staticmethod
    def profile(name: str = "web", **more: object) -> Profile:
        selector = Selector((("app", "web"),))
        return Profile("shop", name, "profile-uid", 1, selector, **more)  # type: ignore[arg-type]


@pytest.fixture
def make() -> type[Make]:
    return Make


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "snoop.db"


@pytest.fixture
async def store(file: Path) -> AsyncIterator[SqlStore]:
    opened = await open_sqlite(file, wait=0)
    yield opened
    await opened.close()
