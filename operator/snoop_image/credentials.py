"""Who pulls: credentials from Docker's config.json, pull secrets and credential helpers.

Sources: docker/cli, cli/config/configfile; containers-auth.json(5); kubernetes, pkg/credentialprovider/keyring.go (keys
may be globs and have a path); docker/docker-credential-helpers. A secret is never part of a message.
"""

import base64
import binascii
import fnmatch
import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snoop_image.model import ImageError
from snoop_image.reference import DOCKER_HUB, Reference

_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
_HELPER_SECONDS = 60
_HUB_KEY = "https://index.docker.io/v1/"
_HUB_HOSTS = ("index.docker.io", "registry-1.docker.io", "docker.io")
_BIGGEST = 4 << 20


@dataclass(frozen=True, slots=True)
class Credential:
    """One way to be known to a registry."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    """An OAuth2 refresh token, in place of a password."""
    registry_token: str = field(default="", repr=False)
    """A bearer token, as it is."""


@dataclass(frozen=True, slots=True)
class _Entry:
    host: str
    path: str
    credential: Credential


@dataclass(frozen=True, slots=True)
class _Helper:
    host: str
    """Empty: for every registry."""
    name: str


class Keyring:
    """Credentials by registry and repository; the most specific come first."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._helpers: list[_Helper] = []

    def add(self, content: bytes, what: str, *, helpers: bool = False) -> None:
        """Add Docker's config.json, or a Secret's `.dockerconfigjson` or `.dockercfg`. ImageError if it cannot be read.

        Without `helpers`, no program is ever run: what a pod's pull secret says must not start one.
        """
        if len(content) > _BIGGEST:
            raise ImageError(f"{what}: is too big for registry credentials")
        try:
            document = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise ImageError(f"{what}: is no JSON: registry credentials are wanted") from error
        if not isinstance(document, dict):
            raise ImageError(f"{what}: is no JSON object: registry credentials are wanted")
        # The old .dockercfg has what `auths` holds at its top.
        old = "auths" not in document and all(isinstance(value, dict) for value in document.values())
        auths = document if old and not _has_helpers(document) else document.get("auths")
        for key, value in auths.items() if isinstance(auths, dict) else ():
            credential = _credential(value, f"{what}: {key[:100]!r}")
            if credential is not None:
                self._entries.append(_Entry(*_split(key), credential))
        if helpers:
            self._add_helpers(document)

    def _add_helpers(self, document: Mapping[str, Any]) -> None:
        named = document.get("credHelpers")
        for host, name in named.items() if isinstance(named, dict) else ():
            if isinstance(name, str) and _HELPER.match(name):
                self._helpers.append(_Helper(_split(host)[0], name))
        store = document.get("credsStore")
        if isinstance(store, str) and _HELPER.match(store):
            self._helpers.append(_Helper("", store))

    def find(self, reference: Reference) -> list[Credential]:
        """Give what may open the image's repository, the most specific first; without doubles."""
        matching = [one for one in self._entries if _matches(one, reference)]
        matching.sort(key=lambda one: (-len(one.path), "*" in one.host or "?" in one.host or "[" in one.host))
        found = dict.fromkeys(one.credential for one in matching)
        for helper in self._helpers:
            if helper.host in ("", reference.registry) and (told := _ask(helper.name, reference.registry)) is not None:
                found[told] = None
        return list(found)


def _has_helpers(document: Mapping[str, Any]) -> bool:
    return any(key in document for key in ("credsStore", "credHelpers", "HttpHeaders", "proxies", "plugins"))


def load_keyring(environment: Mapping[str, str] = os.environ) -> Keyring:
    """Give what docker, podman and skopeo would use for this person, programs included. ImageError: a broken file."""
    keyring = Keyring()
    for path in _files(environment):
        try:
            content = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise ImageError(f"{path}: cannot be read: {error.strerror}") from error
        if content.strip():
            keyring.add(content, str(path), helpers=True)
    return keyring


def _files(environment: Mapping[str, str]) -> Iterator[Path]:
    if chosen := environment.get("REGISTRY_AUTH_FILE"):
        yield Path(chosen)
    if runtime := environment.get("XDG_RUNTIME_DIR"):
        yield Path(runtime, "containers", "auth.json")
    home = environment.get("HOME", "")
    if configuration := environment.get("XDG_CONFIG_HOME") or (home and str(Path(home, ".config"))):
        yield Path(configuration, "containers", "auth.json")
    if docker := environment.get("DOCKER_CONFIG") or (home and str(Path(home, ".docker"))):
        yield Path(docker, "config.json")


def _split(key: str) -> tuple[str, str]:
    """Split a key into host (a glob perhaps) and path."""
    bare = re.sub(r"\A[a-z]+://", "", key.strip())
    host, _, path = bare.partition("/")
    path = path.strip("/")
    # Keys of the registry API's own addresses: https://host/v1/
    path = re.sub(r"\Av[12](?:/|\Z)", "", path)
    return (DOCKER_HUB if host in _HUB_HOSTS else host), path


def _matches(entry: _Entry, reference: Reference) -> bool:
    if entry.path and not f"{reference.repository}/".startswith(f"{entry.path}/"):
        return False
    wanted, wanted_port = _port(reference.registry)
    host, port = _port(entry.host)
    labels, offered = wanted.split("."), host.split(".")
    if port != wanted_port or len(labels) != len(offered):
        return False
    return all(fnmatch.fnmatchcase(label, glob) for label, glob in zip(labels, offered, strict=True))


def _port(host: str) -> tuple[str, str]:
    name, colon, port = host.rpartition(":")
    return (name, port) if colon and port.isdigit() else (host, "")


def _credential(value: object, what: str) -> Credential | None:
    if not isinstance(value, dict):
        return None
    username, password = _text(value.get("username")), _text(value.get("password"))
    if packed := _text(value.get("auth")):
        try:
            plain = base64.b64decode(packed, validate=False).decode("utf-8").rstrip("\0")
        except (binascii.Error, ValueError) as error:
            raise ImageError(f"{what}: its auth is no base64 of user:password") from error
        username, colon, password = plain.partition(":")
        if not colon:
            raise ImageError(f"{what}: its auth is no base64 of user:password")
    found = Credential(username, password, _text(value.get("identitytoken")), _text(value.get("registrytoken")))
    return found if found != Credential() else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _ask(name: str, registry: str) -> Credential | None:
    """Ask a program `docker-credential-NAME`; None if it knows nothing. ImageError if it cannot be asked."""
    program = f"docker-credential-{name}"
    key = _HUB_KEY if registry == DOCKER_HUB else registry
    try:
        done = subprocess.run(
            [program, "get"], input=key.encode(), capture_output=True, timeout=_HELPER_SECONDS, check=False
        )
    except FileNotFoundError as error:
        raise ImageError(f"{program}: is named in Docker's configuration, but not installed") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ImageError(f"{program}: cannot be asked for the credentials of {registry}: {error}") from error
    if done.returncode:
        return None
    try:
        told = json.loads(done.stdout)
        username, secret = told["Username"], told["Secret"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise ImageError(f"{program}: gives no credentials that can be read for {registry}") from error
    if not isinstance(username, str) or not isinstance(secret, str) or not secret:
        return None
    # A helper says so when it keeps a refresh token.
    return Credential(identity_token=secret) if username == "<token>" else Credential(username, secret)


def keyring_of(secrets: Iterable[tuple[str, bytes]]) -> Keyring:
    """Make a keyring of pull secrets, (name, content) each. ImageError names the one that cannot be read."""
    keyring = Keyring()
    for name, content in secrets:
        keyring.add(content, name)
    return keyring
