"""The operator's own certificate authority and serving certificate: when they are renewed, and how they serve.

`plan` is pure: the caller keeps what it says in a Secret, with a compare-and-swap on its resourceVersion, and plans
again from what it then finds there, so that several replicas agree on the first writer's keys.

A new CA is announced for OVERLAP before it signs, and the old one stays trusted for OVERLAP after, so that agents,
which learn of it from the answers to their posts, always trust whoever answers.
"""

import os
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from snoop_operator.admission import pki
from snoop_operator.admission.pki import Certificate, CertificateError

CA_LIFE = timedelta(days=3650)
LEAF_LIFE = timedelta(days=90)
OVERLAP = timedelta(days=7)
"""Several times the longest report interval (24 h)."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """What the Secret holds, as PEM text."""

    ca_cert: str
    ca_key: str
    cert: str
    """The serving certificate."""
    key: str
    next_ca_cert: str = ""
    """Announced; will sign later."""
    next_ca_key: str = ""
    previous_ca: str = ""
    """Signs no more, still trusted."""

    def ca_bundle(self) -> str:
        """Everything to be trusted: for the webhook configuration, acknowledgements and injected pods."""
        return "".join(part.strip() + "\n" for part in (self.ca_cert, self.next_ca_cert, self.previous_ca) if part)

    def to_data(self) -> dict[str, str]:
        """Shape it for a Secret's `stringData` (type kubernetes.io/tls)."""
        return {key: getattr(self, name) for key, name in _KEYS.items()}


