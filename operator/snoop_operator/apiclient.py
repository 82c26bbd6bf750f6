"""The connection to the Kubernetes API server: credentials, one request at a time, errors with names.

It speaks JSON as the API server does, by way of the official client's transport and authentication; what is asked for
is `cluster`'s business. Every foreign exception ends here, chained.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import client, config

JSON = dict[str, Any]

# Half of the official client is annotated; what is not would make every call an error.
_client: Any = client
_config: Any = config

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"

_TIMEOUT = 10.0


class ClusterError(Exception):
    """The API server did not do what was asked; the message says what, and its answer."""

    def __init__(self, message: str, status: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        """HTTP status; 0 if there was none."""
        self.reason = reason
        """Kubernetes' own code (`AlreadyExists`, `NotFound` …), if it gave one."""


class UnavailableError(ClusterError):
    """No answer, or one that says later (429, 5xx): worth trying again."""


class NotFoundError(ClusterError):
    """There is no such object, or no such kind (404)."""


class ConflictError(ClusterError):
    """It exists already, or somebody else was faster (409)."""


class DeniedError(ClusterError):
    """The credentials do not allow it (401, 403)."""


class NoClusterError(ClusterError):
    """The process runs in no cluster and was told of none."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What another client of the same API server needs (kopf's watches)."""

    server: str
    ca_path: str | None
    authorization: str | None
    """Value of the header, scheme included."""
    certificate_path: str | None
    private_key_path: str | None
    insecure: bool


class ApiClient:
    """One API server, seen through one set of credentials. Use on one event loop; `close` when done."""

    def __init__(self, configuration: Any) -> None:
        self._configuration = configuration
        self._client = _client.ApiClient(configuration)

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.close()

    async def credentials(self) -> Credentials:
        """Return the credentials as they are now: a service account's token changes every hour."""
        configuration = self._configuration
        header = await configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        return Credentials(
            server=configuration.host,
            ca_path=configuration.ssl_ca_cert,
            authorization=header,
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
            insecure=not configuration.verify_ssl,
        )

    async def request(
        self,
        method: str,
        path: str,
        body: object | None = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        timeout: float = _TIMEOUT,  # noqa: ASYNC109 (the transport takes it)
    ) -> JSON:
        """Ask for `path` and return the object that the API server answers with. ClusterError if it refuses."""
        what = f"{method} {path}"
        url = f"{self._configuration.host}{path}"
        if query:
            url += "?" + urlencode(query)
        headers = {"Accept": "application/json", "Content-Type": content_type, "User-Agent": "snoop-operator"}
        try:
            header = await self._configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
            if header:
                headers["Authorization"] = header
            response = await self._client.rest_client.request(
                method, url, headers=headers, body=body, _request_timeout=timeout
            )
            raw = await response.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise UnavailableError(f"{what}: {type(error).__name__}: {error}") from error
        except _client.ApiException as error:
            raise ClusterError(f"{what}: {error.reason}", error.status or 0) from error
        return read_answer(what, response.status, raw)


def read_answer(what: str, status: int, raw: bytes) -> JSON:
    """Make of an HTTP answer the object that it carries, or the error that it means."""
    try:
        document = json.loads(raw) if raw else {}
    except ValueError:
        document = {}
    if not isinstance(document, dict):
        document = {}
    if 200 <= status < 300:
        return document
    reason = str(document.get("reason") or "")
    message = str(document.get("message") or raw[:200].decode("utf-8", "replace")).strip()
    kinds: dict[int, type[ClusterError]] = {401: DeniedError, 403: DeniedError, 404: NotFoundError, 409: ConflictError}
    kind = kinds.get(status, UnavailableError if status == 429 or status >= 500 else ClusterError)
    raise kind(f"{what}: {status} {message}", status, reason)


async def connect() -> ApiClient:
    """Find the cluster: KUBECONFIG, else the pod's own service account, else ~/.kube/config.

    NoClusterError if there is none, or if what there is cannot be read. Nothing is sent yet.
    """
    configuration = _client.Configuration()
    named = os.environ.get("KUBECONFIG", "")
    default = Path.home() / ".kube" / "config"
    try:
        if named:
            await _config.load_kube_config(config_file=named, client_configuration=configuration)
        elif os.environ.get("KUBERNETES_SERVICE_HOST"):
            _config.load_incluster_config(client_configuration=configuration)
        elif default.exists():
            await _config.load_kube_config(config_file=str(default), client_configuration=configuration)
        else:
            raise NoClusterError("not in a cluster: no service account, no KUBECONFIG and no ~/.kube/config")
    except NoClusterError:
        raise
    # The loaders let through whatever YAML, base64 or a missing key raise.
    except Exception as error:
        raise NoClusterError(f"cannot read the cluster's configuration: {error}") from error
    return ApiClient(configuration)
