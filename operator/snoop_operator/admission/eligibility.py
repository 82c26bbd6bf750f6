"""May this pod get the sidecar? Every reason why not, as a stable code and a sentence. Pure; no I/O.

The codes are an interface: they are in metrics, in audit annotations and in `status.pods.skipped`. Read of a pod:
metadata.{labels,annotations} and spec.

Not reasons: hostNetwork (no port is opened there, and the Service's address needs no DNS), hostPID and
shareProcessNamespace (the agent goes by cgroups, not by processes), privileged containers.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from snoop_operator import names
from snoop_operator.admission.sidecar import VOLUMES
from snoop_operator.admission.surroundings import Surroundings
from snoop_operator.profile import Profile
from snoop_operator.settings import Settings
from snoop_operator.workload import Refusal

_SANDBOXES = ("*gvisor*", "*runsc*", "*kata*", "*firecracker*", "*hyperv*", "*wasm*", "*spin*", "*sysbox*", "*quark*")
_OS_LABELS = ("kubernetes.io/os", "beta.kubernetes.io/os")
_PSA_ENFORCE = "pod-security.kubernetes.io/enforce"


def opted_out(metadata_labels: Mapping[str, str], annotations: Mapping[str, str]) -> bool:
    """Whether an object says `snoop.dev/inject: "false"`."""
    return any(str(held.get(names.INJECT, "")).lower() == "false" for held in (metadata_labels, annotations))


def selecting(pod: Mapping[str, Any], profiles: Sequence[Profile]) -> list[Profile]:
    """List the profiles that select the pod and are not paused, by name."""
    return sorted((one for one in _matching(pod, profiles) if not one.paused), key=lambda one: one.name)


def carries_agent(pod: Mapping[str, Any]) -> bool:
    """Whether the pod carries our sidecar, or a copy of it: then it is renewed rather than added."""
    metadata = pod.get("metadata") or {}
    init = (pod.get("spec") or {}).get("initContainers") or []
    if (metadata.get("labels") or {}).get(names.INJECTED) != "true":
        return False
    try:
        status = json.loads((metadata.get("annotations") or {}).get(names.STATUS) or "null")
    except ValueError:
        return False
    sidecars = [one for one in init if one.get("name") == names.CONTAINER and one.get("restartPolicy") == "Always"]
    return isinstance(status, dict) and len(sidecars) == 1


def refusals(pod: Mapping[str, Any], around: Surroundings, settings: Settings) -> list[Refusal]:
    """List why the pod may not be injected, the weightiest first. Empty: nothing speaks against it.

    Limits and quotas are judged with the sidecar in its place (see `injection`).
    """
    return list(_refusals(pod, around, settings))


def _refusals(pod: Mapping[str, Any], around: Surroundings, settings: Settings) -> Iterator[Refusal]:
    metadata = pod.get("metadata") or {}
    spec = pod.get("spec") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    if opted_out(labels, annotations):
        yield Refusal("opted_out", f'The pod says {names.INJECT}: "false".')
    if around.meta is not None and opted_out(around.meta.labels, around.meta.annotations):
        yield Refusal("namespace_opted_out", f'The namespace says {names.INJECT}: "false".')
    if around.namespace == settings.namespace or around.namespace in settings.excluded_namespaces:
        yield Refusal("excluded_namespace", f"Namespace {around.namespace} is never injected.")
    yield from _profile_refusals(pod, around)
    if around.meta is None:
        yield Refusal("namespace_unknown", "The namespace is so new that its rules for pods are not known yet.")
    yield from _kind_refusals(spec, annotations, settings)
    if not carries_agent(pod):
        yield from _clashes(spec)
    yield from _security_refusals(around)


def _profile_refusals(pod: Mapping[str, Any], around: Surroundings) -> Iterator[Refusal]:
    matching = _matching(pod, around.profiles)
    active = selecting(pod, around.profiles)
    if not matching:
        yield Refusal("no_profile", f"No {names.KIND} of the namespace selects the pod.")
    elif not active:
        yield Refusal("paused", f"Every {names.KIND} that selects the pod is paused.")
    elif not any(profile.wants_container(name) for profile in active for name in _container_names(pod)):
        yield Refusal("no_container", "The profile includes none of the pod's containers.")


def _kind_refusals(spec: Mapping[str, Any], annotations: Mapping[str, str], settings: Settings) -> Iterator[Refusal]:
    source = annotations.get("kubernetes.io/config.source", "api")
    if "kubernetes.io/config.mirror" in annotations or source != "api":
        yield Refusal("static_pod", "The kubelet runs the pod from a file of its own, which nobody can patch.")
    selector = spec.get("nodeSelector") or {}
    if (spec.get("os") or {}).get("name") == "windows" or "windows" in (selector.get(name) for name in _OS_LABELS):
        yield Refusal("windows", "The pod runs on Windows, which has no eBPF of Linux's kind.")
    if selector.get("type") == "virtual-kubelet" or spec.get("schedulerName") == "fargate-scheduler":
        yield Refusal("virtual_node", "The pod runs on a virtual node, which mounts nothing of a host's.")
    if spec.get("hostUsers") is False:
        yield Refusal(
            "user_namespace", "The pod has a user namespace (hostUsers: false), in which BPF may not be used."
        )
    runtime = spec.get("runtimeClassName")
    if runtime and not _matches(runtime, settings.runtime_classes):
        if _matches(runtime, _SANDBOXES):
            yield Refusal(
                "sandboxed_runtime", f"RuntimeClass {runtime} has a kernel of its own, out of the agent's sight."
            )
        else:
            yield Refusal(
                "unknown_runtime_class",
                f"RuntimeClass {runtime} may have a kernel of its own; "
                "if it runs on the node's, name it in the operator's --runtime-classes.",
            )
    if spec.get("resources"):
        yield Refusal(
            "pod_level_resources", "The pod has resources as a whole (spec.resources), which a sidecar would eat."
        )


def _clashes(spec: Mapping[str, Any]) -> Iterator[Refusal]:
    taken = [one.get("name") for key in ("initContainers", "containers") for one in spec.get(key) or []]
    if names.CONTAINER in taken:
        yield Refusal("name_clash", f"The pod has a container named {names.CONTAINER} of its own.")
    for volume in spec.get("volumes") or []:
        if volume.get("name") in VOLUMES:
            yield Refusal("name_clash", f"The pod has a volume named {volume['name']} of its own.")


def _security_refusals(around: Surroundings) -> Iterator[Refusal]:
    level = around.meta.labels.get(_PSA_ENFORCE, "privileged") if around.meta is not None else "privileged"
    if level != "privileged":
        # A level that is none counts as restricted (KEP-2579).
        yield Refusal(
            "pod_security",
            f"The namespace enforces Pod Security level {level}, which forbids the agent's capabilities and hostPath.",
        )


def _matching(pod: Mapping[str, Any], profiles: Sequence[Profile]) -> list[Profile]:
    labels = (pod.get("metadata") or {}).get("labels") or {}
    return [profile for profile in profiles if profile.selector.matches(labels)]


def _container_names(pod: Mapping[str, Any]) -> list[str]:
    spec = pod.get("spec") or {}
    every = [one.get("name", "") for key in ("initContainers", "containers") for one in spec.get(key) or []]
    return [name for name in every if name != names.CONTAINER]


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def controller(pod: Mapping[str, Any]) -> str:
    """UID of the object that controls the pod; empty if it stands alone."""
    references = (pod.get("metadata") or {}).get("ownerReferences") or []
    return next((str(one.get("uid") or "") for one in references if one.get("controller")), "")
