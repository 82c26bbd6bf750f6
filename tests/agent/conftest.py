"""Stand-ins for what is not the agent's user space: a scripted tracer, and an operator on a real HTTPS port."""

import datetime
import gzip
import http.server
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.agent.running import ID, Running

from snoop_agent import settings, sidecar, wire
from snoop_agent.agent import Started
from snoop_agent.alarm import Alarm
from snoop_agent.tracing import Counters, Event, NewContainer
from snoop_report.codec import dumps_acknowledgement, loads_delta
from snoop_report.model import Acknowledgement, Delta, Gap

NAME = "snoop.snoop-system.svc"


class MakeEvent(Protocol):
    def __call__(self, asked: str | bytes = ..., **changes: object) -> Event: ...


@pytest.fixture
def event() -> MakeEvent:
    """An event: `asked` was opened for reading and led to itself, unless said otherwise."""

    def make(asked: str | bytes = "/etc/passwd", **changes: object) -> Event:
        raw = asked.encode() if isinstance(asked, str) else asked
        values: dict[str, object] = {
            "container": 77,
            "kinds": wire.READ,
            "error": 0,
            "flags": wire.RESOLVED,
            "time_ns": 1_000_000_000,
            "dev": 1,
            "ino": 2,
            "mount": 3,
            "mode": 0o100644,
            "tgid": 4,
            "asked": raw,
            "base": b"/",
            "target": raw,
            "executable": b"/usr/bin/app",
        }
        values |= changes
        if values["error"]:
            values |= {"flags": changes.get("flags", 0), "target": b""}
        return Event(**values)  # type: ignore[arg-type]

    return make


@pytest.fixture
def announcement() -> Callable[..., NewContainer]:
    """The record that tells a container's cgroup path."""

    def make(container: int = 77, name: str = ID) -> NewContainer:
        return NewContainer(container, f"/kubepods/pod1/{name}".encode(), 1_000_000_000)

    return make


class ScriptedTracer:
    """Gives out what a test puts in."""

    hooks = "syscalls"
    attach = "tracepoint"
    shared = False
    skipped = 7

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[Event | NewContainer] = deque()
        self.numbers: dict[int, Counters] = {}
        self.known_gaps: list[Gap] = []
        self.error: Exception | None = None
        self.living: set[int] = set()
        self.mute: Exception | None = None
        """What `alive` raises."""
        self.closed = False
        self.polls = 0
        self._interrupted = False

    def interrupt(self) -> None:
        """End a poll early, as a signal does."""
        with self._changed:
            self._interrupted = True
            self._changed.notify()

    def put(self, *events: Event | NewContainer) -> None:
        with self._changed:
            self._waiting.extend(events)
            self._changed.notify()

    def poll(self, timeout_s: float) -> list[Event | NewContainer]:
        with self._changed:
            self.polls += 1
            self._changed.wait_for(lambda: self._waiting or self.error or self._interrupted, timeout_s)
            self._interrupted = False
            if self.error:
                raise self.error
            return [self._waiting.popleft() for _ in range(min(len(self._waiting), 1000))]

    def counters(self) -> Mapping[int, Counters]:
        return dict(self.numbers)

    def gaps(self) -> list[Gap]:
        return list(self.known_gaps)

    def alive(self) -> set[int]:
        if self.mute:
            raise self.mute
        return set(self.living)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def tracer() -> ScriptedTracer:
    return ScriptedTracer()


@dataclass(frozen=True)
class Authority:
    """A CA, and certificates that it signs."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def sign(self, directory: Path, name: str = NAME) -> Path:
        """Write a key and a certificate for `name` into one PEM file."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives = x509.SubjectAlternativeName([x509.DNSName(name)])
        certificate = _certificate(name, key.public_key(), self.certificate.subject, self.key, alternatives)
        path = directory / f"{name}-{certificate.serial_number}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        return path


def _certificate(
    name: str,
    public: ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    signer: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(extension, critical=False)
        .sign(signer, hashes.SHA256())
    )


@pytest.fixture(scope="session")
def make_authority() -> Callable[[str], Authority]:
    def make(name: str) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        constraint = x509.BasicConstraints(ca=True, path_length=None)
        return Authority(key, _certificate(name, key.public_key(), subject, key, constraint))

    return make


@pytest.fixture(scope="session")
def authority(make_authority: Callable[[str], Authority]) -> Authority:
    return make_authority("first CA")


