"""The command line as a person runs it: a process with report files, which tests make here."""

import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from snoop_cli.main import cli
from snoop_report.codec import dumps_report
from snoop_report.model import AgentInfo, ContainerReport, Gap, GapCode, Kind, Observation, Outcome, Report

START = 1_768_473_000.0
"""2026-01-15T10:30:00Z."""
ID = "4bf1c0de" + "0" * 56
DIGEST = "sha256:" + "ab" * 32
Run = Callable[..., "subprocess.CompletedProcess[Any]"]


def used(
    path: str, *kinds: str, target: str | None = None, outcome: str = "exists", at: float = 1.0, **more: Any
) -> Observation:
    """One observation; what exists resolved to itself unless said otherwise."""
    answer = Outcome(outcome)
    led = target if target is not None else path if answer is Outcome.EXISTS else ""
    seen = frozenset(map(Kind, kinds or ("read",)))
    return Observation(path, led, answer, seen, START + at, START + at, **more)


def container(*observations: Observation, name: str = "app", id: str = ID, **more: Any) -> ContainerReport:  # noqa: A002 - the field's name
    """One container of nginx."""
    given: dict[str, Any] = {"image": "nginx:1.25", "digest": DIGEST, "total_events": 40, "started_at": START, **more}
    made = ContainerReport(id, 7, f"/kubepods/{id}", name=name, **given)
    made.observations = {one.key: one for one in observations}
    return made


def report(*containers: ContainerReport, gaps: Iterable[Gap] = (), **more: Any) -> Report:
    """The report of pod shop/web-0, fifteen minutes long."""
    given: dict[str, Any] = {
        "pod_name": "web-0",
        "namespace": "shop",
        "pod_uid": "uid-0",
        "node": "n1",
        "labels": {"app": "web"},
        "exclude": ("/dev/", "/proc/", "/sys/"),
        "agent": AgentInfo("0.1.0", "6.18.0", "vfs", "fexit"),
        **more,
    }
    end = START + 900
    return Report(started_at=START, last_updated_at=end, containers=list(containers), gaps=list(gaps), **given)


def late(container: str = "") -> Gap:
    """A gap."""
    return Gap(GapCode.LATE_START, "containers ran 3 s before the hooks", START, 1, container)


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Write reports into one file."""

    def write(*reports: Report, to: str = "web.json") -> Path:
        path = tmp_path / to
        path.write_text("".join(map(dumps_report, reports)))
        return path

    return write


@pytest.fixture
def snoop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `snoop` in `tmp_path`, inside this process: what needs a terminal or a pipe starts one of its own."""
    monkeypatch.chdir(tmp_path)

    def run(
        *arguments: object, stdin: str | None = None, text: bool = True, env: dict[str, str] | None = None
    ) -> "subprocess.CompletedProcess[Any]":
        done = CliRunner().invoke(cli, list(map(str, arguments)), input=stdin, env=env, prog_name="snoop")
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        out = done.stdout_bytes.decode() if text else done.stdout_bytes
        return subprocess.CompletedProcess([], done.exit_code, out, done.stderr)

    return run
