"""SnoopProfiles as values: what the API server's JSON says, parsed once. Pure; no I/O.

The rules for people stand in the CRD (crds/snoopprofile.yaml), which the API server enforces. What is checked here is
only what would otherwise make us misread a profile; a contract test holds the defaults of the two together.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from snoop_operator import quantity

_T = TypeVar("_T")

DEFAULT_EXCLUDE = ("/proc/", "/sys/", "/dev/")
DEFAULT_INTERVAL = 30.0
DEFAULT_MAX_UNIQUE_FILES = 100_000
LOG_LEVELS = ("debug", "info", "warn", "error")
WAYS = ("auto", "fexit", "tracepoint", "raw_tp")
"""How the agent may attach to the kernel."""
"""From the most to the least verbose."""
SOURCES = ("Registry", "None")
"""Where what an image holds may be fetched from."""
PULL_SECRETS = ("Inherit", "None")
"""Whether with the pods' own pull secrets."""
OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")

_DURATION = re.compile(r"(?:([0-9]{1,5})h)?(?:([0-9]{1,5})m)?(?:([0-9]{1,5})s)?")
_MIN_INTERVAL = 1.0
_MAX_INTERVAL = 86_400.0


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
    attach: str = "auto"
    """One of WAYS."""


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
    inventory_source: str = SOURCES[0]
    """One of SOURCES."""
    inventory_pull_secrets: str = PULL_SECRETS[0]
    """One of PULL_SECRETS."""

    def wants_container(self, name: str) -> bool:
        """Whether evidence of the container `name` belongs in this profile."""
        if name in self.exclude_containers:
            return False
        return not self.include or name in self.include


def parse(body: Mapping[str, Any]) -> Profile:
    """Read a SnoopProfile as the API server stores it. InvalidProfileError names what is wrong."""
    metadata = _mapping(body, "metadata", "")
    spec = _mapping(body, "spec", "")
    containers = _mapping(spec, "containers", "spec")
    inventory = _mapping(spec, "inventory", "spec")
    return Profile(
        namespace=_text(metadata, "namespace", "metadata", ""),
        name=_text(metadata, "name", "metadata", ""),
        uid=_text(metadata, "uid", "metadata", ""),
        generation=_integer(metadata, "generation", "metadata", 0),
        selector=_selector(_mapping(spec, "selector", "spec")),
        include=_texts(containers, "include", "spec.containers", ()),
        exclude_containers=_texts(containers, "exclude", "spec.containers", ()),
        paused=_get(spec, "paused", "spec", bool, False),
        exclude=_exclude(spec),
        report_interval=_interval(_text(spec, "reportInterval", "spec", "30s")),
        max_unique_files=_integer(spec, "maxUniqueFiles", "spec", DEFAULT_MAX_UNIQUE_FILES),
        agent=_agent(_mapping(spec, "agent", "spec")),
        inventory_source=_choice(inventory, "source", "spec.inventory", SOURCES),
        inventory_pull_secrets=_choice(inventory, "pullSecrets", "spec.inventory", PULL_SECRETS),
    )


def parse_duration(text: str) -> float:
    """Seconds of a duration in hours, minutes and seconds, such as `30s` or `1h30m`. ValueError if it is none."""
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        raise ValueError(f"{text!r} is no duration in hours, minutes and seconds, such as 30s, 5m or 1h30m")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(hours * 3600 + minutes * 60 + seconds)


