"""Profiles of a cluster, against a little API server of our own; tests/e2e asks a real one."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

REPORT = {
    "pod_name": "web-1",
    "namespace": "shop",
    "pod_uid": "u1",
    "exclude": ["/proc/"],
    "schema_version": 1,
    "started_at": "2026-01-01T00:00:00Z",
    "last_updated_at": "2026-01-01T01:00:00Z",
    "containers": [
        {
            "id": "c1",
            "name": "app",
            "cgroup_id": 1,
            "cgroup_path": "/c1",
            "observations": [
                {
                    "path": "/etc/hostname",
                    "outcome": "exists",
                    "kinds": ["read"],
                    "first_seen": "2026-01-01T00:00:00Z",
                    "last_seen": "2026-01-01T00:00:00Z",
                }
            ],
        }
    ],
}


PROXY = "/api/v1/namespaces/snoop-system/services/https:snoop-operator:https/proxy"


class Server:
    """Knows the token `good`, two profiles, and one ticket at a time."""

    def __init__(self) -> None:
        self.nonce_hash = ""
        self.asked: list[str] = []
        self.lines: list[Any] = [{"profile": "web"}, {"report": REPORT}, {"end": True, "reports": 1}]
        self.refuse: dict[str, tuple[int, str]] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            do_POST = do_GET  # noqa: N815 - the base class's name

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append(f"{request.command} {request.path}")
        length = int(request.headers.get("Content-Length") or 0)
        body = json.loads(request.rfile.read(length)) if length else {}
        status, answer = self._answer(request, body)
        raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        request.send_response(status)
        request.send_header("Content-Length", str(len(raw)))
        request.end_headers()
        request.wfile.write(raw)

    def _answer(self, request: BaseHTTPRequestHandler, body: Any) -> tuple[int, Any]:
        if request.headers.get("Authorization") != "Bearer good":
            return 401, {"message": "Unauthorized"}
        for part, (status, message) in self.refuse.items():
            if part in request.path:
                return status, {"message": message}
        if request.path.endswith("/snooptickets"):
            self.nonce_hash = body["spec"]["nonceHash"]
            return 201, {"metadata": {"name": "snoop-cli-x1"}}
        if "/snoopprofiles" in request.path:
            names = [("shop", "web"), ("bank", "vault")]
            if "/namespaces/" in request.path:
                names = [one for one in names if f"/namespaces/{one[0]}/" in request.path]
            return 200, {"items": [{"metadata": {"namespace": where, "name": name}} for where, name in names]}
        if "/services/https:snoop-operator:https/proxy/v1/" in request.path:
            name, _, nonce = request.headers.get("X-Snoop-Ticket", "").rpartition(".")
            good = name == "snoop-cli-x1" and hashlib.sha256(nonce.encode()).hexdigest() == self.nonce_hash
            self.nonce_hash = ""
            if not good:
                return 401, {"code": "bad_ticket", "message": "there is no ticket"}
            return 200, b"".join(json.dumps(line).encode() + b"\n" for line in self.lines)
        return 404, {"message": "the server could not find the requested resource"}


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture
def kubeconfig(server: Server, tmp_path: Path) -> Callable[..., str]:
    def write(namespace: str = "shop", **user: Any) -> str:
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.http.server_port}"}}],
            "users": [{"name": "u", "user": user or {"token": "good"}}],
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": namespace}}],
        }
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(document))
        return str(path)

    return write


def test_a_profile_is_read_by_its_name_with_a_ticket(snoop: Any, server: Server, kubeconfig: Any) -> None:
    done = snoop("files", "web", "-o", "name", env={"KUBECONFIG": kubeconfig()})
    assert (done.returncode, done.stdout, done.stderr) == (0, "/etc/hostname\n", "")
    assert server.asked == [
        "POST /apis/snoop.dev/v1alpha1/namespaces/shop/snooptickets",
        f"GET {PROXY}/v1/namespaces/shop/profiles/web/reports",
    ]


def test_kubectls_flags_say_where(snoop: Any, server: Server, kubeconfig: Any) -> None:
    done = snoop("report", "web", "-n", "bank", "--kubeconfig", kubeconfig(), "--context", "here", "-o", "name")
    assert done.returncode == 0
    assert any("/namespaces/bank/profiles/web/" in one for one in server.asked)


def test_an_exec_plugin_brings_the_token(snoop: Any, kubeconfig: Any, tmp_path: Path) -> None:
    plugin = tmp_path / "plugin"
    told = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "good"}}
    plugin.write_text(f"#!/bin/sh\ncat <<'EOF'\n{json.dumps(told)}\nEOF\n")
    plugin.chmod(0o755)
    user = {"exec": {"apiVersion": told["apiVersion"], "command": str(plugin), "interactiveMode": "Never"}}
    done = snoop("files", "sp/web", "-o", "name", env={"KUBECONFIG": kubeconfig(**user)})
    assert (done.returncode, done.stdout) == (0, "/etc/hostname\n")


def test_all_profiles_are_read_where_none_is_named(snoop: Any, server: Server, kubeconfig: Any) -> None:
    done = snoop("report", "-A", "-o", "json", env={"KUBECONFIG": kubeconfig()})
    assert done.returncode == 0, done.stderr
    assert [one for one in server.asked if "/profiles/vault/" in one]
    done = snoop("report", "-l", "team=a", "-o", "name", env={"KUBECONFIG": kubeconfig()})
    assert "GET /apis/snoop.dev/v1alpha1/namespaces/shop/snoopprofiles?labelSelector=team%3Da" in server.asked


def test_a_file_of_that_name_is_the_file(snoop: Any, server: Server, kubeconfig: Any, tmp_path: Path) -> None:
    (tmp_path / "web").write_text(json.dumps(REPORT))
    done = snoop("files", "web", "-o", "name", env={"KUBECONFIG": kubeconfig()})
    assert (done.returncode, server.asked) == (0, [])
    done = snoop("files", "web", "-n", "shop", "-o", "name", env={"KUBECONFIG": kubeconfig()})
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("part", "status", "message", "words"),
    [
        ("snooptickets", 403, 'user "eve" cannot create', "cannot create a SnoopTicket in namespace shop"),
        ("snooptickets", 404, "the server could not find the requested resource", "Snoop is not installed"),
        ("/proxy/", 404, "there is no SnoopProfile web in namespace shop", "there is no SnoopProfile web"),
        ("/proxy/", 503, "no endpoints available", "no endpoints available"),
    ],
)
def test_a_refusal_is_one_line(
    snoop: Any, server: Server, kubeconfig: Any, part: str, status: int, message: str, words: str
) -> None:
    server.refuse[part] = (status, message)
    done = snoop("report", "web", env={"KUBECONFIG": kubeconfig()})
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([{"profile": "web"}, {"report": REPORT}], "was cut short"),
        ([{"profile": "web"}, {"error": "the disk is gone"}], "the disk is gone"),
        ([{"report": {"containers": 3}}, {"end": True}], "containers"),
        (["not", "json"], "not what an operator answers"),
    ],
)
def test_half_an_answer_is_no_evidence(
    snoop: Any, server: Server, kubeconfig: Any, lines: list[Any], words: str
) -> None:
    server.lines = lines
    done = snoop("files", "web", env={"KUBECONFIG": kubeconfig()})
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr


def test_a_bad_token_and_a_server_that_is_away_are_told(snoop: Any, server: Server, kubeconfig: Any) -> None:
    done = snoop("report", "web", env={"KUBECONFIG": kubeconfig(token="bad")})
    assert (done.returncode, "Unauthorized" in done.stderr) == (2, True)
    server.http.shutdown()
    server.http.server_close()
    done = snoop("report", "web", env={"KUBECONFIG": kubeconfig()})
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "refused" in done.stderr


def test_without_a_cluster_it_says_what_it_looked_for(snoop: Any, tmp_path: Path) -> None:
    done = snoop("report", "web", env={"KUBECONFIG": str(tmp_path / "none")})
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("snoop: no such file, and no cluster to ask for a profile: ")


def test_a_profile_is_named_or_chosen(snoop: Any, kubeconfig: Any) -> None:
    env = {"KUBECONFIG": kubeconfig()}
    assert "either named, or chosen" in snoop("report", "web", "-A", env=env).stderr
    assert "-A means all" in snoop("report", "-A", "-n", "shop", env=env).stderr
    assert "NAMESPACE/SERVICE" in snoop("report", "web", "--operator", "x", env=env).stderr
