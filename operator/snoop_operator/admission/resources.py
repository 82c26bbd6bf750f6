"""What a pod asks of its node: totals and QoS class, counted as Kubernetes counts them. Pure; no I/O.

After k8s.io/component-helpers/resource and pkg/apis/core/v1/helper/qos. Pods with resources of their own (KEP-2837) are
not counted here: they are refused before.
"""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from snoop_operator.quantity import parse

Amounts = dict[str, Fraction]
_QOS = ("cpu", "memory")


def amounts(container: Mapping[str, Any], group: str) -> Amounts:
    """Read a container's `requests` or `limits`. A request that is not given is its limit, as the API server has it."""
    resources = container.get("resources") or {}
    given = {name: parse(value) for name, value in (resources.get(group) or {}).items()}
    if group == "requests":
        limits = {name: parse(value) for name, value in (resources.get("limits") or {}).items()}
        return {**limits, **given}
    return given


def total(spec: Mapping[str, Any], group: str, overhead: bool = True) -> Amounts:
    """Sum a pod's requests or limits: its containers and sidecars, or its hungriest moment of initialisation."""
    running: Amounts = {}
    for container in spec.get("containers") or []:
        _add(running, amounts(container, group))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers") or []:
        asked = amounts(container, group)
        if container.get("restartPolicy") == "Always":
            _add(running, asked)
            _add(sidecars, asked)
            moment = dict(sidecars)
        else:
            moment = dict(sidecars)
            _add(moment, asked)
        peak = _larger(peak, moment)
    found = _larger(running, peak)
    if overhead:
        extra = {name: parse(value) for name, value in (spec.get("overhead") or {}).items()}
        # Limits: only where there is one already, for no limit plus something is still no limit.
        _add(found, extra if group == "requests" else {name: extra[name] for name in extra if name in found})
    return found


def qos_class(spec: Mapping[str, Any]) -> str:
    """Guaranteed, Burstable or BestEffort."""
    every = [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]
    guaranteed = True
    anything = False
    for container in every:
        requests = _positive(amounts(container, "requests"))
        limits = _positive(amounts(container, "limits"))
        anything = anything or bool(requests or limits)
        if set(limits) != set(_QOS) or requests != limits:
            guaranteed = False
    if not anything:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _positive(given: Amounts) -> Amounts:
    return {name: given[name] for name in _QOS if given.get(name, Fraction(0)) > 0}


def _add(into: Amounts, more: Mapping[str, Fraction]) -> None:
    for name, amount in more.items():
        into[name] = into.get(name, Fraction(0)) + amount


def _larger(one: Amounts, other: Amounts) -> Amounts:
    names: Iterable[str] = {**one, **other}
    return {name: max(each[name] for each in (one, other) if name in each) for name in names}