def format_duration(seconds: float) -> str:
    """Write whole seconds as `parse_duration` reads them: `1h30m`, `30s`."""
    whole = int(seconds)
    parts = ((whole // 3600, "h"), (whole % 3600 // 60, "m"), (whole % 60, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"


def _selector(raw: Mapping[str, Any]) -> Selector:
    place = "spec.selector"
    labels = _strings(_mapping(raw, "matchLabels", place), f"{place}.matchLabels")
    requirements = []
    for index, one in enumerate(_get(raw, "matchExpressions", place, list, [])):
        here = f"{place}.matchExpressions[{index}]"
        if not isinstance(one, Mapping):
            raise InvalidProfileError(f"{here}: expected an object")
        requirement = Requirement(
            key=_text(one, "key", here, ""),
            operator=_text(one, "operator", here, ""),
            values=_texts(one, "values", here, ()),
        )
        if requirement.operator not in OPERATORS:
            raise InvalidProfileError(f"{here}.operator: {requirement.operator!r} is none of {', '.join(OPERATORS)}")
        # Misreading it would profile pods that nobody asked for: NotIn of nothing is everything.
        if (requirement.operator in ("In", "NotIn")) != bool(requirement.values):
            raise InvalidProfileError(f"{here}.values: must be given with In and NotIn, and only then")
        requirements.append(requirement)
    if not labels and not requirements:
        raise InvalidProfileError("spec.selector: must not be empty")
    return Selector(tuple(sorted(labels.items())), tuple(requirements))


def _exclude(spec: Mapping[str, Any]) -> tuple[str, ...]:
    prefixes = _texts(spec, "exclude", "spec", DEFAULT_EXCLUDE)
    for prefix in prefixes:
        # The agent reads them from one comma-separated variable, and the empty prefix would hide everything.
        if not prefix.startswith("/") or prefix == "/" or "," in prefix:
            raise InvalidProfileError(f"spec.exclude: {prefix!r} is no absolute path prefix below / without commas")
    return prefixes


def _interval(text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise InvalidProfileError(f"spec.reportInterval: {error}") from error
    if not _MIN_INTERVAL <= seconds <= _MAX_INTERVAL:
        raise InvalidProfileError(f"spec.reportInterval: {text} is not between 1s and 24h")
    return seconds


def _agent(raw: Mapping[str, Any]) -> AgentSpec:
    resources = {
        group: _quantities(_mapping(_mapping(raw, "resources", "spec.agent"), group, "spec.agent.resources"), group)
        for group in ("requests", "limits")
    }
    level = _text(raw, "logLevel", "spec.agent", "info")
    if level not in LOG_LEVELS:
        raise InvalidProfileError(f"spec.agent.logLevel: {level!r} is none of {', '.join(LOG_LEVELS)}")
    way = _text(raw, "attach", "spec.agent", "auto")
    if way not in WAYS:
        raise InvalidProfileError(f"spec.agent.attach: {way!r} is none of {', '.join(WAYS)}")
    port = _integer(raw, "metricsPort", "spec.agent", 0)
    if port > 65535:
        raise InvalidProfileError(f"spec.agent.metricsPort: {port} is not a port")
    return AgentSpec({group: values for group, values in resources.items() if values}, level, port, way)


def _quantities(raw: Mapping[str, Any], group: str) -> dict[str, str]:
    # A quantity is an int or a string to the API server (x-kubernetes-int-or-string).
    shaped = {name: str(value) if type(value) is int else value for name, value in raw.items()}
    found = _strings(shaped, f"spec.agent.resources.{group}")
    for name, amount in found.items():
        try:
            quantity.parse(amount)
        except quantity.QuantityError as error:
            raise InvalidProfileError(f"spec.agent.resources.{group}.{name}: {error}") from error
    return found


def _get(raw: Mapping[str, Any], key: str, place: str, kind: type[_T], default: _T) -> _T:
    value = raw.get(key)
    if value is None:
        return default
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InvalidProfileError(f"{place}.{key}: expected {kind.__name__}, found {type(value).__name__}")
    return value


def _mapping(raw: Mapping[str, Any], key: str, place: str) -> Mapping[str, Any]:
    value = raw.get(key)
    if value is None:
        return {}
    # kopf hands out read-only views that are mappings, not dicts.
    if not isinstance(value, Mapping):
        raise InvalidProfileError(f"{f'{place}.{key}' if place else key}: expected an object")
    return value


def _text(raw: Mapping[str, Any], key: str, place: str, default: str) -> str:
    return _get(raw, key, place, str, default)


def _choice(raw: Mapping[str, Any], key: str, place: str, allowed: tuple[str, ...]) -> str:
    value = _text(raw, key, place, allowed[0])
    if value not in allowed:
        raise InvalidProfileError(f"{place}.{key}: {value!r} is none of {', '.join(allowed)}")
    return value


def _integer(raw: Mapping[str, Any], key: str, place: str, default: int) -> int:
    value = _get(raw, key, place, int, default)
    if value < 0:
        raise InvalidProfileError(f"{place}.{key}: {value} is negative")
    return value


def _texts(raw: Mapping[str, Any], key: str, place: str, default: tuple[str, ...]) -> tuple[str, ...]:
    values = _get(raw, key, place, list, list(default))
    if not all(isinstance(value, str) for value in values):
        raise InvalidProfileError(f"{place}.{key}: expected strings")
    return tuple(values)


def _strings(raw: Mapping[str, Any], place: str) -> dict[str, str]:
    for key, value in raw.items():
        if not isinstance(value, str):
            raise InvalidProfileError(f"{place}.{key}: expected a string, found {type(value).__name__}")
    return dict(raw)
