"""Names of images."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snoop_image.model import ImageError
from snoop_image.reference import Reference, parse, same_image

DIGEST = f"sha256:{'ab' * 32}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nginx", Reference("docker.io", "library/nginx", "latest")),
        ("nginx:1.25", Reference("docker.io", "library/nginx", "1.25")),
        (f"nginx@{DIGEST}", Reference("docker.io", "library/nginx", "", DIGEST)),
        (f"nginx:1@{DIGEST}", Reference("docker.io", "library/nginx", "1", DIGEST)),
        ("team/app", Reference("docker.io", "team/app", "latest")),
        ("index.docker.io/team/app", Reference("docker.io", "team/app", "latest")),
        ("docker.io/nginx", Reference("docker.io", "library/nginx", "latest")),
        ("localhost/app", Reference("localhost", "app", "latest")),
        ("localhost:5000/app:v1", Reference("localhost:5000", "app", "v1")),
        ("registry.example.com/a/b/c:v1", Reference("registry.example.com", "a/b/c", "v1")),
        ("registry:5000/app", Reference("registry:5000", "app", "latest")),
        ("REGISTRY/app", Reference("REGISTRY", "app", "latest")),
        ("[::1]:5000/app", Reference("[::1]:5000", "app", "latest")),
        ("a__b/c--d.e_f", Reference("docker.io", "a__b/c--d.e_f", "latest")),
        (f"docker-pullable://nginx@{DIGEST}", Reference("docker.io", "library/nginx", "", DIGEST)),
        (f"docker.io/library/nginx@{DIGEST}\n", Reference("docker.io", "library/nginx", "", DIGEST)),
    ],
)
def test_is_what_a_runtime_makes_of_it(text: str, expected: Reference) -> None:
    assert parse(text) == expected
    assert parse(str(expected)) == expected


def test_docker_hub_s_registry_has_a_host_of_its_own() -> None:
    assert parse("nginx").host == "registry-1.docker.io"
    assert parse("ghcr.io/a/b").host == "ghcr.io"
    assert parse(f"nginx:1@{DIGEST}").target == DIGEST
    assert parse("nginx:1").target == "1"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no image name"),
        ("team/App", "must be lower case"),
        ("a//b", "no image name"),
        ("nginx:", "no tag"),
        ("nginx:a b", "no tag"),
        ("nginx:-x", "no tag"),
        (f"nginx:{'x' * 129}", "no tag"),
        ("nginx@sha256:12", "no digest"),
        ("nginx@md5:d41d8cd98f00b204e9800998ecf8427e", "no digest"),
        ("ex ample.com/a", "no registry"),
        ("example.com:port/a", "no registry"),
        ("example.com/../a", "no image name"),
        ("example.com/a?b=c", "no image name"),
        ("example.com/a\n/b", "no image name"),
        ("ab" * 32, "an image's ID"),
        (DIGEST, "an image's ID"),
        (f"docker://{DIGEST}", "an image's ID"),
        ("a/" * 200 + "b", "no image name"),
    ],
)
def test_what_is_none_is_told(text: str, words: str) -> None:
    with pytest.raises(ImageError, match=words) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=80) | st.from_regex(r"[a-z./:@0-9-]{1,80}"))
def test_any_text_is_a_name_that_comes_back_or_is_refused(text: str) -> None:
    words = ""
    try:
        found = parse(text)
        assert parse(str(found)) == found
    except ImageError as error:
        words = str(error)
    assert "\n" not in words


def test_an_archive_s_name_may_be_short_or_a_bare_tag() -> None:
    assert same_image("docker.io/library/nginx:latest", "nginx")
    assert same_image("v1", "v1")
    assert not same_image("nginx:1", "nginx:2")
    assert not same_image("No Name", "nginx")
