"""Reports of a cluster's profiles, read with the person's own rights.

The API server's service proxy leads to the operator and strips credentials. So a SnoopTicket is made in the profile's
namespace first, which RBAC allows or not, and its nonce is shown (snoop_operator.reading). The Kubernetes client stays
in this module: it takes the kubeconfig, with certificates, tokens and exec plugins, and signs the requests.
"""

import hashlib
import json
import logging
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import kubernetes
from kubernetes import client

from snoop_cli.exits import Failure
from snoop_cli.place import Place
from snoop_report.codec import FormatError, report_from_dict
from snoop_report.model import Report

RESOURCES = "/apis/snoop.dev/v1alpha1"
_HEADER = "X-Snoop-Ticket"
_TIMEOUT = (10, 300)
"""Seconds to connect, and between two pieces of an answer."""


config: Any = kubernetes.config
"""Untyped."""

# It tells of each new try; what comes of the last one is told here.
logging.getLogger("urllib3").setLevel(logging.ERROR)


class Cluster:
    """One API server, seen with one person's rights."""

    def __init__(self, place: Place) -> None:
        self.place = place

    @cached_property
    def _client(self) -> Any:
        try:
            return config.new_client_from_config(self._file, context=self.place.context or None, persist_config=False)
        except (config.ConfigException, OSError, ValueError, KeyError) as error:
            words = str(error).strip().splitlines() or [type(error).__name__]
            raise Failure(f"no such file, and no cluster to ask for a profile: {words[0].rstrip('.')}") from error

    @property
    def _file(self) -> str | None:
        # Asked of the environment now: the client remembers what it was when it was loaded.
        return self.place.kubeconfig or os.environ.get("KUBECONFIG") or None

    @cached_property
    def namespace(self) -> str:
        """The namespace that is meant: the flag's, else the context's, else `default`."""
        if self.place.namespace:
            return self.place.namespace
        try:
            contexts, active = config.list_kube_config_contexts(self._file)
        except (config.ConfigException, OSError, ValueError, KeyError):
            return "default"
        chosen = next((one for one in contexts if one["name"] == self.place.context), active)
        return str((chosen.get("context") or {}).get("namespace") or "default")

    def profiles(self) -> list[tuple[str, str]]:
        """List namespace and name of the profiles that are meant."""
        where = "" if self.place.every_namespace else f"/namespaces/{self.namespace}"
        query = [("labelSelector", self.place.labels)] if self.place.labels else []
        answer = self._json("GET", f"{RESOURCES}{where}/snoopprofiles", "list SnoopProfiles", query=query)
        return [(one["metadata"]["namespace"], one["metadata"]["name"]) for one in answer.get("items") or []]

    def reports(self, namespace: str, profile: str) -> Iterator[Report]:
        """Read the reports of a profile's pods. Failure if that is not allowed, or if the answer is not whole."""
        what = f"the reports of SnoopProfile {profile} in namespace {namespace}"
        where, _, service = self.place.operator.partition("/")
        path = f"/api/v1/namespaces/{where}/services/https:{service}:https/proxy"
        path += f"/v1/namespaces/{namespace}/profiles/{profile}/reports"
        headers = {_HEADER: self._ticket(namespace), "Accept-Encoding": "gzip"}
        raw = self._ask("GET", path, f"read {what}", headers=headers)
        whole = False
        for line in raw.splitlines():
            try:
                told = json.loads(line)
                if not isinstance(told, dict):
                    raise TypeError
                if "report" in told:
                    yield report_from_dict(told["report"])
            except (ValueError, TypeError) as error:
                words = error if isinstance(error, FormatError) else "not what an operator answers"
                raise Failure(f"{what}: {words}") from error
            if "error" in told:
                raise Failure(f"{what}: the operator could not go on: {told['error']}")
            whole = whole or "end" in told
        if not whole:
            raise Failure(f"{what}: the answer was cut short; try again")

    def _ticket(self, namespace: str) -> str:
        nonce = secrets.token_urlsafe(32)
        body = {
            "apiVersion": "snoop.dev/v1alpha1",
            "kind": "SnoopTicket",
            "metadata": {"generateName": "snoop-cli-"},
            "spec": {"nonceHash": hashlib.sha256(nonce.encode()).hexdigest()},
        }
        purpose = f"create a SnoopTicket in namespace {namespace}, which is what reading its reports takes"
        made = self._json("POST", f"{RESOURCES}/namespaces/{namespace}/snooptickets", purpose, body=body)
        return f"{made['metadata']['name']}.{nonce}"

    def _json(
        self, method: str, path: str, purpose: str, *, body: Any = None, query: Sequence[tuple[str, str]] = ()
    ) -> dict[str, Any]:
        answer = json.loads(self._ask(method, path, purpose, body=body, query=query))
        return answer if isinstance(answer, dict) else {}

    def _ask(
        self,
        method: str,
        path: str,
        purpose: str,
        *,
        body: Any = None,
        query: Sequence[tuple[str, str]] = (),
        headers: dict[str, str] | None = None,
    ) -> bytes:
        api = self._client
        sent = {"Accept": "application/json", **(headers or {})}
        if body:
            sent["Content-Type"] = "application/json"
        try:
            request = api.param_serialize(
                method, path, query_params=list(query), header_params=sent, body=body, auth_settings=["BearerToken"]
            )
            answer = api.call_api(*request, _request_timeout=_TIMEOUT)
            raw = bytes(answer.read())
        except client.ApiException as error:
            raise Failure(f"cannot {purpose}: {error.reason}") from error
        except Exception as error:  # urllib3's, and whatever an exec plugin raises
            words = str(getattr(error, "reason", "") or error).strip().splitlines() or [type(error).__name__]
            raise Failure(f"cannot {purpose}: {api.configuration.host}: {words[-1]}") from error
        if answer.status >= 400:
            raise Failure(f"cannot {purpose}: {_refusal(answer.status, raw)}")
        return raw


def _refusal(status: int, raw: bytes) -> str:
    """Say what an answer of 400 or more says, and the way out."""
    try:
        told = json.loads(raw)
        message = str(told.get("message") or "")
    except (ValueError, AttributeError):
        message = ""
    message = message.strip().splitlines()[0] if message.strip() else f"HTTP {status}"
    if status == 404 and "could not find the requested resource" in message:
        return "Snoop is not installed in this cluster, or is older than this command"
    if status == 403:
        return f"{message} (the role `view` of a cluster with Snoop allows it)"
    return message


@dataclass(frozen=True, slots=True)
class ProfileSource:
    """A profile of a cluster."""

    cluster: Cluster
    namespace: str
    profile: str

    @property
    def name(self) -> str:
        """As kubectl would print it, with the namespace."""
        return f"{self.namespace}/{self.profile}"

    def reports(self) -> Iterator[Report]:
        """Read them."""
        return self.cluster.reports(self.namespace, self.profile)
