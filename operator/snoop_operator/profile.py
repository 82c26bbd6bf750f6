"""SnoopProfiles as values: what the API server's JSON says, parsed once. Pure; no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DEFAULT_EXCLUDE = ("/proc/", "/sys/", "/dev/")
DEFAULT_INTERVAL = 30.0
DEFAULT_MAX_UNIQUE_FILES = 100_000


class InvalidProfileError(ValueError):
    """A profile that the API server should have refused; the message names the field."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One of a selector's matchExpressions."""

    key: str
    operator: str
    """In, NotIn, Exists or DoesNotExist."""
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether `labels` meet it, as the API server would judge."""
        present = self.key in labels
        if self.operator == "Exists":
            return present
        if self.operator == "DoesNotExist":
            return not present
        held = present and labels[self.key] in self.values
        return held if self.operator == "In" else not held


@dataclass(frozen=True, slots=True)
class Selector:
    """A label selector. An empty one matches nothing here: profiling everything must be asked for by a label."""

    match_labels: tuple[tuple[str, str], ...] = ()
    match_expressions: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a pod with `labels` is selected."""
        if not self.match_labels and not self.match_expressions:
            return False
        return all(labels.get(key) == value for key, value in self.match_labels) and all(
            requirement.matches(labels) for requirement in self.match_expressions
        )


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """How the sidecar runs."""

    resources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """`requests` and `limits`, Kubernetes quantities; what is not given falls back to the operator's defaults."""
    log_level: str = "info"
    metrics_port: int = 0
    """0: no port is opened in the pod."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One SnoopProfile."""

    namespace: str
    name: str
    uid: str
    generation: int
    selector: Selector
    include: tuple[str, ...] = ()
    """Container names; empty: all."""
    exclude_containers: tuple[str, ...] = ()
    paused: bool = False
    exclude: tuple[str, ...] = DEFAULT_EXCLUDE
    """Path prefixes that are not recorded."""
    report_interval: float = DEFAULT_INTERVAL
    """Seconds."""
    max_unique_files: int = DEFAULT_MAX_UNIQUE_FILES
    """Per container; 0: unbounded."""
    agent: AgentSpec = AgentSpec()

    def wants_container(self, name: str) -> bool:
        """Whether evidence of the container `name` belongs in this profile."""
        if name in self.exclude_containers:
            return False
        return not self.include or name in self.include


def parse(body: Mapping[str, Any]) -> Profile:
    """Read a SnoopProfile as the API server stores it. InvalidProfileError names what is wrong."""
    raise NotImplementedError
