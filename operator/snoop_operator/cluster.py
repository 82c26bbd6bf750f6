"""Every call that the operator makes to the Kubernetes API, by name; the RBAC rules of the chart follow this file.

Objects go in and out as the API server's own JSON. Errors are `apiclient`'s. Watching is kopf's (`controller`).
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from snoop_operator import names
from snoop_operator.apiclient import JSON, JSON_PATCH, ApiClient, ClusterError, Credentials

_CHUNK = 250
"""Objects of a list that are in memory at once."""

_PROFILES = f"/apis/{names.GROUP}/{names.VERSION}"
_WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Part of a list; `version` is the resource version at which the whole list was true."""

    items: list[JSON]
    version: int


@dataclass(frozen=True, slots=True)
class TokenReview:
    """What the API server says of a token that it accepts."""

    username: str
    """`system:serviceaccount:<namespace>:<name>`."""
    pod_name: str
    pod_uid: str
    node: str


class TokenRefusedError(ClusterError):
    """The API server does not vouch for a token. Not to be taken for a refusal of our own credentials."""


class Cluster:
    """The API server, as far as the operator needs it."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.close()

    async def credentials(self) -> Credentials:
        """Return what kopf needs, which brings a client of its own."""
        return await self._client.credentials()

    def list_profiles(self) -> AsyncIterator[Chunk]:
        """List all profiles of the cluster."""
        return self._list(f"{_PROFILES}/{names.PLURAL}")

    def list_namespaces(self) -> AsyncIterator[Chunk]:
        """List all namespaces."""
        return self._list("/api/v1/namespaces")

    def list_limit_ranges(self) -> AsyncIterator[Chunk]:
        """List all limit ranges of the cluster."""
        return self._list("/api/v1/limitranges")

    def list_resource_quotas(self) -> AsyncIterator[Chunk]:
        """List all resource quotas of the cluster."""
        return self._list("/api/v1/resourcequotas")

    def list_pods(self, namespace: str) -> AsyncIterator[Chunk]:
        """List a namespace's pods."""
        return self._list(f"/api/v1/namespaces/{namespace}/pods")

    def list_injected_pods(self) -> AsyncIterator[Chunk]:
        """List the cluster's pods that carry the sidecar, also where no profile is any more."""
        return self._list("/api/v1/pods", {"labelSelector": f"{names.INJECTED}=true"})

    def list_tickets(self) -> AsyncIterator[Chunk]:
        """List all tickets of the cluster."""
        return self._list(f"{_PROFILES}/{names.TICKETS}")

    async def get_ticket(self, namespace: str, name: str) -> JSON:
        """Read a ticket. NotFoundError if there is none."""
        return await self._client.request("GET", f"{_PROFILES}/namespaces/{namespace}/{names.TICKETS}/{name}")

    async def delete_ticket(self, namespace: str, name: str, uid: str) -> None:
        """Remove that very ticket. NotFoundError or ConflictError if somebody else did."""
        await self._client.request(
            "DELETE",
            f"{_PROFILES}/namespaces/{namespace}/{names.TICKETS}/{name}",
            {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}},
        )

    async def set_status(self, namespace: str, name: str, uid: str, status: Mapping[str, Any]) -> JSON:
        """Replace a profile's status; returns the profile.

        NotFoundError if it is gone, ClusterError (422) if another one took its name.
        """
        # The test guards against writing a deleted profile's history into one that was made anew under its name.
        patch = [
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "add", "path": "/status", "value": status},
        ]
        path = f"{_PROFILES}/namespaces/{namespace}/{names.PLURAL}/{name}/status"
        return await self._client.request("PATCH", path, patch, content_type=JSON_PATCH)

    async def get_version(self) -> JSON:
        """Read the API server's version (`major`, `minor`, `gitVersion`)."""
        return await self._client.request("GET", "/version")

    async def create_event(self, namespace: str, event: JSON) -> None:
        """Post an events.k8s.io/v1 Event. ConflictError if it was posted before."""
        await self._client.request("POST", f"/apis/events.k8s.io/v1/namespaces/{namespace}/events", event)

    async def review_token(self, token: str, audience: str) -> TokenReview:
        """Ask whose `token` is. TokenRefusedError if it is nobody's, or meant for another audience."""
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [audience]},
        }
        answer = await self._client.request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body)
        return read_token_review(answer, audience)

    async def get_secret(self, namespace: str, name: str) -> JSON:
        """Read a Secret. NotFoundError if there is none."""
        return await self._client.request("GET", f"/api/v1/namespaces/{namespace}/secrets/{name}")

    async def create_secret(self, namespace: str, secret: JSON) -> JSON:
        """Make a Secret. ConflictError if somebody else just did."""
        return await self._client.request("POST", f"/api/v1/namespaces/{namespace}/secrets", secret)

    async def replace_secret(self, namespace: str, secret: JSON) -> JSON:
        """Write a Secret over the one whose resourceVersion it carries. ConflictError if that one has changed."""
        path = f"/api/v1/namespaces/{namespace}/secrets/{secret['metadata']['name']}"
        return await self._client.request("PUT", path, secret)

    async def get_service(self, namespace: str, name: str) -> JSON:
        """Read a Service. NotFoundError if there is none."""
        return await self._client.request("GET", f"/api/v1/namespaces/{namespace}/services/{name}")

    async def get_webhook_configuration(self, name: str) -> JSON:
        """Read a MutatingWebhookConfiguration. NotFoundError if there is none."""
        return await self._client.request("GET", f"{_WEBHOOKS}/{name}")

    async def patch_webhook_configuration(self, name: str, patch: list[JSON]) -> JSON:
        """Apply a JSON patch to a MutatingWebhookConfiguration. ClusterError (422) if a test in it fails."""
        return await self._client.request("PATCH", f"{_WEBHOOKS}/{name}", patch, content_type=JSON_PATCH)

    async def get_pod(self, namespace: str, name: str) -> JSON:
        """Read a pod. NotFoundError if there is none."""
        return await self._client.request("GET", f"/api/v1/namespaces/{namespace}/pods/{name}")

    async def create_pod(self, namespace: str, pod: JSON) -> JSON:
        """Make a pod. ConflictError if its name is taken."""
        return await self._client.request("POST", f"/api/v1/namespaces/{namespace}/pods", pod)

    async def delete_pod(self, namespace: str, name: str) -> None:
        """Remove a pod at once. NotFoundError if there is none."""
        await self._client.request(
            "DELETE",
            f"/api/v1/namespaces/{namespace}/pods/{name}",
            {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0},
        )

    async def _list(self, path: str, query: Mapping[str, str] | None = None) -> AsyncIterator[Chunk]:
        asked = {**(query or {}), "limit": str(_CHUNK)}
        while True:
            answer = await self._client.request("GET", path, query=asked, timeout=60)
            metadata = answer.get("metadata") or {}
            yield Chunk(answer.get("items") or [], int(metadata.get("resourceVersion") or 0))
            token = metadata.get("continue")
            if not token:
                return
            asked["continue"] = token


def read_token_review(answer: JSON, audience: str) -> TokenReview:
    """Read a TokenReview's status. TokenRefusedError unless it vouches for a token with `audience`."""
    status = answer.get("status") or {}
    if not status.get("authenticated"):
        raise TokenRefusedError(f"the token is not valid: {status.get('error') or 'not authenticated'}")
    # An API server that knows no audiences authenticates and leaves the list out: such a token proves nothing.
    if audience not in (status.get("audiences") or []):
        raise TokenRefusedError(f"the token is not meant for {audience}")
    user = status.get("user") or {}
    extra = user.get("extra") or {}

    def first(key: str) -> str:
        values = extra.get(f"authentication.kubernetes.io/{key}") or [""]
        return str(values[0])

    return TokenReview(
        username=str(user.get("username") or ""),
        pod_name=first("pod-name"),
        pod_uid=first("pod-uid"),
        node=first("node-name"),
    )
