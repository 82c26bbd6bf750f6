"""Puts the sidecar into a pod, or says why not. Pure; no I/O.

Works on a copy. What is sent is a JSON Patch, and only after it has been applied to the original, which must give the
patched pod, and that pod has been checked: `failurePolicy: Ignore` does not save anyone from a bad patch.
"""

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from snoop_operator import names
from snoop_operator.admission import eligibility, jsonpatch, limits, sidecar
from snoop_operator.admission.demand import Demand, combine
from snoop_operator.admission.resources import qos_class
from snoop_operator.admission.surroundings import Runtime, Surroundings
from snoop_operator.quantity import QuantityError
from snoop_operator.settings import Settings
from snoop_operator.workload import Refusal

Pod = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Injection:
    """How a pod gets its sidecar."""

    patch: list[jsonpatch.Operation]
    """Empty if the pod already is as it should be."""
    pod: Pod
    """The patched pod."""
    demand: Demand
    renewed: bool
    """The pod came with the sidecar: another webhook had its turn, or somebody copied an injected pod."""


def decide(pod: Mapping[str, Any], around: Surroundings, settings: Settings, runtime: Runtime) -> Injection | Refusal:
    """Inject the pod, or say why not. The pod itself is left as it is."""
    against = eligibility.refusals(pod, around, settings)
    if against:
        return against[0]
    if not runtime.native_sidecars:
        return Refusal(
            "no_native_sidecars", "The API server knows no native sidecars: Kubernetes 1.29 or later has them."
        )
    if not runtime.ca_bundle:
        return Refusal("operator_not_ready", "The operator has no certificate yet that the agent could trust.")
    demand = combine(eligibility.selecting(pod, around.profiles), settings)
    renewed = eligibility.carries_agent(pod)
    try:
        patched = _patched(_without_agent(pod) if renewed else pod, demand, settings, runtime)
        if renewed:
            _keep_defaults(patched["spec"], pod["spec"])
        refusal = _limits_refusal(patched["spec"], around)
    except (QuantityError, TypeError, AttributeError, KeyError) as error:
        return Refusal("unreadable_pod", f"The pod or its namespace's limits cannot be read: {error}.")
    if refusal is not None:
        return refusal
    original = copy.deepcopy(dict(pod))
    patch = jsonpatch.diff(original, patched)
    for fault in _faults(original, patched, patch):
        return Refusal("invalid_patch", f"The pod with the agent would not be right: {fault}.")
    return Injection(patch, patched, demand, renewed)


def _patched(pod: Mapping[str, Any], demand: Demand, settings: Settings, runtime: Runtime) -> Pod:
    patched: Pod = copy.deepcopy(dict(pod))
    metadata: dict[str, Any] = patched.setdefault("metadata", {})
    spec: dict[str, Any] = patched["spec"]
    port = demand.metrics_port if _lends(spec, demand.metrics_port) else 0
    agent = sidecar.container(demand, settings, runtime, qos_class(spec), port)
    spec["initContainers"] = [agent, *(spec.get("initContainers") or [])]
    spec["volumes"] = [*(spec.get("volumes") or []), *sidecar.volumes(settings)]
    metadata["labels"] = {**(metadata.get("labels") or {}), names.INJECTED: "true"}
    told = {
        "version": runtime.version,
        "profiles": [{"name": one.name, "uid": one.uid, "generation": one.generation} for one in demand.profiles],
    }
    metadata["annotations"] = {
        **(metadata.get("annotations") or {}),
        names.STATUS: json.dumps(told, separators=(",", ":")),
    }
    return patched


def _without_agent(pod: Mapping[str, Any]) -> Pod:
    bare: Pod = copy.deepcopy(dict(pod))
    spec = bare["spec"]
    spec["initContainers"] = [one for one in spec["initContainers"] if one.get("name") != names.CONTAINER]
    spec["volumes"] = [one for one in spec.get("volumes") or [] if one.get("name") not in sidecar.VOLUMES]
    return bare


def _keep_defaults(spec: dict[str, Any], before: Mapping[str, Any]) -> None:
    """Keep the agent as it stands where only the API server's defaults have come to it: less to patch."""
    for key in ("initContainers", "volumes"):
        held = {one.get("name"): one for one in before.get(key) or []}
        spec[key] = [
            copy.deepcopy(held[one["name"]]) if _covers(held.get(one["name"]), one) else one for one in spec[key]
        ]


def _covers(held: Any, wanted: Any) -> bool:
    """Whether `held` has all that is wanted. What is empty the API server leaves out."""
    if isinstance(wanted, dict):
        fields = {} if held is None else held
        return isinstance(fields, dict) and all(_covers(fields.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        items = held or []
        return len(items) == len(wanted) and all(map(_covers, items, wanted))
    return jsonpatch.same(held, wanted) or (held is None and wanted == "")


def _lends(spec: Mapping[str, Any], port: int) -> bool:
    """Whether the pod can lend a port: the host's ports are the node's, and a declared one is the app's."""
    if not port or spec.get("hostNetwork"):
        return False
    every = [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]
    declared = {given.get("containerPort") for one in every for given in one.get("ports") or []}
    return port not in declared


def _limits_refusal(spec: Mapping[str, Any], around: Surroundings) -> Refusal | None:
    agent = limits.defaulted(spec["initContainers"][0], around.limit_ranges)
    filled = {**spec, "initContainers": [agent, *spec["initContainers"][1:]]}
    return limits.limit_range_refusal(filled, agent, around.limit_ranges) or limits.quota_refusal(
        filled, agent, around.resource_quotas
    )


def _faults(original: Pod, patched: Pod, patch: list[jsonpatch.Operation]) -> Iterator[str]:
    """List what must not be, whatever the code above does."""
    try:
        if not jsonpatch.same(jsonpatch.apply(original, patch), patched):
            yield "the patch does not give it"
    except jsonpatch.PatchError as error:
        yield str(error)
    spec = patched["spec"]
    init = spec["initContainers"]
    for kind, every in (("container", [*init, *spec["containers"]]), ("volume", spec["volumes"])):
        found = [one.get("name") for one in every]
        if len(found) != len(set(found)):
            yield f"two {kind}s have the same name"
    agent = init[0]
    if agent["name"] != names.CONTAINER or agent.get("restartPolicy") != "Always":
        yield "the agent does not come first"
    known = {one.get("name") for one in spec["volumes"]}
    if not all(mount["name"] in known for mount in agent["volumeMounts"]):
        yield "the agent mounts a volume that is not there"
    if sum(mount["mountPath"] == names.API_TOKEN_DIRECTORY for mount in agent["volumeMounts"]) != 1:
        yield "the app's token is not masked"
    before = original.get("spec") or {}
    ours = {names.CONTAINER, *sidecar.VOLUMES}
    for key in ("initContainers", "containers", "volumes"):
        kept = [[one for one in given.get(key) or [] if one.get("name") not in ours] for given in (before, spec)]
        if not jsonpatch.same(*kept):
            yield f"it has changed the pod's own {key}"
    own = ("initContainers", "volumes")
    rest = [{key: value for key, value in given.items() if key not in own} for given in (before, spec)]
    if not jsonpatch.same(*rest):
        yield "it has changed what is the pod's own"
    bare = {**spec, "initContainers": init[1:]}
    if qos_class(spec) != qos_class(bare):
        yield "it would leave its quality-of-service class"
