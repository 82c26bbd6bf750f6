"""LimitRanges and ResourceQuotas: would the API server refuse the pod for our container? Pure; no I/O.

After plugin/pkg/admission/limitranger and pkg/quota/v1/evaluator/core of Kubernetes: both run after mutation, so what
they would say has to be known before.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from snoop_operator.admission.resources import Amounts, amounts, qos_class, total
from snoop_operator.quantity import parse
from snoop_operator.workload import Refusal

_REQUIRED = ("cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory")
"""What a quota obliges every container to state; for other resources it only counts (pods.go, validationSet)."""


def defaulted(container: Mapping[str, Any], limit_ranges: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Copy `container` with the requests and limits that LimitRanges would fill in."""
    resources = container.get("resources") or {}
    limits = dict(resources.get("limits") or {})
    requests = dict(resources.get("requests") or {})
    for name, value in limits.items():
        requests.setdefault(name, value)
    for item in _items(limit_ranges, "Container"):
        for name, value in (item.get("default") or {}).items():
            limits.setdefault(name, value)
        # Of a default without defaultRequest the API server has made one already, when the LimitRange was stored.
        for name, value in {**(item.get("default") or {}), **(item.get("defaultRequest") or {})}.items():
            requests.setdefault(name, value)
    return {**container, "resources": {"requests": requests, "limits": limits}}


def limit_range_refusal(
    spec: Mapping[str, Any], sidecar: Mapping[str, Any], limit_ranges: Sequence[Mapping[str, Any]]
) -> Refusal | None:
    """Judge a pod's patched spec, with LimitRange defaults filled in, and its sidecar."""
    for item in _items(limit_ranges, "Container"):
        why = _violation(item, amounts(sidecar, "requests"), amounts(sidecar, "limits"))
        if why:
            return Refusal("limit_range", f"The namespace's LimitRange would refuse the agent's container: {why}.")
    for item in _items(limit_ranges, "Pod"):
        why = _violation(item, total(spec, "requests", overhead=False), total(spec, "limits", overhead=False))
        if why:
            return Refusal("limit_range", f"The namespace's LimitRange would refuse the pod with the agent: {why}.")
    return None


def quota_refusal(
    spec: Mapping[str, Any], sidecar: Mapping[str, Any], quotas: Sequence[Mapping[str, Any]]
) -> Refusal | None:
    """Judge a pod's patched spec, with LimitRange defaults filled in, and its sidecar.

    What our container takes of a quota, the next pod may miss. So there has to be room for one more, without an agent.
    """
    stated = _usage(amounts(sidecar, "requests"), amounts(sidecar, "limits"))
    needed = _usage(total(spec, "requests"), total(spec, "limits"))
    own = {**spec, "initContainers": [one for one in spec["initContainers"] if one is not sidecar]}
    following = _usage(total(own, "requests"), total(own, "limits"))
    for quota in quotas:
        if not _applies(quota, spec):
            continue
        name = (quota.get("metadata") or {}).get("name") or "?"
        hard = (quota.get("spec") or {}).get("hard") or {}
        used = (quota.get("status") or {}).get("used") or {}
        for resource, limit in hard.items():
            if resource in _REQUIRED and resource not in stated:
                return Refusal("quota", f"Quota {name} wants {resource} stated, and the agent has none in this pod.")
            # What our container does not add to cannot be exceeded by it.
            if not stated.get(resource):
                continue
            free = parse(limit) - parse(used.get(resource, 0))
            if needed[resource] + following.get(resource, 0) > free:
                return Refusal("quota", f"Quota {name} has not enough {resource} left for an agent beside the pods.")
    return None


def _items(limit_ranges: Sequence[Mapping[str, Any]], kind: str) -> list[Mapping[str, Any]]:
    every = [item for one in limit_ranges for item in (one.get("spec") or {}).get("limits") or []]
    return [item for item in every if item.get("type") == kind]


def _violation(item: Mapping[str, Any], requests: Amounts, limits: Amounts) -> str:
    for name, value in (item.get("min") or {}).items():
        least = parse(value)
        if requests.get(name, Fraction(-1)) < least or limits.get(name, least) < least:
            return f"at least {value} of {name}"
    for name, value in (item.get("max") or {}).items():
        most = parse(value)
        if name not in limits or limits[name] > most or requests.get(name, most) > most:
            return f"at most {value} of {name}"
    for name, value in (item.get("maxLimitRequestRatio") or {}).items():
        request, limit = requests.get(name, Fraction(0)), limits.get(name, Fraction(0))
        if not request or not limit or limit / request > parse(value):
            return f"a limit of at most {value} times the request for {name}"
    return ""


def _usage(requests: Amounts, limits: Amounts) -> Amounts:
    found: Amounts = {}
    for name, amount in requests.items():
        found[f"requests.{name}"] = amount
        if name in ("cpu", "memory", "ephemeral-storage"):
            found[name] = amount
    for name, amount in limits.items():
        found[f"limits.{name}"] = amount
    return found


def _applies(quota: Mapping[str, Any], spec: Mapping[str, Any]) -> bool:
    given = quota.get("spec") or {}
    scopes = [{"scopeName": name, "operator": "Exists"} for name in given.get("scopes") or []]
    selected = (given.get("scopeSelector") or {}).get("matchExpressions") or []
    return all(_in_scope(one, spec) for one in [*scopes, *selected])


def _in_scope(scope: Mapping[str, Any], spec: Mapping[str, Any]) -> bool:
    name = scope.get("scopeName")
    if name in ("Terminating", "NotTerminating"):
        return bool((spec.get("activeDeadlineSeconds") is not None) == (name == "Terminating"))
    if name in ("BestEffort", "NotBestEffort"):
        return bool((qos_class(spec) == "BestEffort") == (name == "BestEffort"))
    if name == "PriorityClass":
        held = str(spec.get("priorityClassName") or "")
        values = scope.get("values") or []
        return {
            "Exists": bool(held),
            "DoesNotExist": not held,
            "In": held in values and bool(held),
            "NotIn": held not in values,
        }.get(str(scope.get("operator")), True)
    # A scope that is not known here: it may apply, and a pod that we spare is not refused.
    return True
