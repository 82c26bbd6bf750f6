"""The whole operator: a pod in the API server, its evidence in the store, its image in a registry."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import unused_port

from snoop_operator.store.interface import PodKey
from snoop_operator.store.sql import open_sqlite
from snoop_report.model import AgentInfo, ContainerReport, Delta, Identity, Kind, Observation, Outcome, Report

HOOK = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/snoop-operator"
PROFILE = "/apis/snoop.dev/v1alpha1/namespaces/shop/snoopprofiles/web"
USED, UNUSED = "/srv/app/used.txt", "/srv/app/unused.txt"


async def _evidence(folder: Path, image: str, digest: str) -> None:
    now = time.time()
    container = ContainerReport("c1", 7, "/c1", started_at=now)
    seen = Observation(USED, USED, Outcome.EXISTS, frozenset({Kind.READ}), now, now)
    container.observations[seen.key] = seen
    agent = AgentInfo("0.1.0", "6.1", "vfs", "fexit")
    report = Report(started_at=now, last_updated_at=now, containers=[container], agent=agent)
    store = await open_sqlite(folder / "evidence.sqlite", wait=0)
    known = {"c1": Identity("web", image, digest)}
    await store.accept(PodKey("shop", "web-1", "u-1", "n"), Delta("b", 1, report, True, False, 1), known, now)
    await store.close()


def _pod(image: str, digest: str) -> dict[str, Any]:
    return {
        "metadata": {
            "uid": "u-1",
            "labels": {"app": "web", "snoop.dev/injected": "true"},
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {
            "nodeName": "n",
            "initContainers": [{"name": "snoop-agent", "image": "agent:1"}],
            "containers": [{"name": "web", "image": image}],
        },
        "status": {
            "phase": "Running",
            "containerStatuses": [
                {"name": "web", "containerID": "containerd://c1", "imageID": f"{image.rpartition(':')[0]}@{digest}"}
            ],
        },
    }


@pytest.mark.parametrize("wanted", [True, False])
async def test_the_status_tells_what_an_image_has_that_was_not_seen_in_use(
    api: Any, registry: Any, tmp_path: Path, eventually: Any, wanted: bool
) -> None:
    image = f"{registry.host}/app:1"
    digest = registry.push({USED: b"u" * 1024, UNUSED: b"n" * 5120})
    await _evidence(tmp_path, image, digest)
    await api.put(HOOK, {"webhooks": [{"name": "pods.snoop.dev", "clientConfig": {}}]})
    await api.put("/api/v1/namespaces/shop/pods/web-1", _pod(image, digest))
    await api.put(PROFILE, {"spec": {"selector": {"matchLabels": {"app": "web"}}}})
    arguments = [
        *("--agent-image=agent:1", "--agent-check=false", "--bind=127.0.0.1", f"--data-directory={tmp_path}"),
        f"--work-directory={tmp_path}/work",
        *(f"--http-port={unused_port()}", f"--tls-port={unused_port()}", f"--inventory={str(wanted).lower()}"),
    ]
    log = tmp_path / "log"
    with log.open("wb") as target:
        running = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from snoop_operator.server import main; main()", *arguments),
            stderr=target,
            env=dict(os.environ),
        )

    def status() -> dict[str, Any]:
        found: dict[str, Any] = api.objects[PROFILE].get("status") or {}
        return found

    try:
        if wanted:
            await eventually(lambda: "bytesUnused" in status(), 30)
        else:
            await eventually(lambda: status().get("imageCount") == 1, 30)
    finally:
        running.send_signal(signal.SIGTERM)
        await asyncio.wait_for(running.wait(), 15)
        print(status(), log.read_text())
    told = {one["type"]: one["status"] for one in status()["conditions"]}
    assert told["Complete"] == "True"
    if wanted:
        assert told["Inventoried"] == "True"
        assert status()["display"] == {"pods": "1/1", "used": "1.0 KiB", "unused": "5.0 KiB"}
    else:
        assert "Inventoried" not in told
        assert registry.asked == []
    assert "ERROR" not in log.read_text()
