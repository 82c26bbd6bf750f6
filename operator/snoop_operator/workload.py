"""What the operator knows of one pod: a trimmed, immutable picture of the API server's object. Pure; no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from snoop_report.model import Identity


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a pod is not injected: a stable snake_case code and a sentence for people."""

    code: str
    message: str


NOT_INJECTED = Refusal(
    "not_injected",
    "the pod was created before the profile, or while the operator could not answer; restart it to have it recorded",
)


@dataclass(frozen=True, slots=True)
class PodState:
    """One pod as last seen."""

    namespace: str
    name: str
    uid: str
    node: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    owner: str = ""
    """UID of the controlling owner, or empty."""
    created_at: float = 0.0
    phase: str = "Pending"
    terminating: bool = False
    injected: bool = False
    """Carries our sidecar."""
    agent_image: str = ""
    agent_started: bool = False
    """Its startup probe passed: it traces, or has given up and says so in its report."""
    agent_trouble: str = ""
    """Reason and message if our container is stuck (`ImagePullBackOff: …`), else empty."""
    agent_finished: bool = False
    """Our container has terminated for good."""
    agent_restarts: int = 0
    """How often our container was started again."""
    refusal: Refusal | None = None
    """Why it carries no sidecar, if a profile selects it."""
    containers: Mapping[str, Identity] = field(default_factory=dict)
    """Container ID (no scheme) → name, image, digest, from the pod's status now (earlier restarts are forgotten)."""
    ran: Mapping[str, float] = field(default_factory=dict)
    """Container ID → when it started, of those that have executed something."""
    pull_secrets: tuple[str, ...] = ()
    """Names of the Secrets that its images are pulled with; those of its ServiceAccount are among them."""
