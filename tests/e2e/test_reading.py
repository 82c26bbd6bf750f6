"""People read reports with the rights that they have, through the API server."""

import contextlib
import hashlib
import json
import re
import secrets
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from tests.e2e.conftest import SYSTEM, Space, eventually, kubectl, shell_pod

from snoop_report.codec import report_from_dict


@contextlib.contextmanager
def api_server(person: str) -> Iterator[str]:
    """The API server as `person` reaches it: kubectl proxy passes our header on, and signs with their name."""
    command = ["kubectl", "proxy", "--port=0", f"--as={person}", "--as-group=system:authenticated"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as proxy:
        assert proxy.stdout
        found = re.search(r"127\.0\.0\.1:\d+", proxy.stdout.readline())
        assert found
        try:
            yield f"http://{found[0]}"
        finally:
            proxy.terminate()


def ticket(space: Space, person: str, *, check: bool = True) -> str:
    nonce = secrets.token_urlsafe(32)
    made = {
        "apiVersion": "snoop.dev/v1alpha1",
        "kind": "SnoopTicket",
        "metadata": {"generateName": "read-"},
        "spec": {"nonceHash": hashlib.sha256(nonce.encode()).hexdigest()},
    }
    told = space.kubectl(
        *("create", "-f", "-", "-o", "jsonpath={.metadata.name}", f"--as={person}", "--as-group=system:authenticated"),
        text=json.dumps(made),
        check=check,
    )
    return f"{told}.{nonce}"


def read(person: str, space: Space, shown: str) -> list[dict[str, object]]:
    with api_server(person) as server:
        service = f"{server}/api/v1/namespaces/{SYSTEM}/services/https:snoop-operator:https/proxy"
        request = urllib.request.Request(
            f"{service}/v1/namespaces/{space.name}/profiles/profile/reports", headers={"X-Snoop-Ticket": shown}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return [json.loads(line) for line in answer.read().splitlines()]


def test_who_may_view_a_namespace_reads_its_reports_once_with_a_ticket(space: Space) -> None:
    space.profile()
    space.apply(shell_pod("app", "cat /etc/issue; while :; do sleep 1; done"))
    space.running("app")
    eventually("a report", lambda: "/etc/issue" in space.files("app", "app"))
    space.kubectl("create", "rolebinding", "reader", "--clusterrole=view", "--user=ada")

    shown = ticket(space, "ada")
    head, *reports, end = read("ada", space, shown)
    assert (head["profile"], head["namespace"], end) == ("profile", space.name, {"end": True, "reports": 1})
    (report,) = [report_from_dict(line["report"]) for line in reports]
    assert report.pod_name == "app"
    assert "/etc/issue" in report.containers[0].files

    with pytest.raises(urllib.error.HTTPError) as refused:
        read("ada", space, shown)
    assert refused.value.code == 401
    assert space.get("snooptickets")["items"] == []


def test_who_may_not_gets_no_ticket_and_without_one_nothing_is_told(space: Space) -> None:
    space.profile()
    denied = ticket(space, "eve", check=False)
    assert "forbidden" in denied
    assert space.get("snooptickets")["items"] == []
    with pytest.raises(urllib.error.HTTPError) as refused:
        read("eve", space, "made-up." + secrets.token_urlsafe(32))
    assert refused.value.code == 401
    # Nor does the way to the reports lead anywhere else.
    with api_server("eve") as server:
        metrics = f"{server}/api/v1/namespaces/{SYSTEM}/services/https:snoop-operator:https/proxy/metrics"
        with pytest.raises(urllib.error.HTTPError) as lost:
            urllib.request.urlopen(metrics, timeout=20)
    assert lost.value.code == 404
    assert "cannot" in kubectl("-n", SYSTEM, "get", "secrets", "--as=eve", check=False)
