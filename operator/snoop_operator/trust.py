"""Keeps the operator trusted: the Secret with its keys, the certificate that it serves, the webhook's caBundle.

`admission.certificates` decides what the keys should be; here it is brought about, and kept so: the Secret by
compare-and-swap, so that several replicas end up with the same keys, and the caBundle again whenever somebody (a helm
upgrade, say) has put something else there.
"""

import asyncio
import base64
import binascii
import logging
import ssl
from collections.abc import Mapping, Sequence
from typing import Protocol

from snoop_operator.admission.certificates import Bundle, Plan, ServingContext, plan
from snoop_operator.admission.pki import CertificateError
from snoop_operator.apiclient import JSON, ClusterError, ConflictError, NotFoundError
from snoop_operator.events import Clock

log = logging.getLogger(__name__)

_ATTEMPTS = 5
_INTERVAL = 10.0
"""Seconds between two looks at the Secret and the webhook configuration."""


class TrustAPI(Protocol):
    """What is asked of the cluster (see `cluster`)."""

    async def get_secret(self, namespace: str, name: str) -> JSON:
        """Read a Secret."""

    async def create_secret(self, namespace: str, secret: JSON) -> JSON:
        """Make a Secret."""

    async def replace_secret(self, namespace: str, secret: JSON) -> JSON:
        """Write a Secret over the one whose resourceVersion it carries."""

    async def get_webhook_configuration(self, name: str) -> JSON:
        """Read a MutatingWebhookConfiguration."""

    async def patch_webhook_configuration(self, name: str, patch: list[JSON]) -> JSON:
        """Apply a JSON patch to it."""


class Trust:
    """The keys in use. `start` first; `run` keeps them."""

    def __init__(
        self, api: TrustAPI, namespace: str, secret: str, webhook: str, dns_names: Sequence[str], clock: Clock
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._secret = secret
        self._webhook = webhook
        self._dns_names = tuple(dns_names)
        self._clock = clock
        self._bundle: Bundle | None = None
        self._serving: ServingContext | None = None
        self._trouble = ""
        self.announced = False
        """Whether the webhook configuration trusts what we serve."""

    @property
    def context(self) -> ssl.SSLContext:
        """The TLS context to serve with; its certificate is replaced in place."""
        if self._serving is None:
            raise CertificateError("no certificate yet: start first")
        return self._serving.context

    def ca_bundle(self) -> str:
        """Return what is to be trusted, as PEM text; empty before `start`."""
        return self._bundle.ca_bundle() if self._bundle is not None else ""

    async def start(self) -> None:
        """Read the keys, or make them. ClusterError if the Secret can be neither read nor written."""
        bundle = await self._agree()
        if self._serving is None:
            self._serving = ServingContext(bundle)
        elif self._serving.load(bundle):
            log.info("serving certificate replaced")
        self._bundle = bundle

    async def announce(self) -> None:
        """Have the API server trust us. ClusterError if the webhook configuration cannot be read or written."""
        configuration = await self._api.get_webhook_configuration(self._webhook)
        patch = ca_patch(configuration, self.ca_bundle())
        if patch:
            await self._api.patch_webhook_configuration(self._webhook, patch)
            log.info("caBundle set webhook=%s", self._webhook)
        self.announced = bool(configuration.get("webhooks"))

    async def run(self) -> None:
        """Keep it so, for ever. What goes wrong is logged once, and tried again."""
        while True:
            try:
                await self.start()
                await self.announce()
                self._trouble = ""
            except (ClusterError, CertificateError) as error:
                # Serving goes on with what we have; an API server that is away has not forgotten us.
                if isinstance(error, NotFoundError):
                    self.announced = False
                if str(error) != self._trouble:
                    log.warning("certificates not kept, trying again error=%s", error)
                self._trouble = str(error)
            await asyncio.sleep(_INTERVAL)

    async def _agree(self) -> Bundle:
        for _ in range(_ATTEMPTS):
            known = await self._read()
            wanted = plan(_decoded(known), self._clock(), self._dns_names, self._bundle)
            if not wanted.changed:
                return wanted.bundle
            try:
                await self._write(known, wanted)
            except ConflictError:
                continue  # Another replica was faster: take its keys.
            log.info("secret written name=%s changes=%s", self._secret, "; ".join(wanted.changes))
            return wanted.bundle
        raise ConflictError(f"Secret {self._namespace}/{self._secret}: somebody else keeps changing it")

    async def _read(self) -> JSON | None:
        try:
            return await self._api.get_secret(self._namespace, self._secret)
        except NotFoundError:
            return None

    async def _write(self, known: JSON | None, wanted: Plan) -> None:
        data = {key: base64.b64encode(text.encode()).decode() for key, text in wanted.bundle.to_data().items()}
        if known is None:
            secret = {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": self._secret, "namespace": self._namespace, "labels": _LABELS},
                "type": "kubernetes.io/tls",
                "data": data,
            }
            await self._api.create_secret(self._namespace, secret)
        else:
            await self._api.replace_secret(self._namespace, {**known, "data": data})


_LABELS = {"app.kubernetes.io/name": "snoop", "app.kubernetes.io/managed-by": "snoop-operator"}


def _decoded(secret: JSON | None) -> Mapping[str, str] | None:
    if secret is None:
        return None
    found: dict[str, str] = {}
    for key, text in (secret.get("data") or {}).items():
        try:
            found[key] = base64.b64decode(text, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue  # `plan` takes what cannot be read for absent.
    return found


def ca_patch(configuration: Mapping[str, object], pem: str) -> list[JSON]:
    """Give the JSON patch that makes every webhook of `configuration` trust `pem`; empty if they all do."""
    wanted = base64.b64encode(pem.encode()).decode()
    webhooks = configuration.get("webhooks")
    patch: list[JSON] = []
    for index, webhook in enumerate(webhooks if isinstance(webhooks, list) else []):
        if (webhook.get("clientConfig") or {}).get("caBundle") != wanted:
            # Somebody may reorder the list meanwhile.
            patch.append({"op": "test", "path": f"/webhooks/{index}/name", "value": webhook.get("name")})
            patch.append({"op": "add", "path": f"/webhooks/{index}/clientConfig/caBundle", "value": wanted})
    return patch
