import logging
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from snoop_agent import wire
from snoop_agent.endpoints import serve
from snoop_agent.observability import Numbers, log_to_stderr


@pytest.fixture
def numbers() -> Numbers:
    return Numbers(
        events={"web": 12},
        records={wire.READ | wire.WRITE: 3, wire.READ: 2},
        observations=5,
        dropped=1,
        unique_files=4,
        report_writes=6,
        report_write_errors=7,
        tracing=True,
        skipped=7,
        ready=True,
        state="tracing",
    )


@pytest.fixture
def address(numbers: Numbers) -> Iterator[str]:
    server = serve("127.0.0.1:0", lambda: numbers)
    assert server is not None
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.server_close()


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_metrics_have_upstreams_names(address: str) -> None:
    status, text = get(f"{address}/metrics")

    assert status == 200
    for line in (
        'snoop_events_total{container="web"} 12.0',
        "snoop_events_processed_total 5.0",
        "snoop_events_dropped_total 1.0",
        "snoop_unique_files 4.0",
        "snoop_report_writes_total 6.0",
        "snoop_report_write_errors_total 7.0",
        'snoop_records_total{kind="read"} 5.0',
        'snoop_records_total{kind="write"} 3.0',
        "snoop_tracing 1.0",
        "snoop_recursion_misses_total 7.0",
    ):
        assert f"{line}\n" in text


def test_it_is_ready_once_it_traces_or_has_given_up(address: str, numbers: Numbers) -> None:
    assert get(f"{address}/healthz") == (200, "ok\n")
    assert get(f"{address}/readyz") == (200, "tracing\n")
    numbers.ready, numbers.state = False, "starting"
    assert get(f"{address}/readyz") == (503, "starting\n")
    assert get(f"{address}/healthz")[0] == 200
    assert get(f"{address}/")[0] == 404


def test_a_port_in_use_is_said_and_not_fatal(numbers: Numbers, caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert serve(f"127.0.0.1:{taken.getsockname()[1]}", lambda: numbers) is None

    assert "no metrics: cannot listen on 127.0.0.1:" in caplog.text


def test_every_interface_means_both_families(numbers: Numbers) -> None:
    server = serve(":0", lambda: numbers)
    assert server is not None
    port = server.server_address[1]
    try:
        assert get(f"http://127.0.0.1:{port}/healthz")[0] == 200
        if socket.has_ipv6 and server.address_family == socket.AF_INET6:
            assert get(f"http://[::1]:{port}/healthz")[0] == 200
    finally:
        server.server_close()


def test_a_log_record_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    try:
        log_to_stderr("warn")
        logging.getLogger("x").info("not shown")
        try:
            raise ValueError("deep\ninside")
        except ValueError:
            logging.getLogger("x").exception("a name with\na line break")
        logging.getLogger("x").warning("careful")
    finally:
        root.handlers[:] = before
        root.setLevel(level)

    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith(r"Z ERROR a name with\na line break (ValueError: deep\ninside)")
    assert second.endswith("Z WARN careful")


def test_prometheus_is_not_loaded_without_a_port() -> None:
    code = "import sys, snoop_agent.sidecar; print('prometheus_client' in sys.modules, 'bcc' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout == "False False\n"
