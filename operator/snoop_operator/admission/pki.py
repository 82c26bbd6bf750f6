"""X.509 certificates and keys as PEM text: made, read and compared. The one module that knows `cryptography`'s x509.

Elliptic curve keys (P-256) throughout. What RFC 5280 asks of a chain is there (key identifiers, key usage), since
OpenSSL's strict mode, Python's default since 3.13, refuses chains without.
"""

import os
from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

BACKDATE = timedelta(hours=1)
"""A node's clock may be behind ours."""
_RENEW_AT = 2 / 3
"""Part of a certificate's life after which its successor is made."""
_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


class CertificateError(Exception):
    """A certificate or key that cannot be used; the message says which."""


class Certificate:
    """One certificate, read from PEM. CertificateError if it cannot be read."""

    def __init__(self, pem: str) -> None:
        try:
            self._x509 = x509.load_pem_x509_certificate(pem.encode())
        except ValueError as error:
            raise CertificateError(f"not a certificate: {error}") from error

    @property
    def made(self) -> datetime:
        """When it was made: its validity begins BACKDATE earlier."""
        return self._x509.not_valid_before_utc + BACKDATE

    @property
    def ends(self) -> datetime:
        """When it ceases to be valid."""
        return self._x509.not_valid_after_utc

    @property
    def renewal(self) -> datetime:
        """When two thirds of its life are over."""
        return self.made + (self.ends - self.made) * _RENEW_AT

    @property
    def dns_names(self) -> frozenset[str]:
        """Names that it stands for."""
        try:
            extension = self._x509.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except x509.ExtensionNotFound:
            return frozenset()
        return frozenset(extension.value.get_values_for_type(x509.DNSName))

    def issued_by(self, issuer: "Certificate") -> bool:
        """Whether `issuer` signed it."""
        try:
            self._x509.verify_directly_issued_by(issuer._x509)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True

    def belongs_to(self, key_pem: str) -> bool:
        """Whether this is its private key."""
        try:
            key = serialization.load_pem_private_key(key_pem.encode(), password=None)
        except (ValueError, TypeError):
            return False
        return key.public_key() == self._x509.public_key()


def read(pem: str) -> Certificate | None:
    """Read a certificate; None if it is none."""
    try:
        return Certificate(pem)
    except CertificateError:
        return None


def make_ca(now: datetime, life: timedelta) -> tuple[str, str]:
    """Make a certificate authority: certificate and key."""
    key = ec.generate_private_key(ec.SECP256R1())
    # A name of its own: two CAs that differ in their key alone confuse whoever builds a chain by name.
    name = _name(f"snoop CA {now:%Y-%m-%d} {os.urandom(4).hex()}")
    builder = (
        _builder(name, name, key.public_key(), now, now + life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
    )
    return _pem(builder.sign(key, hashes.SHA256())), _key_pem(key)


def make_leaf(ca_cert: str, ca_key: str, now: datetime, life: timedelta, dns_names: Sequence[str]) -> tuple[str, str]:
    """Make a server's certificate and key. It never outlives its issuer."""
    issuer = x509.load_pem_x509_certificate(ca_cert.encode())
    signer = serialization.load_pem_private_key(ca_key.encode(), password=None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise CertificateError("the certificate authority's key is no elliptic curve key")
    key = ec.generate_private_key(ec.SECP256R1())
    ends = min(now + life, issuer.not_valid_after_utc)
    builder = (
        _builder(_name(dns_names[0]), issuer.subject, key.public_key(), now, ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage("digital_signature"), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in dns_names]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    return _pem(builder.sign(signer, hashes.SHA256())), _key_pem(key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*on: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{name: name in on for name in _USAGES})


def _name(common: str) -> x509.Name:
    # RFC 5280: a common name has at most 64 characters. Nobody reads it: names are in the extension.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common[:64])])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
