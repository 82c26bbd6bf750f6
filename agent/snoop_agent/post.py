"""One delta to the operator over HTTPS: the connection, whom it trusts, and what each answer means.

Standard library only, for memory's sake. `sender` decides when; here is how.
"""

import contextlib
import gzip
import http.client
import logging
import socket
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from snoop_agent import spool
from snoop_agent.answers import Answer, Verdict, judge
from snoop_report.codec import FormatError, loads_acknowledgement

LOG = logging.getLogger(__name__)

INGEST_PATH = "/v1/deltas"
_GZIP_FROM = 16 << 10
_ANSWER_LIMIT = 8 << 20


class _Connection(http.client.HTTPSConnection):
    """Connects to an address, and expects the certificate of a name."""

    def __init__(self, host: str, port: int, address: str, context: ssl.SSLContext) -> None:
        super().__init__(host, port, context=context)
        self._address = address
        self._trust = context

    def connect(self) -> None:
        raw = socket.create_connection((self._address or self.host, self.port), self.timeout)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.sock = self._trust.wrap_socket(raw, server_hostname=self.host)
        except BaseException:
            raw.close()
            raise


class Post:
    """Keeps one connection to the operator. Used by one thread; `interrupt` by any."""

    def __init__(self, url: str, *, address: str, ca_bundle: str, ca_file: Path, token_file: Path) -> None:
        """`ca_file` keeps certificates that the operator announced later; they are trusted beside `ca_bundle`."""
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or 443
        self._path = parts.path.rstrip("/") + INGEST_PATH
        self._address = address
        self._ca_bundle = ca_bundle
        self._ca_file = ca_file
        self._announced = ""
        self._token_file = token_file
        self._connection: _Connection | None = None
        with contextlib.suppress(OSError, UnicodeDecodeError):
            self._announced = ca_file.read_text()

    def send(self, body: bytes, timeout: float) -> Answer:
        """Post a delta. Never raises: whatever goes wrong is an answer."""
        headers = {"Content-Type": "application/json"}
        try:
            # Read each time: the kubelet replaces it long before it ends.
            headers["Authorization"] = f"Bearer {self._token_file.read_text().strip()}"
        except (OSError, UnicodeDecodeError) as error:
            return Answer(Verdict.LATER, f"cannot read the token {self._token_file}: {error}")
        if len(body) >= _GZIP_FROM:
            body = gzip.compress(body, 5)
            headers["Content-Encoding"] = "gzip"
        reused = self._connection is not None
        try:
            return self._exchange(body, headers, timeout)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            # The other side may close an idle connection at any time; that says nothing of the operator.
            if not reused or isinstance(error, TimeoutError):
                return Answer(Verdict.LATER, self._words(error))
        try:
            return self._exchange(body, headers, timeout)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            return Answer(Verdict.LATER, self._words(error))

    def _exchange(self, body: bytes, headers: dict[str, str], timeout: float) -> Answer:
        if self._connection is None:
            self._connection = _Connection(self._host, self._port, self._address, self._context())
        connection = self._connection
        connection.timeout = timeout
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        connection.request("POST", self._path, body, headers)
        response = connection.getresponse()
        text = response.read(_ANSWER_LIMIT)
        if response.status == 200:
            try:
                acknowledgement = loads_acknowledgement(text)
            except FormatError as error:
                self.close()
                return Answer(Verdict.LATER, f"the operator's answer cannot be read: {error}")
            if acknowledgement.ca_bundle:
                self._trust(acknowledgement.ca_bundle)
            return Answer(Verdict.ACCEPTED, acknowledgement=acknowledgement)
        if not response.isclosed():
            self.close()
        said = text[:200].decode(errors="replace").strip()
        reason = f"the operator answered {response.status} {response.reason}" + (f": {said}" if said else "")
        return Answer(judge(response.status), reason, _seconds(response.getheader("Retry-After")))

    def _context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cadata=self._ca_bundle or None)
        except ssl.SSLError as error:
            raise ValueError(f"SNOOP_CA_BUNDLE holds no usable certificate: {error}") from error
        if self._announced:
            try:
                context.load_verify_locations(cadata=self._announced)
            except ssl.SSLError as error:
                LOG.warning("the stored certificates in %s cannot be used: %s", self._ca_file, error)
                self._announced = ""
        return context

    def _trust(self, bundle: str) -> None:
        if bundle == self._announced:
            return
        try:
            ssl.create_default_context(cadata=bundle)
        except ssl.SSLError as error:
            LOG.warning("the operator announced certificates that cannot be read: %s", error)
            return
        self._announced = bundle
        try:
            spool.write(self._ca_file, [bundle.encode()])
        except spool.SpoolError as error:
            LOG.warning("the operator's new certificates are kept in memory only: %s", error)
        self.close()
        LOG.debug("the operator announced certificates to trust from now on")

    def _words(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return "the operator did not answer in time"
        return f"cannot reach the operator at {self._address or self._host}:{self._port}: {error}"

    def interrupt(self) -> None:
        """End an attempt that another thread is waiting in."""
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; the next `send` opens another one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _seconds(retry_after: str | None) -> float:
    """Read Retry-After's number of seconds; its other form, a date, counts as not given."""
    return float(retry_after) if retry_after and retry_after.isdecimal() else 0.0
