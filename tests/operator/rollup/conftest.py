from dataclasses import replace
from typing import Any

import pytest

from snoop_operator.profile import Profile, Selector
from snoop_operator.rollup import AgentCheck, roll_up
from snoop_operator.store.interface import ContainerEvidence, ImageEvidence, PodEvidence, ProfileEvidence, Unprofiled
from snoop_operator.workload import PodState
from snoop_report.model import AgentInfo, Gap, GapCode

DIGEST = "sha256:" + "a" * 64


class Scene:
    """A profile, its pods and their evidence, to be varied."""

    now = 10_000.0
    digest = DIGEST

    def __init__(self) -> None:
        self.profile = Profile("shop", "web", "p1", 3, Selector((("app", "web"),)))
        self.pods: list[PodState] = []
        self.evidence: list[PodEvidence] = []
        self.images: tuple[ImageEvidence, ...] = ()
        self.lost: Gap | None = None
        self.gaps: tuple[Gap, ...] = ()
        self.unprofiled: tuple[Unprofiled, ...] = ()
        self.previous: dict[str, Any] = {}
        self.agent = AgentCheck(proven=True)
        self.known: Any = None

    def pod(self, uid: str, **more: Any) -> None:
        given = {"labels": {"app": "web"}, "phase": "Running", "injected": True, "agent_started": True, **more}
        self.pods.append(PodState("shop", f"pod-{uid}", uid, **{"created_at": self.now - 600, **given}))

    def reported(
        self, uid: str, *gaps: Gap, containers: tuple[ContainerEvidence, ...] | None = None, **more: Any
    ) -> None:
        given = {
            "first_report_at": self.now - 500,
            "last_report_at": self.now - 5,
            "final": False,
            "ended_at": 0.0,
            "agent": AgentInfo("0.1.0", "6.1", "syscalls", "tracepoint"),
            **more,
        }
        found = (self.container(f"{uid}-c"),) if containers is None else containers
        self.evidence.append(
            PodEvidence(
                uid=uid,
                namespace="shop",
                name=f"pod-{uid}",
                node="n",
                labels={},
                owner="",
                containers=found,
                gaps=gaps,
                **given,
            )
        )
        if not self.images:
            self.images = (ImageEvidence("nginx:1.27", DIGEST, 40, 9_000.0, 9_500.0),)

    @staticmethod
    def container(key: str, name: str = "nginx", image: str = "nginx:1.27", digest: str = DIGEST) -> ContainerEvidence:
        return ContainerEvidence(key, name, image, digest, 40, 100, 2, 9_000.0, 9_900.0)

    @staticmethod
    def gap(code: GapCode, words: str = "words", container: str = "", since: float = 9_000.0, count: int = 1) -> Gap:
        return Gap(code, words, since, count, container)

    def status(self) -> dict[str, Any]:
        evidence = ProfileEvidence("store-1", tuple(self.evidence), self.images, 41, 9_500.0, self.lost)
        evidence = replace(evidence, gaps=self.gaps, unprofiled=self.unprofiled)
        return roll_up(self.profile, self.pods, evidence, self.previous, self.now, self.agent, self.known)

    def condition(self, kind: str) -> tuple[str, str, str]:
        (one,) = [one for one in self.status()["conditions"] if one["type"] == kind]
        return one["status"], one["reason"], one["message"]


@pytest.fixture
def scene() -> Scene:
    return Scene()
