"""Gives each claim of the default StorageClass a directory of the node, and takes it away once the claim is gone.

Volumes are of the type `local`, and their directories belong to root (0755) as a freshly formatted disk's do: a pod
that is not root needs an fsGroup here, as it would on a cloud's disk.
"""

import contextlib
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from api import Api, ApiError

PROVISIONER = "snoop.test/directory"
CLASS = "directory"
DIRECTORY = Path("/var/lib/volumes")
SECONDS = 1.0


def volume(claim: dict[str, Any], node: str) -> dict[str, Any]:
    meta, spec = claim["metadata"], claim["spec"]
    name = "pvc-" + meta["uid"]
    reference = {key: meta[key] for key in ("namespace", "name", "uid")}
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {"pv.kubernetes.io/provisioned-by": PROVISIONER}},
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "volumeMode": "Filesystem",
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": CLASS,
            "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **reference},
            "local": {"path": str(DIRECTORY / name)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        },
    }


def wants_volume(claim: dict[str, Any]) -> bool:
    spec = claim["spec"]
    return (
        claim.get("status", {}).get("phase") == "Pending"
        and spec.get("storageClassName") == CLASS
        and not spec.get("volumeName")
        and spec.get("volumeMode", "Filesystem") == "Filesystem"
    )


def done_with(persistent: dict[str, Any]) -> bool:
    annotations = persistent["metadata"].get("annotations", {})
    return (
        persistent.get("status", {}).get("phase") in ("Released", "Failed")
        and persistent["spec"]["persistentVolumeReclaimPolicy"] == "Delete"
        and annotations.get("pv.kubernetes.io/provisioned-by") == PROVISIONER
    )


def provision(api: Api, node: str) -> None:
    for claim in filter(wants_volume, api.items("/api/v1/persistentvolumeclaims?resourceVersion=0")):
        body = volume(claim, node)
        Path(body["spec"]["local"]["path"]).mkdir(parents=True, exist_ok=True)
        try:
            api.call("POST", "/api/v1/persistentvolumes", body)
        except ApiError as error:
            if error.status != 409:  # it is there, and will be bound
                raise
    for persistent in filter(done_with, api.items("/api/v1/persistentvolumes?resourceVersion=0")):
        shutil.rmtree(persistent["spec"]["local"]["path"], ignore_errors=True)
        with contextlib.suppress(ApiError):
            api.call("DELETE", "/api/v1/persistentvolumes/" + persistent["metadata"]["name"])


def main() -> None:
    api, node = Api(Path(sys.argv[1])), sys.argv[2]
    while True:
        try:
            provision(api, node)
        except ApiError as error:
            print(error, file=sys.stderr, flush=True)
        time.sleep(SECONDS)


if __name__ == "__main__":
    main()
