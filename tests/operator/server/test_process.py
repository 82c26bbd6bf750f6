"""The whole process: started, asked, stopped, and started wrongly."""

import asyncio
import os
import re
import signal
import ssl
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import unused_port

HOOK = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/snoop-operator"
PROFILES = "/apis/snoop.dev/v1alpha1/namespaces/shop/snoopprofiles"


class Process:
    def __init__(self, directory: Path) -> None:
        self.http, self.tls = unused_port(), unused_port()
        self.directory = directory
        self.log = directory / "log"
        self.running: asyncio.subprocess.Process | None = None

    async def start(self, *extra: str, **environ: str) -> asyncio.subprocess.Process:
        arguments = [
            "--agent-image=agent:1",
            "--agent-check=false",
            "--bind=127.0.0.1",
            f"--http-port={self.http}",
            f"--tls-port={self.tls}",
            f"--data-directory={self.directory}",
            *extra,
        ]
        with self.log.open("ab") as log:
            self.running = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                "from snoop_operator.server import main; main()",
                *arguments,
                stderr=log,
                env={**os.environ, **environ},
            )
        return self.running

    async def ready(self) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session:
            try:
                async with session.get(f"http://127.0.0.1:{self.http}/readyz") as answer:
                    return answer.status, await answer.text()
            except aiohttp.ClientError:
                return 0, ""

    async def until_ready(self, status: int = 200) -> str:
        for _ in range(200):
            found, text = await self.ready()
            if found == status:
                return text
            await asyncio.sleep(0.05)
        raise AssertionError(f"never {status}: {await self.ready()}\n{self.log.read_text()}")

    async def stop(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        assert self.running is not None
        started = time.monotonic()
        self.running.send_signal(number)
        status = await asyncio.wait_for(self.running.wait(), 15)
        return status, time.monotonic() - started


@pytest.fixture
async def process(api: Any, tmp_path: Path) -> AsyncIterator[Process]:
    await api.put(HOOK, {"webhooks": [{"name": "pods.snoop.dev", "clientConfig": {}}]})
    made = Process(tmp_path)
    yield made
    if made.running is not None and made.running.returncode is None:
        made.running.kill()
        await made.running.wait()


async def test_it_becomes_ready_serves_and_ends_in_order(api: Any, process: Process) -> None:
    await process.start()
    await process.until_ready()
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    async with aiohttp.ClientSession() as session:
        base = f"https://127.0.0.1:{process.tls}"
        async with session.post(f"{base}/v1/deltas", data=b"{}", ssl=context) as answer:
            assert answer.status == 401
        pod = {"metadata": {"generateName": "web-"}, "spec": {"containers": [{"name": "web"}]}}
        request = {"uid": "1", "operation": "CREATE", "kind": {"kind": "Pod"}, "namespace": "shop", "object": pod}
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
        async with session.post(f"{base}/admission/pods", json=review, ssl=context) as answer:
            told = await answer.json()
            assert told["response"]["allowed"] is True
        async with session.get(f"http://127.0.0.1:{process.http}/metrics") as answer:
            assert "snoop_admissions_total" in await answer.text()
    status, seconds = await process.stop()
    assert status == 0, process.log.read_text()
    assert seconds < 6
    for line in process.log.read_text().splitlines():
        assert re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z [A-Z]+ [\w.]+: ", line), line
    assert "ERROR" not in process.log.read_text()


async def test_a_profile_gets_its_status(api: Any, process: Process, eventually: Any) -> None:
    await process.start()
    await process.until_ready()
    await api.put(f"{PROFILES}/web", {"spec": {"selector": {"matchLabels": {"app": "web"}}}})
    await eventually(lambda: api.objects[f"{PROFILES}/web"].get("status", {}).get("phase") == "Pending")


async def test_it_is_not_ready_before_the_webhook_trusts_it(api: Any, process: Process) -> None:
    await api.remove(HOOK)
    await process.start()
    assert "caBundle" in await process.until_ready(503)


async def test_an_api_server_that_is_away_at_start_is_waited_for(api: Any, process: Process) -> None:
    api.refuse = lambda method, path: 503
    await process.start()
    assert "not ready" in await process.until_ready(503)
    await asyncio.sleep(1)
    assert "trying again" in process.log.read_text()
    api.refuse = lambda method, path: 0
    await process.until_ready()


async def test_killed_it_starts_again_with_the_same_store(api: Any, process: Process) -> None:
    await process.start()
    await process.until_ready()
    status, _ = await process.stop(signal.SIGKILL)
    assert status == -signal.SIGKILL
    await process.start()
    await process.until_ready()
    found = re.findall(r"store open id=(\w+) fresh=(\w+)", process.log.read_text())
    assert found[0][0] == found[1][0]
    assert [fresh for _, fresh in found] == ["True", "False"]


@pytest.mark.parametrize("away", ["KUBECONFIG", "port"])
async def test_started_wrongly_it_says_so_in_one_line(api: Any, process: Process, away: str) -> None:
    if away == "KUBECONFIG":
        running = await process.start(KUBECONFIG="", HOME=str(process.directory / "nobody"))
        expected, words = 2, "snoop-operator: not in a cluster"
    else:
        held = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", process.http)
        running = await process.start()
        expected, words = 1, "snoop-operator: cannot listen on"
    assert await asyncio.wait_for(running.wait(), 10) == expected
    assert process.log.read_text().splitlines()[-1].startswith(words)
    assert "Traceback" not in process.log.read_text()
    if away == "port":
        held.close()
