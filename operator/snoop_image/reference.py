"""Names of images: `nginx`, `registry.example.com:5000/team/app:1.2@sha256:…`.

Source: distribution/reference (regexp.go, normalize.go): what every runtime makes of such a name.
"""

import re
from dataclasses import dataclass

from snoop_image.model import ImageError

DOCKER_HUB = "docker.io"
_COMPONENT = r"[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]"
_HOST = re.compile(rf"(?:(?:{_COMPONENT})(?:\.(?:{_COMPONENT}))*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?\Z")
_PATH = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*\Z")
_TAG = re.compile(r"\w[\w.-]{0,127}\Z", re.ASCII)
_DIGEST = re.compile(r"(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})\Z")
# What the kubelet and Docker put before a name in a pod's status.
_PREFIXES = ("docker-pullable://", "docker://", "oci://")


@dataclass(frozen=True, slots=True)
class Reference:
    """A normal name: the registry and the repository are never empty, and one of tag and digest is there."""

    registry: str
    """Host, with a port if one was given; `docker.io` for Docker Hub."""
    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def host(self) -> str:
        """Whom to speak to: Docker Hub's name is not that of its registry."""
        return "registry-1.docker.io" if self.registry == DOCKER_HUB else self.registry

    @property
    def target(self) -> str:
        """What names the manifest in the repository: the digest if there is one."""
        return self.digest or self.tag

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"


def parse(text: str) -> Reference:
    """Read a name as a person or a pod's status has it. ImageError says what is wrong with it."""
    name = text.strip()
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    if _DIGEST.match(name) or re.fullmatch(r"[0-9a-f]{64}", name):
        raise ImageError(f"{text!r}: is an image's ID, which no registry knows: use its name, or its archive")
    name, _, digest = name.partition("@")
    if digest and not _DIGEST.match(digest):
        raise ImageError(f"{text!r}: {digest[:100]!r} is no digest (sha256:… or sha512:…)")
    slash = name.rfind("/")
    tag = ""
    if (colon := name.rfind(":")) > slash:
        name, tag = name[:colon], name[colon + 1 :]
        if not _TAG.match(tag):
            raise ImageError(f"{text!r}: {tag[:150]!r} is no tag")
    registry, repository = _split(name)
    if not _HOST.match(registry):
        raise ImageError(f"{text!r}: {registry[:100]!r} is no registry's host name")
    if not _PATH.match(repository) or len(repository) > 255:
        hint = ": it must be lower case" if repository != repository.lower() else ""
        raise ImageError(f"{text!r}: is no image name{hint}")
    return Reference(registry, repository, tag or ("" if digest else "latest"), digest)


def _split(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    # A first component is a host if it cannot be a repository's, or says so.
    if not slash or (first != "localhost" and not any(one in first for one in ".:") and first == first.lower()):
        registry, repository = DOCKER_HUB, name
    else:
        registry, repository = first, rest
    if registry in ("index.docker.io", "registry-1.docker.io"):
        registry = DOCKER_HUB
    if registry == DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"
    return registry, repository


def same_image(name: str, wanted: str) -> bool:
    """Say whether an archive's name for an image, a bare tag perhaps, is the one that a person means."""
    if name == wanted:
        return True
    try:
        return parse(name) == parse(wanted)
    except ImageError:
        return False