@dataclass
class Received:
    """One request that the operator has had."""

    delta: Delta | None
    token: str
    encoding: str
    size: int
    at: float


@dataclass
class Script:
    """What the operator does next, and what it has had."""

    received: list[Received] = field(default_factory=list)
    accepted: list[Delta] = field(default_factory=list)
    statuses: deque[int] = field(default_factory=deque)
    """Answers before it begins to accept."""
    status: int = 200
    """Otherwise."""
    retry_after: str = ""
    largest: int = 1 << 30
    """Bytes of JSON; more is 413."""
    answer: Callable[[Delta], Acknowledgement] = lambda delta: Acknowledgement(delta.sequence, "store-1")
    connections: int = 0
    stall: float = 0.0

    def paths(self) -> set[str]:
        return {
            seen.path
            for delta in self.accepted
            for one in delta.report.containers
            for seen in one.observations.values()
        }


class Operator:
    """An ingest endpoint on 127.0.0.1, with a certificate for a Service's name."""

    def __init__(self, certificate: Path, port: int = 0) -> None:
        self.script = script = Script()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                script.connections += 1
                super().setup()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                encoding = self.headers.get("Content-Encoding", "")
                plain = gzip.decompress(body) if encoding == "gzip" else body
                token = self.headers.get("Authorization", "").removeprefix("Bearer ")
                delta = loads_delta(plain)
                script.received.append(Received(delta, token, encoding, len(body), time.monotonic()))
                time.sleep(script.stall)
                status = script.statuses.popleft() if script.statuses else script.status
                if status == 200 and len(plain) > script.largest:
                    status = 413
                answer = b"no"
                if status == 200 and self.path == "/v1/deltas":
                    script.accepted.append(delta)
                    answer = dumps_acknowledgement(script.answer(delta))
                self.send_response(status)
                if script.retry_after:
                    self.send_header("Retry-After", script.retry_after)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, *_: object) -> None:
                pass  # clients that do not trust us, or have gone

        self._server = Server(("127.0.0.1", port), Handler)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._server.socket = self._context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"https://{NAME}:{self.port}"

    def rotate(self, certificate: Path) -> None:
        """Show another certificate from the next connection on."""
        self._context.load_cert_chain(certificate)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def operator(authority: Authority, tmp_path: Path) -> Iterator[Operator]:
    started = Operator(authority.sign(tmp_path))
    yield started
    started.stop()


@pytest.fixture
def start_operator(authority: Authority, tmp_path: Path) -> Iterator[Callable[[int], Operator]]:
    """An operator that comes later, on a port that is already known."""
    started: list[Operator] = []

    def start(port: int) -> Operator:
        started.append(Operator(authority.sign(tmp_path), port))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("t0ken\n")
    return path


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Wait for a condition; say how long it took if it never came."""

    def wait(condition: Callable[[], object], seconds: float = 5.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds} s"
            time.sleep(0.01)

    return wait


@pytest.fixture
def run_agent(
    tmp_path: Path, token: Path, authority: Any, tracer: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []
    data = tmp_path / "data"
    data.mkdir()

    def run(start: Callable[[], Started], operator: Any = None, **environment: str) -> Running:
        given = {
            "SNOOP_DATA_DIRECTORY": str(data),
            "SNOOP_REPORT": str(data / "snoop-report.json"),
            "SNOOP_TOKEN_FILE": str(token),
            "SNOOP_CA_BUNDLE": authority.pem,
            "SNOOP_OPERATOR_ADDRESS": "127.0.0.1",
            "SNOOP_POD_NAME": "web-0",
            "SNOOP_POD_NAMESPACE": "shop",
            "SNOOP_POD_UID": "u-1",
            "SNOOP_METRICS_ADDR": "",
        }
        if operator is not None:
            given["SNOOP_OPERATOR_URL"] = operator.url
        monkeypatch.setattr(sidecar, "start", lambda chosen: start())
        alarm = Alarm()
        agent = sidecar.build(settings.load([], given | environment), alarm)
        running = Running(agent, alarm, threading.Thread(target=agent.run), data, tracer.interrupt)
        started.append(running)
        running.thread.start()
        return running

    yield run
    for running in started:
        running.stop()
        running.alarm.close()


@pytest.fixture
def app(event: Any, announcement: Any) -> list[Any]:
    """What an app's container does first."""
    return [event("/usr/bin/app", kinds=wire.EXECUTE), announcement(), event("/etc/app.conf")]
