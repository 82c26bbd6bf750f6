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


def ask(person: str, path: str, shown: str = "") -> tuple[int, bytes]:
    """The status and body of a GET to the operator, through the service proxy."""
    with api_server(person) as server:
        service = f"{server}/api/v1/namespaces/{SYSTEM}/services/https:snoop-operator:https/proxy"
        request = urllib.request.Request(service + path, headers={"X-Snoop-Ticket": shown})
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()


def read(person: str, space: Space, shown: str) -> tuple[int, bytes]:
    return ask(person, f"/v1/namespaces/{space.name}/profiles/profile/reports", shown)


def test_who_may_view_a_namespace_reads_its_reports_once_with_a_ticket(space: Space) -> None:
    space.profile()
    space.apply(shell_pod("app", "cat /etc/issue; while :; do sleep 1; done"))
    space.running("app")
    eventually("a report", lambda: "/etc/issue" in space.files("app", "app"))
    space.kubectl("create", "rolebinding", "reader", "--clusterrole=view", "--user=ada")

    shown = ticket(space, "ada")
    status, body = read("ada", space, shown)
    assert status == 200
    head, *reports, end = [json.loads(line) for line in body.splitlines()]
    assert (head["profile"], head["namespace"], end) == ("profile", space.name, {"end": True, "reports": 1})
    (report,) = [report_from_dict(line["report"]) for line in reports]
    assert report.pod_name == "app"
    assert "/etc/issue" in report.containers[0].files

    assert read("ada", space, shown)[0] == 401
    assert space.get("snooptickets")["items"] == []


def test_who_may_not_gets_no_ticket_and_without_one_nothing_is_told(space: Space) -> None:
    space.profile()
    denied = ticket(space, "eve", check=False)
    assert "forbidden" in denied
    assert space.get("snooptickets")["items"] == []
    assert read("eve", space, "made-up." + secrets.token_urlsafe(32))[0] == 401
    # Nor does the way to the reports lead anywhere else.
    assert ask("eve", "/metrics")[0] == 404
    assert "cannot" in kubectl("-n", SYSTEM, "get", "secrets", "--as=eve", check=False)
