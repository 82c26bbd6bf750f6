"""Images in registries.

Source: OCI distribution-spec, spec.md ("Pulling manifests", "Pulling blobs"); what it leaves to others is in `tokens`.
"""

import contextlib
import hashlib
from collections.abc import Iterator, Mapping

from snoop_image.assemble import Image
from snoop_image.credentials import Keyring
from snoop_image.documents import (
    INDEXES,
    MANIFESTS,
    Descriptor,
    Platform,
    layers_of,
    media_type,
    parse_json,
    read_config,
    read_index,
    read_manifest,
    select,
)
from snoop_image.limits import Limits
from snoop_image.model import ImageError
from snoop_image.reference import Reference
from snoop_image.streams import Readable, verify
from snoop_image.tokens import authorizations, challenges
from snoop_image.transport import BrokenError, Client, Response, told_by

_DEPTH = 4
# A connection that breaks is taken up again; one that breaks all the time is not.
_PROGRESS = 1 << 20


class Repository:
    """One repository of a registry, and who asks it."""

    def __init__(self, reference: Reference, client: Client, keyring: Keyring) -> None:
        self._reference = reference
        self._client = client
        self._keyring = keyring
        self._what = str(reference)
        self._authorization = ""
        self._base = ""

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Response:
        """GET `path` of the repository, with whatever the registry wants to see first."""
        if not self._base:
            scheme = self._client.scheme(self._reference.host)
            self._base = f"{scheme}://{self._reference.host}/v2/{self._reference.repository}/"
        url = self._base + path
        response = self._ask(url, headers, self._authorization)
        if response.status != 401:
            return response
        offered = challenges(response.headers.get("www-authenticate", ""))
        refusal = told_by(response)
        scope = f"repository:{self._reference.repository}:pull"
        known = self._keyring.find(self._reference)
        for authorization in authorizations(self._client, offered, known, scope, self._what):
            response = self._ask(url, headers, authorization)
            if response.status not in (401, 403):
                self._authorization = authorization
                return response
            refusal = told_by(response)
        hint = "are the credentials right?" if known else "is it private? Log in, or give a pull secret"
        raise ImageError(f"{self._what}: the registry refuses ({refusal}): {hint}")

    def _ask(self, url: str, headers: Mapping[str, str] | None, authorization: str) -> Response:
        sent = dict(headers or {})
        if authorization:
            sent["Authorization"] = authorization
        return self._client.request(url, self._what, sent)

    def manifest(self, target: str, limits: Limits) -> tuple[bytes, str, str]:
        """Fetch a manifest or an index by tag or digest: content, media type, digest; checked."""
        response = self.get(f"manifests/{target}", {"Accept": ", ".join((*MANIFESTS, *INDEXES))})
        content = self._whole(response, limits, target)
        digest = target
        if ":" in target:
            verify(content, target, self._what)
        else:
            digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
            told = response.headers.get("docker-content-digest", "")
            if told.startswith("sha256:") and told != digest:
                raise ImageError(f"{self._what}: the registry sent {digest} and called it {told[:80]}: try again")
        kind = response.headers.get("content-type", "").partition(";")[0].strip()
        return content, kind, digest

    def document(self, descriptor: Descriptor, limits: Limits) -> bytes:
        """Fetch a small blob, checked."""
        response = self.get(f"blobs/{descriptor.digest}")
        content = self._whole(response, limits, descriptor.digest)
        verify(content, descriptor.digest, self._what)
        return content

    def _whole(self, response: Response, limits: Limits, name: str) -> bytes:
        self._expect(response, name)
        try:
            return response.whole(limits.document, f"{self._what}: {name}")
        except BrokenError as error:
            raise ImageError(f"{self._what}: {error}") from error
        finally:
            response.close()

    def _expect(self, response: Response, name: str) -> None:
        if response.status in (200, 206):
            return
        told = told_by(response)
        if response.status == 404:
            raise ImageError(f"{self._what}: the registry has no {name} of {self._reference.repository} ({told})")
        if response.status == 429:
            raise ImageError(f"{self._what}: the registry wants fewer requests ({told}): try again later, or log in")
        raise ImageError(f"{self._what}: the registry does not give {name} ({told})")

    @contextlib.contextmanager
    def blob(self, descriptor: Descriptor) -> Iterator[Readable]:
        """Open a blob; it goes on where a broken connection left it."""
        stream = _Blob(self, self._client, descriptor, self._what)
        try:
            yield stream
        finally:
            stream.close()

    def open_at(self, descriptor: Descriptor, offset: int) -> tuple[Response, int]:
        """Open a blob at an offset; gives where the response begins, which is 0 for a server without ranges."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        response = self.get(f"blobs/{descriptor.digest}", headers)
        if response.status == 404 and descriptor.urls:
            # A layer that the registry may not hand out (image-spec, "Non-Distributable Layers").
            response.close()
            response = self._elsewhere(descriptor, headers)
        if response.status == 416:
            raise ImageError(f"{self._what}: {descriptor.digest} ends after {offset} bytes: push the image again")
        self._expect(response, descriptor.digest)
        begins = offset if response.status == 206 else 0
        return response, begins

    def _elsewhere(self, descriptor: Descriptor, headers: Mapping[str, str]) -> Response:
        for url in descriptor.urls:
            if url.startswith("https://"):
                response = self._client.request(url, self._what, headers)
                if response.status in (200, 206):
                    return response
                response.close()
        raise ImageError(f"{self._what}: the layer {descriptor.digest} is not in the registry, nor where it points to")


class _Blob:
    """A blob's bytes, over as many connections as it takes."""

    def __init__(self, repository: Repository, client: Client, descriptor: Descriptor, what: str) -> None:
        self._repository = repository
        self._client = client
        self._descriptor = descriptor
        self._what = what
        self._response: Response | None = None
        self._taken = 0
        self._failures = 0
        self._failed_at = 0

    def read(self, size: int, /) -> bytes:
        """Read on. ImageError when the registry does not get on."""
        while True:
            self._client.in_time(self._what)
            try:
                if self._response is None:
                    self._open()
                assert self._response is not None
                data = self._response.read(size)
                if not data and self._taken < self._descriptor.size:
                    raise BrokenError(f"ended after {self._taken} of {self._descriptor.size} bytes")
            except BrokenError as error:
                self._again(error)
                continue
            self._taken += len(data)
            return data

    def _open(self) -> None:
        self._response, at = self._repository.open_at(self._descriptor, self._taken)
        while at < self._taken:
            skipped = self._response.read(min(1 << 16, self._taken - at))
            if not skipped:
                raise BrokenError(f"ended after {at} of {self._descriptor.size} bytes")
            at += len(skipped)

    def _again(self, error: BrokenError) -> None:
        self.close()
        if self._taken - self._failed_at >= _PROGRESS:
            self._failures = 0
        self._failed_at = self._taken
        self._failures += 1
        if self._failures >= self._client.transport.attempts:
            raise ImageError(
                f"{self._what}: {self._descriptor.digest}: {error}: the registry does not get on"
            ) from error
        self._client.wait(self._failures, "")

    def close(self) -> None:
        """Let the connection go."""
        if self._response is not None:
            self._response.close()
            self._response = None


def find_image(repository: Repository, reference: Reference, platform: Platform, limits: Limits) -> Image:
    """Find the image of a platform. ImageError if there is none, or it cannot be had."""
    what = str(reference)
    content, kind, digest = repository.manifest(reference.target, limits)
    document = parse_json(content, what)
    for _ in range(_DEPTH):
        if media_type(document, kind) not in INDEXES:
            break
        chosen = select(read_index(document, what), platform, what)
        content, kind, digest = repository.manifest(chosen.digest, limits)
        document = parse_json(content, what)
    manifest = read_manifest(document, kind, what)
    config, diff_ids, commands = read_config(repository.document(manifest.config, limits), f"{what}: configuration")
    if config.os == "windows":
        raise ImageError(f"{what}: is an image for Windows")
    layers = layers_of(diff_ids, commands, manifest.layers, what)
    return Image(what, digest, config, layers, lambda index: repository.blob(manifest.layers[index]))
