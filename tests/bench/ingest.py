"""A stand-in for the operator, so that agents deliver as injected ones do: HTTPS on loopback, all is acknowledged."""

import datetime
import gzip
import http.server
import re
import ssl
import threading
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from snoop_report.codec import dumps_acknowledgement
from snoop_report.model import Acknowledgement

_NAME = "snoop.snoop-system.svc"
# Only the head of a body is looked at: what this process computes disturbs what it measures.
_HEAD = 4096
_SEQUENCE = re.compile(rb'"sequence":(\d+)')


class Ingest:
    """Serves from threads of its own until it is closed."""

    def __init__(self, directory: Path) -> None:
        """`directory`: for its certificate and the agents' token."""
        certificate, key = _certificate()
        self._pem = certificate.public_bytes(serialization.Encoding.PEM)
        held = directory / "operator.pem"
        held.touch(0o600)
        held.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + self._pem
        )
        self._token = directory / "token"
        self._token.write_text("bench\n")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(held)
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def accepted(self) -> int:
        """How many deltas have come."""
        return self._server.accepted

    def variables(self) -> dict[str, str]:
        """What an agent is told of it."""
        return {
            "SNOOP_OPERATOR_URL": f"https://{_NAME}:{self._server.server_address[1]}",
            "SNOOP_OPERATOR_ADDRESS": "127.0.0.1",
            "SNOOP_CA_BUNDLE": self._pem.decode(),
            "SNOOP_TOKEN_FILE": str(self._token),
        }

    def close(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.accepted += 1
        found = _SEQUENCE.search(body, 0, _HEAD)
        answer = dumps_acknowledgement(Acknowledgement(int(found[1]) if found else 0, "bench"))
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    accepted = 0

    def handle_error(self, *_: object) -> None:
        pass  # agents are killed in the middle of a sentence


def _certificate() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Make one that signs itself: it is its own CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _NAME)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=7))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(_NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate, key
