"""What the profiles that select a pod ask of its one agent, together. Pure; no I/O.

Evidence belongs to the pod, and profiles are views of it: so each gets at least what it asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from snoop_operator import quantity
from snoop_operator.profile import LOG_LEVELS, Profile
from snoop_operator.settings import Settings

Quantities = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Demand:
    """How one pod's agent is to run."""

    profiles: tuple[Profile, ...]
    exclude: tuple[str, ...]
    report_interval: float
    max_unique_files: int
    """0: unbounded."""
    log_level: str
    attach: str
    requests: Quantities
    limits: Quantities
    metrics_port: int
    """0: none."""


def combine(profiles: Sequence[Profile], settings: Settings) -> Demand:
    """Make one demand of at least one profile."""
    caps = [profile.max_unique_files for profile in profiles]
    limits = _largest([{**settings.agent_limits, **profile.agent.resources.get("limits", {})} for profile in profiles])
    requests = _largest([_requests(profile, settings) for profile in profiles])
    for name, amount in requests.items():
        # A profile that asks for more than the operator's limit means to have it.
        if name in limits and quantity.parse(amount) > quantity.parse(limits[name]):
            limits[name] = amount
    return Demand(
        profiles=tuple(profiles),
        exclude=intersect([profile.exclude for profile in profiles]),
        report_interval=min(profile.report_interval for profile in profiles),
        max_unique_files=0 if 0 in caps else max(caps),
        log_level=min((profile.agent.log_level for profile in profiles), key=LOG_LEVELS.index),
        attach=next((one.agent.attach for one in profiles if one.agent.attach != "auto"), "auto"),
        requests=requests,
        limits=limits,
        # Two ports are no contradiction that needs an answer: one endpoint tells everything.
        metrics_port=next((one.agent.metrics_port for one in profiles if one.agent.metrics_port), 0),
    )


def intersect(exclusions: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Prefixes of exactly those paths that every one of `exclusions` leaves out.

    >>> intersect([["/proc/", "/var/"], ["/var/cache/", "/proc/"]])
    ('/proc/', '/var/cache/')
    """
    common = list(exclusions[0])
    for other in exclusions[1:]:
        common = [one for one in common if one.startswith(tuple(other))] + [
            one for one in other if one.startswith(tuple(common))
        ]
    kept: list[str] = []
    for prefix in sorted(set(common), key=lambda text: (len(text), text)):
        if not prefix.startswith(tuple(kept)):
            kept.append(prefix)
    return tuple(sorted(kept))


def _requests(profile: Profile, settings: Settings) -> dict[str, str]:
    asked = profile.agent.resources
    found = {**settings.agent_requests, **asked.get("requests", {})}
    for name, limit in asked.get("limits", {}).items():
        # A limit below the operator's default request, with no request beside it, lowers the request too.
        if (
            name in found
            and name not in asked.get("requests", {})
            and quantity.parse(found[name]) > quantity.parse(limit)
        ):
            found[name] = limit
    return found


def _largest(every: Sequence[Quantities]) -> dict[str, str]:
    names = {name: None for one in every for name in one}
    return {name: quantity.largest(one[name] for one in every if name in one) for name in names}
