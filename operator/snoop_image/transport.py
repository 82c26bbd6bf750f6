"""HTTP to registries: TLS or nothing, redirects that carry no credentials away, retries with back-off.

urllib3 and its errors stay here.
"""

import random
import re
import time
import urllib.request
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlencode, urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, LocationParseError, SSLError

from snoop_image.model import ImageError
from snoop_image.streams import shown

_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 5
_AGAIN = (408, 429, 500, 502, 503, 504)
_ERROR_BODY = 8192
_LOOPBACK = re.compile(r"(localhost|[\w.-]+\.localhost|127(\.\d+){3}|\[::1\])(:\d+)?\Z")
USER_AGENT = "snoop"


@dataclass(frozen=True, slots=True)
class Transport:
    """How registries are spoken to."""

    plain_http: Collection[str] = ()
    """Hosts (with their port) that may be spoken to without TLS; those of this machine may be, if they have none."""
    ca_file: Path | None = None
    """Certificates to trust in place of the system's."""
    connect_seconds: float = 10
    read_seconds: float = 60
    total_seconds: float = 3600
    """For one image."""
    attempts: int = 5
    longest_wait: float = 60
    """Seconds that a registry may make us wait by Retry-After."""
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)


class Response:
    """A response whose body is read once. Its end before its time is a `BrokenError`."""

    def __init__(self, response: urllib3.BaseHTTPResponse, url: str) -> None:
        self._response = response
        self.url = url
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    def read(self, size: int, /) -> bytes:
        """Read up to `size` bytes."""
        try:
            # One receive at a time: a slow server does not hold us beyond our time.
            return self._response.read1(size) or b""
        except (HTTPError, OSError) as error:
            raise BrokenError(_words(error)) from error

    def whole(self, limit: int, what: str) -> bytes:
        """Read all of a document. ImageError if it is bigger than `limit` bytes."""
        content = bytearray()
        while data := self.read(1 << 16):
            content += data
            if len(content) > limit:
                raise ImageError(f"{what}: is bigger than {limit} bytes: no registry needs that")
        return bytes(content)

    def close(self) -> None:
        """Let the connection go; one with a body unread is closed."""
        self._response.close()
        self._response.release_conn()


class BrokenError(Exception):
    """A connection that could not be made or did not last: another attempt may do."""


