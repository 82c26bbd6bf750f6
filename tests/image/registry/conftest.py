"""Registries: Debian's docker-registry with and without credentials, and one that fails as it is told."""

import base64
import contextlib
import datetime
import http.server
import ipaddress
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509.oid import NameOID

from snoop_image.inventory import Transport

USER, PASSWORD = "person", "secret"
# htpasswd -Bbn person secret
_HTPASSWD = "person:$2y$05$rU/y0NT/vWcKvAK0pzrZW.vZ3Dd9gi8o3DEYJ4wLGo6WrWz06oOiC"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Registry:
    """A docker-registry that runs, and how to push to it."""

    host: str
    options: list[str] = field(default_factory=list)

    def push(self, layout: Path, name: str, *options: str) -> None:
        command = ["skopeo", "copy", "--quiet", "--preserve-digests", *self.options, *options]
        subprocess.run([*command, f"oci:{layout}", f"docker://{self.host}/{name}"], check=True)


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Registry]]:
    """Starts a docker-registry with more of its configuration."""
    if not (shutil.which("docker-registry") and shutil.which("skopeo")):
        pytest.fail("docker-registry and skopeo are wanted: make install")
    with contextlib.ExitStack() as stack:

        def run(options: list[str], **configuration: Any) -> Registry:
            folder = tmp_path_factory.mktemp("registry")
            port = _free_port()
            whole = {
                "version": 0.1,
                "log": {"level": "error", "accesslog": {"disabled": True}},
                "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
                **configuration,
                "http": {"addr": f"127.0.0.1:{port}", **configuration.get("http", {})},
            }
            # JSON is YAML.
            (folder / "config.yml").write_text(json.dumps(whole))
            log = stack.enter_context((folder / "log").open("wb"))
            process = subprocess.Popen(["docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            _wait(port, process, folder / "log")
            return Registry(f"127.0.0.1:{port}", options)

        yield run


def _wait(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    pytest.fail(f"docker-registry did not start: {log.read_text()[-1000:]}")


@pytest.fixture(scope="session")
def registry(start: Callable[..., Registry]) -> Registry:
    return start(["--dest-tls-verify=false"])


@pytest.fixture(scope="session")
def with_password(start: Callable[..., Registry], tmp_path_factory: pytest.TempPathFactory) -> Registry:
    path = tmp_path_factory.mktemp("htpasswd") / "htpasswd"
    path.write_text(_HTPASSWD)
    return start(
        ["--dest-tls-verify=false", f"--dest-creds={USER}:{PASSWORD}"],
        auth={"htpasswd": {"realm": "test", "path": str(path)}},
    )


@dataclass
class Authority:
    """A CA, and what it signed for 127.0.0.1."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    folder: Path

    def file(self, name: str, *parts: bytes) -> str:
        path = self.folder / name
        path.write_bytes(b"".join(parts))
        return str(path)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        key = ec.generate_private_key(ec.SECP256R1())
        return key, _certificate("server", key, "authority", self.key, ca=False)


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: str, signer: ec.EllipticCurvePrivateKey, *, ca: bool
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if not ca:
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    return builder.sign(signer, hashes.SHA256())


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    return Authority(key, _certificate("authority", key, "authority", key, ca=True), tmp_path_factory.mktemp("ca"))


def private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


@pytest.fixture(scope="session")
def with_tls(start: Callable[..., Registry], authority: Authority) -> Registry:
    key, certificate = authority.issue()
    tls = {
        "certificate": authority.file("server.pem", certificate.public_bytes(serialization.Encoding.PEM)),
        "key": authority.file("server.key", private(key)),
    }
    return start(["--dest-tls-verify=false"], http={"tls": tls})


class Tokens(Registry):
    """A registry that wants tokens (distribution, docs/spec/auth/token.md), and the server that gives them."""

    def __init__(self, registry: Registry, sign: Callable[[str], str]) -> None:
        super().__init__(registry.host, registry.options)
        self._sign = sign
        self.asked: list[tuple[str, str, str]] = []

    def token(self, scope: str) -> str:
        return self._sign(scope)


def _packed(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@pytest.fixture(scope="session")
def with_tokens(start: Callable[..., Registry], authority: Authority) -> Iterator[Tokens]:
    key, certificate = authority.issue()
    chain = [base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()]

    def sign(scope: str) -> str:
        # docs/spec/auth/jwt.md
        kind, name, actions = scope.split(":")
        now = int(time.time())
        claims = {
            "iss": "tests", "sub": USER, "aud": "registry", "jti": os.urandom(8).hex(),
            "iat": now - 9000, "nbf": now - 9000, "exp": now + 300,
            "access": [{"type": kind, "name": name, "actions": actions.split(",")}] if name else [],
        }  # fmt: skip
        head = {"typ": "JWT", "alg": "ES256", "x5c": chain}
        signed = ".".join(_packed(json.dumps(part).encode()) for part in (head, claims))
        r, s = utils.decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_packed(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    holder: list[Tokens] = []

    class Handler(Quiet):
        def do_GET(self) -> None:
            asked = dict(parse_qsl(urlsplit(self.path).query))
            known = f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"
            told = self.headers.get("Authorization")
            self._give("GET", asked, known=told == known, wrong=told not in (None, known))

        def do_POST(self) -> None:
            asked = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            known = asked.get("refresh_token") == "refresh-me" and asked.get("grant_type") == "refresh_token"
            self._give("POST", asked, known=known, wrong=not known)

        def _give(self, method: str, asked: dict[str, str], *, known: bool, wrong: bool) -> None:
            holder[0].asked.append((method, asked["service"], asked.get("scope", "")))
            if wrong:
                self.answer(401, b'{"details":"incorrect username or password"}')
                return
            token = holder[0].token(asked["scope"] if known else "repository::")
            key = "token" if method == "GET" else "access_token"
            self.answer(200, json.dumps({key: token, "expires_in": 300}).encode())

    with serving(Handler) as host:
        token = {
            "realm": f"http://{host}/token",
            "service": "registry",
            "issuer": "tests",
            "rootcertbundle": authority.file("tokens.pem", authority.pem),
        }
        options = ["--dest-tls-verify=false", f"--dest-creds={USER}:{PASSWORD}"]
        holder.append(Tokens(start(options, auth={"token": token}), sign))
        yield holder[0]


class Quiet(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        pass

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


@contextlib.contextmanager
def serving(handler: type[Quiet]) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: str = ""


Fault = Callable[[Quiet, Request], bool]


class Faulty:
    """A registry that gives what a layout holds, once `faults` have had their will: each may answer by itself."""

    def __init__(self, layout: Path) -> None:
        self.layout = layout
        self.seen: list[Request] = []
        self.faults: list[Fault] = []
        self.ranges = True
        self.host = ""
        self.handler = Quiet

    def respond(self, handler: Quiet, body: str = "") -> None:
        request = Request(handler.path, dict(handler.headers), body)
        self.seen.append(request)
        for fault in list(self.faults):
            if fault(handler, request):
                return
        path = urlsplit(request.path).path
        manifest = re.fullmatch(r"/v2/team/app/manifests/(.+)", path)
        blob = re.fullmatch(r"/v2/team/app/blobs/(.+)", path)
        if path == "/v2/":
            handler.answer(200)
        elif manifest:
            listed = json.loads((self.layout / "index.json").read_text())["manifests"][0]
            digest = manifest[1] if ":" in manifest[1] else listed["digest"]
            self._give(handler, request, digest, listed["mediaType"])
        elif blob:
            self._give(handler, request, blob[1], "application/octet-stream")
        else:
            handler.answer(404, b'{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known"}]}')

    def _give(self, handler: Quiet, request: Request, digest: str, kind: str) -> None:
        path = self.layout / "blobs" / digest.replace(":", "/")
        if not path.is_file():
            handler.answer(404, b'{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry"}]}')
            return
        content = path.read_bytes()
        begins = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        if begins and self.ranges:
            at = int(begins[1])
            handler.answer(206, content[at:], Content_Range=f"bytes {at}-{len(content) - 1}/{len(content)}")
        else:
            handler.answer(200, content, Content_Type=kind)

    def paths(self, part: str = "") -> list[str]:
        return [one.path for one in self.seen if part in one.path and one.path != "/v2/"]


@pytest.fixture
def faulty(make: Any) -> Iterator[Faulty]:
    layer = make.tar(make.file("etc/a", b"1"), make.file("random", os.urandom(3_000_000)))
    found = Faulty(make.layout(layer))

    class Handler(Quiet):
        def do_GET(self) -> None:
            found.respond(self)

        def do_POST(self) -> None:
            found.respond(self, self.rfile.read(int(self.headers["Content-Length"])).decode())

    with serving(Handler) as found.host:
        yield found


@pytest.fixture
def server() -> Callable[[type[Quiet]], contextlib.AbstractContextManager[str]]:
    return serving


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def transport(waits: list[float]) -> Transport:
    """Waits for nobody, and notes how long it would have."""
    return Transport(sleep=waits.append, read_seconds=5)
