"""A registry and a network that do what they should not."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from snoop_image import reference
from snoop_image.inventory import Keyring, Limits, Transport, read_registry
from snoop_image.model import ImageError, Inventory


def pull(faulty: Any, transport: Transport, tag: str = "1", **options: Any) -> Inventory:
    return read_registry(reference.parse(f"{faulty.host}/team/app:{tag}"), transport=transport, **options)


def first(times: int, part: str, answer: Callable[[Any], None]) -> Callable[[Any, Any], bool]:
    """Answers the first requests whose path has that part."""
    left = [times]

    def fault(handler: Any, request: Any) -> bool:
        if part not in request.path or not left[0]:
            return False
        left[0] -= 1
        answer(handler)
        return True

    return fault


def layer_of(faulty: Any) -> str:
    index = json.loads((faulty.layout / "index.json").read_text())
    manifest = (faulty.layout / "blobs" / index["manifests"][0]["digest"].replace(":", "/")).read_text()
    digest: str = json.loads(manifest)["layers"][0]["digest"]
    return digest


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_passes_is_asked_again_after_a_while(
    status: int, faulty: Any, transport: Transport, waits: list[float]
) -> None:
    faulty.faults.append(first(3, "manifests", lambda handler: handler.answer(status)))

    assert "/etc/a" in pull(faulty, transport).entries
    assert len(waits) == 3
    assert waits == sorted(waits)
    assert 0.3 < waits[0] < 1 < waits[2] < 4


def test_a_registry_says_how_long_to_wait(faulty: Any, transport: Transport, waits: list[float]) -> None:
    faulty.faults.append(first(1, "manifests", lambda handler: handler.answer(429, Retry_After="7")))
    faulty.faults.append(first(1, "blobs", lambda handler: handler.answer(429, Retry_After="99999")))

    pull(faulty, transport)

    assert waits == [7, 60]


def test_what_does_not_pass_is_told(faulty: Any, transport: Transport, waits: list[float]) -> None:
    body = b'{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit.\\n\x1b[31m"}]}'
    faulty.faults.append(first(99, "manifests", lambda handler: handler.answer(429, body)))

    with pytest.raises(
        ImageError, match=r"wants fewer requests \(HTTP 429: You have reached your pull rate limit"
    ) as caught:
        pull(faulty, transport)
    assert str(caught.value).isprintable()
    assert len(waits) == 4


def drop(handler: Any) -> None:
    handler.close_connection = True


def test_a_connection_that_is_dropped_is_made_again(faulty: Any, transport: Transport) -> None:
    faulty.faults.append(first(2, "manifests", drop))
    assert "/etc/a" in pull(faulty, transport).entries

    faulty.faults.append(first(99, "manifests", drop))
    with pytest.raises(ImageError, match=f"{faulty.host}"):
        pull(faulty, transport)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_stream_that_breaks_goes_on_where_it_was(ranges: bool, faulty: Any, transport: Transport) -> None:
    digest = layer_of(faulty)
    content = (faulty.layout / "blobs" / digest.replace(":", "/")).read_bytes()
    faulty.ranges = ranges
    breaks = [2_900_000, 100_000, 1]

    def cut(handler: Any, request: Any) -> bool:
        if digest not in request.path or not breaks:
            return False
        begin = int(request.headers.get("Range", "bytes=0-")[6:-1]) if ranges else 0
        handler.send_response(206 if begin else 200)
        handler.send_header("Content-Length", str(len(content) - begin))
        handler.end_headers()
        handler.wfile.write(content[begin : begin + breaks.pop()])
        handler.close_connection = True
        return True

    faulty.faults.append(cut)

    assert pull(faulty, transport).entries["/random"].size == 3_000_000
    asked = [one.headers.get("Range") for one in faulty.seen if digest in one.path]
    assert len(asked) == 4
    assert asked[:2] == [None, "bytes=1-"]


def test_a_stream_that_breaks_for_ever_is_given_up(faulty: Any, transport: Transport) -> None:
    digest = layer_of(faulty)

    def nothing(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        handler.close_connection = True

    faulty.faults.append(first(99, digest, nothing))

    with pytest.raises(ImageError, match="the registry does not get on"):
        pull(faulty, transport)
    assert len(faulty.paths(digest)) == 5


def test_a_layer_that_is_another_one_is_refused(faulty: Any, transport: Transport) -> None:
    digest = layer_of(faulty)
    content = bytearray((faulty.layout / "blobs" / digest.replace(":", "/")).read_bytes())
    content[2_000_000] ^= 1
    faulty.faults.append(first(9, digest, lambda handler: handler.answer(200, bytes(content))))

    with pytest.raises(ImageError, match=r"layer 1 of 1: (the content|cannot be decompressed)"):
        pull(faulty, transport)


def test_a_longer_and_a_shorter_layer_are_refused(faulty: Any, transport: Transport) -> None:
    digest = layer_of(faulty)
    content = (faulty.layout / "blobs" / digest.replace(":", "/")).read_bytes()
    faulty.faults.append(first(1, digest, lambda handler: handler.answer(200, content + b"x")))
    with pytest.raises(ImageError, match=r"more than the .* bytes that were announced"):
        pull(faulty, transport)

    faulty.ranges = False
    faulty.faults.append(first(99, digest, lambda handler: handler.answer(200, content[:-1])))
    with pytest.raises(ImageError, match="does not get on"):
        pull(faulty, transport)


@pytest.mark.parametrize("which", ["manifest", "config"])
def test_a_manifest_or_configuration_that_is_another_one_is_refused(
    which: str, faulty: Any, transport: Transport
) -> None:
    digest = json.loads((faulty.layout / "index.json").read_text())["manifests"][0]["digest"]
    manifest = json.loads((faulty.layout / "blobs" / digest.replace(":", "/")).read_text())
    victim = digest if which == "manifest" else manifest["config"]["digest"]
    content = (faulty.layout / "blobs" / victim.replace(":", "/")).read_bytes()
    faulty.faults.append(first(9, victim, lambda handler: handler.answer(200, content + b" ")))
    ref = replace(reference.parse(f"{faulty.host}/team/app"), tag="", digest=digest)

    with pytest.raises(ImageError, match=f"the content is not that of {victim}"):
        read_registry(ref, transport=transport)


def test_a_manifest_that_the_registry_calls_by_another_digest_is_refused(faulty: Any, transport: Transport) -> None:
    digest = json.loads((faulty.layout / "index.json").read_text())["manifests"][0]["digest"]
    content = (faulty.layout / "blobs" / digest.replace(":", "/")).read_bytes()
    other = f"sha256:{'1' * 64}"
    faulty.faults.append(
        first(1, "manifests/1", lambda handler: handler.answer(200, content, Docker_Content_Digest=other))
    )

    with pytest.raises(ImageError, match="and called it sha256:111"):
        pull(faulty, transport)


class TestRedirects:
    def test_carry_no_credentials_to_another_host(self, faulty: Any, transport: Transport, server: Any) -> None:
        digest = layer_of(faulty)
        content = (faulty.layout / "blobs" / digest.replace(":", "/")).read_bytes()
        seen: list[dict[str, str]] = []

        class Elsewhere(faulty.handler):  # type: ignore[misc, name-defined]
            def do_GET(self) -> None:
                seen.append(dict(self.headers))
                self.answer(200, content)

        keyring = Keyring()
        keyring.add(json.dumps({"auths": {faulty.host: {"auth": "cGVyc29uOnNlY3JldA=="}}}).encode(), "secret")
        with server(Elsewhere) as host:

            def fault(handler: Any, request: Any) -> bool:
                if "Authorization" not in request.headers:
                    handler.answer(401, WWW_Authenticate='Basic realm="x"')
                    return True
                if digest in request.path:
                    handler.answer(307, Location=f"http://{host}/storage?signed=yes")
                    return True
                return False

            faulty.faults.append(fault)
            assert "/etc/a" in pull(faulty, transport, keyring=keyring).entries

        assert len(seen) == 1
        assert "Authorization" not in seen[0]
        assert all("Authorization" in one.headers for one in faulty.seen if digest in one.path)

    @pytest.mark.parametrize(
        ("location", "words"),
        [
            ("http://registry.example.com/blob", "leads to registry.example.com, which has no TLS: not done"),
            ("file:///etc/passwd", "no web address"),
            ("ftp://127.0.0.1/x", "no web address"),
        ],
    )
    def test_lead_to_no_plain_http_and_no_file(
        self, location: str, words: str, faulty: Any, transport: Transport
    ) -> None:
        faulty.faults.append(first(9, "blobs", lambda handler: handler.answer(302, Location=location)))
        with pytest.raises(ImageError, match=words):
            pull(faulty, transport)

    def test_end_somewhere(self, faulty: Any, transport: Transport) -> None:
        faulty.faults.append(first(99, "manifests", lambda handler: handler.answer(302, Location=handler.path)))
        with pytest.raises(ImageError, match="on and on"):
            pull(faulty, transport)


def test_a_token_that_expires_on_the_way_is_asked_for_anew(faulty: Any, transport: Transport) -> None:
    given: list[str] = []
    digest = layer_of(faulty)

    def fault(handler: Any, request: Any) -> bool:
        if request.path.startswith("/token"):
            given.append(f"token-{len(given)}")
            handler.answer(200, json.dumps({"token": given[-1]}).encode())
            return True
        # The first token is good for all but the layer.
        wanted = "Bearer token-1" if digest in request.path else "Bearer token-0"
        if request.path != "/v2/" and request.headers.get("Authorization") != wanted:
            challenge = f'Bearer realm="http://{faulty.host}/token",service="s",scope="repository:team/app:pull"'
            handler.answer(401, WWW_Authenticate=challenge)
            return True
        return False

    faulty.faults.append(fault)

    assert "/etc/a" in pull(faulty, transport).entries
    assert given == ["token-0", "token-1"]


@pytest.mark.parametrize(
    ("challenge", "words"),
    [
        ("", r"in a way that snoop does not know \(none\)"),
        ("Negotiate", r"does not know \(negotiate\)"),
        ('Bearer realm="http://tokens.example.com/t"', "for a token to tokens.example.com, which has no TLS"),
        ('Bearer realm="file:///etc/passwd"', "no web address"),
        ('Bearer realm="http://{host}/broken"', "cannot be read"),
        ('Bearer realm="http://{host}/none"', "hold no token"),
        ('Bearer realm="http://{host}/split"', "hold no token"),
    ],
)
def test_a_challenge_that_cannot_be_answered_is_told(
    challenge: str, words: str, faulty: Any, transport: Transport
) -> None:
    answers = {"/broken": b"<html>", "/none": b"{}", "/split": b'{"token": "a\\r\\nX: b"}'}

    def fault(handler: Any, request: Any) -> bool:
        path = request.path.partition("?")[0]
        if path in answers:
            handler.answer(200, answers[path])
        elif request.path != "/v2/":
            handler.answer(401, **({"WWW_Authenticate": challenge.format(host=faulty.host)} if challenge else {}))
        else:
            return False
        return True

    faulty.faults.append(fault)

    with pytest.raises(ImageError, match=words):
        pull(faulty, transport)


def test_a_foreign_layer_is_fetched_from_where_it_points_to_over_tls_only(
    faulty: Any, transport: Transport, make: Any
) -> None:
    index = json.loads((faulty.layout / "index.json").read_text())
    digest = index["manifests"][0]["digest"]
    manifest = json.loads((faulty.layout / "blobs" / digest.replace(":", "/")).read_text())
    layer = manifest["layers"][0]["digest"]
    manifest["layers"][0]["mediaType"] = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    manifest["layers"][0]["urls"] = [f"http://{faulty.host}/elsewhere"]
    index["manifests"] = [{**index["manifests"][0], **make.blob(faulty.layout, manifest)}]
    (faulty.layout / "index.json").write_text(json.dumps(index))
    assert "/etc/a" in pull(faulty, transport).entries, "the registry has it"

    (faulty.layout / "blobs" / layer.replace(":", "/")).unlink()

    with pytest.raises(ImageError, match="not in the registry, nor where it points to"):
        pull(faulty, transport)


def test_a_registry_without_tls_is_spoken_to_only_if_it_is_this_machine(transport: Transport) -> None:
    from snoop_image.transport import is_loopback

    here = ["localhost", "localhost:5000", "127.0.0.1:5000", "127.1.2.3", "[::1]:80", "registry.localhost:5000"]
    elsewhere = [
        "localhost.example.com",
        "127.0.0.1.example.com",
        "example.com:80",
        "10.0.0.1",
        "xlocalhost",
        "128.0.0.1",
    ]
    assert all(map(is_loopback, here))
    assert not any(map(is_loopback, elsewhere))


def test_a_slow_registry_is_left_in_the_end(faulty: Any, transport: Transport) -> None:
    with pytest.raises(ImageError, match="took longer than 0 s"):
        pull(faulty, replace(transport, total_seconds=0))


def test_a_registry_that_says_nothing_is_left(faulty: Any, transport: Transport) -> None:
    import time

    faulty.faults.append(first(99, "manifests", lambda handler: time.sleep(0.5)))
    with pytest.raises(ImageError, match="timed out"):
        pull(faulty, replace(transport, read_seconds=0.1, attempts=2))


def test_a_manifest_that_fills_the_memory_is_refused(faulty: Any, transport: Transport) -> None:
    with pytest.raises(ImageError, match="bigger than 10 bytes"):
        pull(faulty, transport, limits=Limits(document=10))


def test_nobody_there_is_one_line(transport: Transport) -> None:
    with pytest.raises(ImageError, match="Connection refused") as caught:
        read_registry(reference.parse("127.0.0.1:1/team/app:1"), transport=transport)
    assert "object at" not in str(caught.value)


def test_a_broken_layer_leaves_no_thread_behind(faulty: Any, transport: Transport) -> None:
    import threading

    faulty.faults.append(first(9, layer_of(faulty), lambda handler: handler.answer(200, b"not a tar" * 1000)))
    with pytest.raises(ImageError):
        pull(faulty, transport)
    assert not [one for one in threading.enumerate() if one.name == "snoop-read-ahead"]