class Client:
    """Makes requests."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self._pools: dict[str, urllib3.PoolManager] = {}
        self._until = time.monotonic() + transport.total_seconds

    def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            pool.clear()

    def in_time(self, what: str) -> None:
        """ImageError if the time for the image is over."""
        if time.monotonic() > self._until:
            raise ImageError(f"{what}: took longer than {self.transport.total_seconds:.0f} s")

    def may_be_plain(self, host: str) -> bool:
        """Say whether a host (with its port) may be spoken to without TLS."""
        return host in self.transport.plain_http or is_loopback(host)

    def check(self, url: str, what: str) -> SplitResult:
        """Take an address that a server gave apart. ImageError if it is none, or has no TLS where that is wanted."""
        try:
            parts = urlsplit(url)
            known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            known = False
        if not known or not (url.isascii() and url.isprintable()):
            raise ImageError(f"{what} {url[:200]!r}, which is no web address")
        if parts.scheme == "http" and not self.may_be_plain(parts.netloc):
            raise ImageError(f"{what} {parts.netloc}, which has no TLS: not done")
        return parts

    def scheme(self, host: str) -> str:
        """Find out how a registry is spoken to: https, or http where that is allowed and all there is."""
        if not self.may_be_plain(host):
            return "https"
        try:
            self._once("GET", f"https://{host}/v2/", {}, None).close()
        except BrokenError:
            return "http"
        return "https"

    def request(
        self,
        url: str,
        what: str,
        headers: Mapping[str, str] | None = None,
        *,
        form: Mapping[str, str] | None = None,
    ) -> Response:
        """GET (or POST a form), following redirects, again after 429, 5xx and broken connections.

        An Authorization header goes to the first host only. Any other status is the caller's. ImageError when all
        attempts were in vain.
        """
        attempt = 0
        while True:
            attempt += 1
            self.in_time(what)
            try:
                response = self._follow(url, what, dict(headers or {}), form)
            except BrokenError as error:
                if attempt >= self.transport.attempts:
                    raise ImageError(f"{what}: {urlsplit(url).netloc} cannot be reached: {error}") from error
                self.wait(attempt, "")
                continue
            if response.status not in _AGAIN or attempt >= self.transport.attempts:
                return response
            after = response.headers.get("retry-after", "")
            response.close()
            self.wait(attempt, after)

    def wait(self, attempt: int, after: str) -> None:
        """Wait before the next attempt: 0.5 s, 1 s, 2 s …, or as the server says (RFC 9110, Retry-After in seconds)."""
        seconds = min(0.5 * 2 ** (attempt - 1), 30) * (0.75 + random.random() / 2)  # noqa: S311 # only spreads
        if after.isascii() and after.isdigit():
            seconds = max(seconds, min(float(after[:6]), self.transport.longest_wait))
        self.transport.sleep(seconds)

    def _follow(self, url: str, what: str, headers: dict[str, str], form: Mapping[str, str] | None) -> Response:
        for _ in range(_MOST_REDIRECTS + 1):
            response = self._once("POST" if form is not None else "GET", url, headers, form)
            location = response.headers.get("location", "")
            if response.status not in _REDIRECTS or not location:
                return response
            response.close()
            onward = urljoin(url, location)
            self.check(onward, f"{what}: {urlsplit(url).netloc} leads to")
            if form is not None:
                raise ImageError(
                    f"{what}: {urlsplit(url).netloc} leads elsewhere when it is sent credentials: not followed"
                )
            if _origin(onward) != _origin(url):
                headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
            url = onward
        raise ImageError(f"{what}: {urlsplit(url).netloc} leads on and on (more than {_MOST_REDIRECTS} redirects)")

    def _once(self, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None) -> Response:
        # What is hashed is what was sent, so nothing is to be compressed on the way.
        sent = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
        if form is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            response = self._pool(url).request(
                method,
                url,
                body=urlencode(form) if form is not None else None,
                headers=sent,
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
                timeout=urllib3.Timeout(connect=self.transport.connect_seconds, read=self.transport.read_seconds),
            )
        except LocationParseError as error:
            raise ImageError(f"{url[:200]!r}: is no web address") from error
        except (HTTPError, OSError, ValueError) as error:
            if isinstance(error, SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
                host = urlsplit(url).netloc
                raise ImageError(
                    f"{host}: its certificate is not trusted: name its CA's file ({_words(error)})"
                ) from error
            raise BrokenError(_words(error)) from error
        return Response(response, url)

    def _pool(self, url: str) -> urllib3.PoolManager:
        parts = urlsplit(url)
        proxy = "" if is_loopback(parts.netloc) else _proxy(parts.scheme, parts.hostname or "")
        if proxy not in self._pools:
            ca_file = str(self.transport.ca_file) if self.transport.ca_file else None
            if ca_file and not Path(ca_file).is_file():
                raise ImageError(f"{ca_file}: there is no such file of certificates")
            self._pools[proxy] = (
                urllib3.ProxyManager(proxy, ca_certs=ca_file) if proxy else urllib3.PoolManager(ca_certs=ca_file)
            )
        return self._pools[proxy]


def is_loopback(host: str) -> bool:
    """Say whether a host (with its port) is this machine."""
    return _LOOPBACK.match(host) is not None


def told_by(response: Response) -> str:
    """Give what a registry says of an error (distribution-spec, "Error Codes"), for a message; closes the response."""
    try:
        body = response.read(_ERROR_BODY).decode("utf-8", "replace")
    except BrokenError:
        body = ""
    finally:
        response.close()
    found = re.search(r'"message"\s*:\s*"((?:[^"\\]|\\.)*)"', body) or re.search(r'"details"\s*:\s*"([^"]*)"', body)
    words = shown(found.group(1)) if found else ""
    return f"HTTP {response.status}" + (f": {words}" if words else "")


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"https": 443, "http": 80}.get(parts.scheme)


def _proxy(scheme: str, host: str) -> str:
    """Give the proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name."""
    if urllib.request.proxy_bypass(host):
        return ""
    return urllib.request.getproxies().get(scheme, "")


def _words(error: BaseException) -> str:
    """Say in one line what went wrong with a connection."""
    reason = getattr(error, "reason", None) or error
    text = re.sub(r"<[^>]*>:? ?|HTTPS?Connection(?:Pool)?\([^)]*\):? ?", "", str(reason))
    return shown(" ".join(text.split()), 300) or type(error).__name__