_KEYS = {
    "ca.crt": "ca_cert",
    "ca.key": "ca_key",
    "tls.crt": "cert",
    "tls.key": "key",
    "next-ca.crt": "next_ca_cert",
    "next-ca.key": "next_ca_key",
    "previous-ca.crt": "previous_ca",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What should be in the Secret now."""

    bundle: Bundle
    changes: tuple[str, ...]
    """What was made or renewed, in words; empty: the Secret is right as it is."""
    due: float
    """Seconds since the epoch when to plan again at the latest."""

    @property
    def changed(self) -> bool:
        """Whether the Secret must be written."""
        return bool(self.changes)


def plan(data: Mapping[str, str] | None, now: float, dns_names: Sequence[str], held: Bundle | None = None) -> Plan:
    """Decide what the Secret should hold. `data` is its decoded data; None if there is no Secret.

    `held` is what this process serves: if the Secret was deleted or broken, it is put back, for agents trust it.
    """
    moment = datetime.fromtimestamp(now, UTC)
    changes: list[str] = []
    bundle = _read(data)
    if bundle is None and held is not None and _read(held.to_data()) is not None:
        bundle = held
        changes.append("put back into the Secret")
    if bundle is None:
        ca_cert, ca_key = pki.make_ca(moment, CA_LIFE)
        bundle = Bundle(ca_cert, ca_key, "", "")
        changes.append("certificate authority made")
    bundle = _rotate_ca(bundle, moment, changes)
    why = _leaf_trouble(bundle, moment, dns_names)
    if why:
        cert, key = pki.make_leaf(bundle.ca_cert, bundle.ca_key, moment, LEAF_LIFE, dns_names)
        bundle = replace(bundle, cert=cert, key=key)
        changes.append(f"serving certificate made: {why}")
    return Plan(bundle, tuple(changes), _due(bundle).timestamp())


def _read(data: Mapping[str, str] | None) -> Bundle | None:
    """Read a Secret's data; None if there is none, or its CA cannot sign any more."""
    bundle = Bundle(**{name: (data or {}).get(key, "") for key, name in _KEYS.items()})
    ca = pki.read(bundle.ca_cert)
    if ca is None or not ca.belongs_to(bundle.ca_key):
        return None
    following = pki.read(bundle.next_ca_cert)
    if following is None or not following.belongs_to(bundle.next_ca_key):
        bundle = replace(bundle, next_ca_cert="", next_ca_key="")
    return bundle if pki.read(bundle.previous_ca) else replace(bundle, previous_ca="")


def _rotate_ca(bundle: Bundle, now: datetime, changes: list[str]) -> Bundle:
    ca = Certificate(bundle.ca_cert)
    previous = pki.read(bundle.previous_ca)
    if previous and (now >= previous.ends or now >= _settled(ca)):
        bundle = replace(bundle, previous_ca="")
        changes.append("previous certificate authority is not trusted any more")
    if not bundle.next_ca_cert and now >= ca.renewal:
        next_ca_cert, next_ca_key = pki.make_ca(now, CA_LIFE)
        bundle = replace(bundle, next_ca_cert=next_ca_cert, next_ca_key=next_ca_key)
        changes.append("next certificate authority announced")
    following = pki.read(bundle.next_ca_cert)
    # An operator that slept past its CA's end has nobody left to wait for.
    if following and (now >= following.made + OVERLAP or now >= ca.ends):
        bundle = Bundle(
            ca_cert=bundle.next_ca_cert,
            ca_key=bundle.next_ca_key,
            cert=bundle.cert,
            key=bundle.key,
            previous_ca=bundle.ca_cert if now < ca.ends else "",
        )
        changes.append("next certificate authority signs from now on")
    return bundle


def _settled(ca: Certificate) -> datetime:
    """When whoever trusted the predecessor of `ca` has followed: announced for one OVERLAP, signing for another."""
    return ca.made + 2 * OVERLAP


def _leaf_trouble(bundle: Bundle, now: datetime, dns_names: Sequence[str]) -> str:
    leaf = pki.read(bundle.cert)
    if leaf is None or not leaf.belongs_to(bundle.key):
        return "there is none that can be used"
    if not leaf.issued_by(Certificate(bundle.ca_cert)):
        return "another certificate authority signs"
    if leaf.dns_names != frozenset(dns_names):
        return "its names have changed"
    if now >= leaf.renewal:
        return "two thirds of its life are over"
    # Made by a clock that was ahead: peers whose clocks are right refuse it.
    return "it is not valid yet" if now < leaf.made - pki.BACKDATE else ""


def _due(bundle: Bundle) -> datetime:
    ca = Certificate(bundle.ca_cert)
    following = pki.read(bundle.next_ca_cert)
    moments = [Certificate(bundle.cert).renewal, following.made + OVERLAP if following else ca.renewal]
    previous = pki.read(bundle.previous_ca)
    if previous:
        moments.append(min(previous.ends, _settled(ca)))
    return min(moments)


class ServingContext:
    """A server's TLS context whose certificate can be replaced while it serves: new connections get the new one."""

    def __init__(self, bundle: Bundle) -> None:
        self.context = _server_context()
        self._loaded = ("", "")
        self.load(bundle)

    def load(self, bundle: Bundle) -> bool:
        """Serve this certificate from now on. True if it is another. CertificateError leaves the old one in place."""
        if (bundle.cert, bundle.key) == self._loaded:
            return False
        # A failed load would leave the live context with half a pair.
        _load(_server_context(), bundle)
        _load(self.context, bundle)
        self._loaded = (bundle.cert, bundle.key)
        return True


def _server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _load(context: ssl.SSLContext, bundle: Bundle) -> None:
    """Load a key pair from memory: OpenSSL wants files, and a key must not touch a disk."""
    opened: list[int] = []
    try:
        paths = []
        for name, text in (("snoop-cert", bundle.cert), ("snoop-key", bundle.key)):
            descriptor = os.memfd_create(name)
            opened.append(descriptor)
            os.write(descriptor, text.encode())
            paths.append(f"/proc/self/fd/{descriptor}")
        context.load_cert_chain(*paths)
    except (OSError, ssl.SSLError) as error:
        raise CertificateError(f"the serving certificate cannot be loaded: {error}") from error
    finally:
        for descriptor in opened:
            os.close(descriptor)
