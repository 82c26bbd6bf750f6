"""The agent's container and volumes, as they are injected. Pure; no I/O."""

from collections.abc import Mapping
from typing import Any

from snoop_operator import names
from snoop_operator.admission.demand import Demand
from snoop_operator.admission.surroundings import Runtime
from snoop_operator.profile import format_duration
from snoop_operator.settings import Settings

SECURITY_CONTEXT: Mapping[str, Any] = {
    "runAsUser": 0,
    "runAsGroup": 0,
    # Said outright: the pod's own runAsUser and runAsNonRoot would come down on us, and tracefs is root's alone.
    "runAsNonRoot": False,
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"], "add": ["BPF", "PERFMON"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
VOLUMES = (names.TOKEN_VOLUME, names.DATA_VOLUME, names.TRACEFS_VOLUME, names.BPFFS_VOLUME, names.MASK_VOLUME)
ATTACHED_FILE = f"{names.DATA_DIRECTORY}/attached"
"""Made by the agent once its hooks are attached, or after 30 s without."""
REPORT_FILE = f"{names.DATA_DIRECTORY}/snoop-report.json"
_TOKEN_SECONDS = 3600


def container(demand: Demand, settings: Settings, runtime: Runtime, qos: str, metrics_port: int) -> dict[str, Any]:
    """Shape the sidecar for a pod of class `qos`. `metrics_port` is 0 where the pod cannot lend the one asked for."""
    shaped: dict[str, Any] = {
        "name": names.CONTAINER,
        "image": settings.agent_image,
        "imagePullPolicy": settings.agent_image_pull_policy,
        # A native sidecar (KEP-753): up before the next init container, down after the last container.
        "restartPolicy": "Always",
        "env": _environment(demand, settings, runtime, metrics_port),
        "resources": _resources(demand, qos),
        "securityContext": {
            **SECURITY_CONTEXT,
            "capabilities": {key: list(value) for key, value in SECURITY_CONTEXT["capabilities"].items()},
            "seccompProfile": dict(SECURITY_CONTEXT["seccompProfile"]),
        },
        # The agent makes the file with hooks or, after 30 s, without: the app waits no longer than that.
        "startupProbe": {
            "exec": {"command": ["test", "-e", ATTACHED_FILE]},
            "periodSeconds": 1,
            "failureThreshold": 120,
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": names.DATA_VOLUME, "mountPath": names.DATA_DIRECTORY},
            {"name": names.TOKEN_VOLUME, "mountPath": names.TOKEN_DIRECTORY, "readOnly": True},
            {"name": names.TRACEFS_VOLUME, "mountPath": names.TRACEFS_DIRECTORY, "readOnly": True},
            # ServiceAccount admission mounts the app's token into every container that has nothing at this path.
            {"name": names.MASK_VOLUME, "mountPath": names.API_TOKEN_DIRECTORY, "readOnly": True},
        ],
    }
    if settings.share_programs:
        shaped["volumeMounts"].append({"name": names.BPFFS_VOLUME, "mountPath": names.BPFFS_DIRECTORY})
    if metrics_port:
        shaped["ports"] = [{"name": "snoop-metrics", "containerPort": metrics_port, "protocol": "TCP"}]
    return shaped


def volumes(settings: Settings) -> list[dict[str, Any]]:
    """Shape the volumes that the sidecar mounts."""
    # Every kernel with BPF has the directory. No type is asked for: where nothing is mounted there the agent sees that,
    # and loads its own programs, while a kubelet that checks would not start the pod.
    bpffs = {"name": names.BPFFS_VOLUME, "hostPath": {"path": names.BPFFS_DIRECTORY, "type": ""}}
    token = {
        "audience": names.AUDIENCE,
        "expirationSeconds": _TOKEN_SECONDS,
        "path": names.TOKEN_PATH.rpartition("/")[2],
    }
    return [
        {"name": names.TOKEN_VOLUME, "projected": {"sources": [{"serviceAccountToken": token}]}},
        {"name": names.DATA_VOLUME, "emptyDir": {"sizeLimit": "256Mi"}},
        {"name": names.TRACEFS_VOLUME, "hostPath": {"path": names.TRACEFS_DIRECTORY, "type": "Directory"}},
        *([bpffs] if settings.share_programs else []),
        {"name": names.MASK_VOLUME, "emptyDir": {"sizeLimit": "1Mi"}},
    ]


def _resources(demand: Demand, qos: str) -> dict[str, Any]:
    # Any request or limit would make a BestEffort pod Burstable: scheduled and evicted by other rules than it had.
    if qos == "BestEffort":
        return {}
    if qos == "Guaranteed":
        return {"requests": {**demand.requests, **demand.limits}, "limits": {**demand.requests, **demand.limits}}
    return {"requests": dict(demand.requests), "limits": dict(demand.limits)}


def _environment(demand: Demand, settings: Settings, runtime: Runtime, metrics_port: int) -> list[dict[str, Any]]:
    from_pod = {
        names.ENV_POD_NAME: "metadata.name",
        names.ENV_POD_NAMESPACE: "metadata.namespace",
        names.ENV_POD_UID: "metadata.uid",
        names.ENV_NODE_NAME: "spec.nodeName",
    }
    told = {
        names.ENV_OPERATOR_URL: settings.operator_url,
        names.ENV_OPERATOR_ADDRESS: runtime.operator_address,
        names.ENV_CA_BUNDLE: runtime.ca_bundle,
        names.ENV_TOKEN_FILE: names.TOKEN_PATH,
        names.ENV_REPORT: REPORT_FILE,
        names.ENV_INTERVAL: format_duration(demand.report_interval),
        names.ENV_EXCLUDE: ",".join(demand.exclude),
        names.ENV_MAX_UNIQUE_FILES: str(demand.max_unique_files),
        names.ENV_METRICS_ADDR: f":{metrics_port}" if metrics_port else "",
        names.ENV_LOG_LEVEL: demand.log_level,
        names.ENV_ATTACH: demand.attach,
        names.ENV_PINS: names.PINS_DIRECTORY if settings.share_programs else "",
    }
    fields = [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in from_pod.items()]
    # The kubelet expands $(NAME) in values; $$ stands for a dollar.
    return [*fields, *({"name": name, "value": value.replace("$", "$$")} for name, value in told.items())]
