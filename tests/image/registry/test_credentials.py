"""Whose credentials open which image."""

import base64
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snoop_image.credentials import Credential, Keyring, keyring_of, load_keyring
from snoop_image.model import ImageError
from snoop_image.reference import parse
from snoop_image.tokens import Challenge, challenges


def auth(user: str, password: str = "secret") -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def users(keyring: Keyring, image: str) -> list[str]:
    return [one.username for one in keyring.find(parse(image))]


def ring(**auths: Any) -> Keyring:
    return keyring_of([("secret", json.dumps({"auths": auths}).encode())])


@pytest.mark.parametrize(
    ("key", "image", "matches"),
    [
        ("https://index.docker.io/v1/", "nginx", True),
        ("docker.io", "team/app", True),
        ("registry-1.docker.io", "nginx", True),
        ("https://index.docker.io/v1/", "ghcr.io/a/b", False),
        ("ghcr.io", "ghcr.io/a/b", True),
        ("https://ghcr.io/v2/", "ghcr.io/a/b", True),
        ("ghcr.io/a", "ghcr.io/a/b", True),
        ("ghcr.io/a/b", "ghcr.io/a/b", True),
        ("ghcr.io/a", "ghcr.io/ab/c", False),
        ("ghcr.io/a/b/c", "ghcr.io/a/b", False),
        ("*.example.com", "eu.example.com/a", True),
        ("*.example.com", "example.com/a", False),
        ("*.example.com", "a.b.example.com/a", False),
        ("r*.example.com:5000", "reg.example.com:5000/a", True),
        ("reg.example.com", "reg.example.com:5000/a", False),
        ("reg.example.com:5000", "reg.example.com/a", False),
        ("[", "ghcr.io/a", False),
        ("", "ghcr.io/a", False),
    ],
)
def test_a_key_matches_as_in_the_kubelet(key: str, image: str, matches: bool) -> None:
    assert users(ring(**{key: auth("person")}), image) == (["person"] if matches else [])


def test_the_most_specific_comes_first_and_each_once() -> None:
    keyring = ring(
        **{
            "*.io": auth("glob"),
            "ghcr.io": auth("host"),
            "ghcr.io/a": auth("team"),
            "https://ghcr.io": auth("host"),
            "ghcr.io/a/b": auth("image"),
        }
    )
    assert users(keyring, "ghcr.io/a/b") == ["image", "team", "host", "glob"]


def test_several_secrets_and_the_old_form_are_one_keyring() -> None:
    old = json.dumps({"ghcr.io": {"username": "old", "password": "x"}}).encode()
    keyring = keyring_of([("a", json.dumps({"auths": {"ghcr.io": auth("new")}}).encode()), ("b", old)])

    assert users(keyring, "ghcr.io/a") == ["new", "old"]


def test_every_way_to_write_a_credential_is_read() -> None:
    keyring = ring(
        a=auth("ü", "p:w"),
        b={"username": "u", "password": "p"},
        c={"identitytoken": "t"},
        d={"registrytoken": "t"},
        e={},
        f="nonsense",
    )

    def found(host: str) -> list[Credential]:
        return keyring.find(parse(f"{host}:1/x")) or keyring.find(parse(f"{host}.example/x"))

    assert found("a") == []
    keyring = ring(
        **{"a.io": auth("ü", "p:w"), "b.io": {"identitytoken": "t"}, "c.io": {"registrytoken": "t"}, "d.io": {}}
    )
    assert keyring.find(parse("a.io/x")) == [Credential("ü", "p:w")]
    assert keyring.find(parse("b.io/x")) == [Credential(identity_token="t")]
    assert keyring.find(parse("c.io/x")) == [Credential(registry_token="t")]
    assert keyring.find(parse("d.io/x")) == []


def test_a_secret_is_in_no_text() -> None:
    (found,) = ring(**{"a.io": auth("person", "hunter2")}).find(parse("a.io/x"))
    assert "hunter2" not in f"{found} {found!r}"
    with pytest.raises(ImageError) as caught:
        ring(**{"a.io": {"auth": base64.b64encode(b"hunter2").decode()}})
    assert "hunter2" not in str(caught.value)
    assert "no base64 of user:password" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"nope", b"\xff", b"[" * 100_000, b'"x"'])
def test_what_is_no_configuration_is_told_by_name(content: bytes) -> None:
    with pytest.raises(ImageError, match=r"my-secret: is no JSON"):
        keyring_of([("my-secret", content)])


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_any_json_is_read_or_refused(document: Any) -> None:
    words = ""
    try:
        keyring_of([("secret", json.dumps(document).encode())]).find(parse("ghcr.io/a/b"))
    except ImageError as error:
        words = str(error)
    assert "\n" not in words


class TestHelpers:
    @pytest.fixture
    def helper(self, tmp_path: Path, monkeypatch: Any) -> Path:
        """A program that knows one registry, and writes down who it was asked for."""
        program = tmp_path / "bin" / "docker-credential-test"
        program.parent.mkdir()
        program.write_text(
            f"""#!/bin/sh
read -r host || true
echo "$1 $host" >>{tmp_path}/asked
case $host in
  ghcr.io | https://index.docker.io/v1/) echo '{{"ServerURL": "", "Username": "helped", "Secret": "s"}}' ;;
  token.io) echo '{{"Username": "<token>", "Secret": "refresh"}}' ;;
  broken.io) echo 'nonsense' ;;
  *) echo 'credentials not found in native keychain'; exit 1 ;;
esac
"""
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
        return tmp_path

    def test_are_asked_for_the_registry(self, helper: Path) -> None:
        keyring = Keyring()
        keyring.add(b'{"credsStore": "test", "credHelpers": {"quay.io": "test"}}', "config.json", helpers=True)

        assert users(keyring, "ghcr.io/a") == ["helped"]
        assert users(keyring, "nginx") == ["helped"]
        assert users(keyring, "nowhere.io/a") == []
        assert keyring.find(parse("token.io/a")) == [Credential(identity_token="refresh")]
        assert (helper / "asked").read_text().splitlines()[:2] == ["get ghcr.io", "get https://index.docker.io/v1/"]

    def test_are_never_run_for_a_pull_secret(self, helper: Path) -> None:
        keyring = keyring_of([("secret", b'{"credsStore": "test", "credHelpers": {"ghcr.io": "test"}}')])

        assert users(keyring, "ghcr.io/a") == []
        assert not (helper / "asked").exists()

    def test_that_fail_are_told(self, helper: Path) -> None:
        keyring = Keyring()
        keyring.add(b'{"credHelpers": {"broken.io": "test", "absent.io": "absent"}}', "config.json", helpers=True)

        with pytest.raises(ImageError, match="docker-credential-test: gives no credentials"):
            users(keyring, "broken.io/a")
        with pytest.raises(ImageError, match="docker-credential-absent: is named in Docker's configuration"):
            users(keyring, "absent.io/a")

    @pytest.mark.parametrize("name", ["../../bin/sh", "a/b", "", "-x", "x;y"])
    def test_have_plain_names(self, name: str, helper: Path) -> None:
        keyring = Keyring()
        keyring.add(json.dumps({"credsStore": name}).encode(), "config.json", helpers=True)
        assert users(keyring, "ghcr.io/a") == []


def test_a_person_s_own_files_are_found(tmp_path: Path) -> None:
    def write(path: str, user: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(json.dumps({"auths": {"ghcr.io": auth(user)}}))

    write(".docker/config.json", "docker")
    write(".config/containers/auth.json", "podman")
    write("run/containers/auth.json", "runtime")
    write("elsewhere/config.json", "other")
    home = {"HOME": str(tmp_path)}

    assert users(load_keyring(home), "ghcr.io/a") == ["podman", "docker"]
    assert users(load_keyring({**home, "XDG_RUNTIME_DIR": f"{tmp_path}/run"}), "ghcr.io/a") == [
        "runtime",
        "podman",
        "docker",
    ]
    assert users(load_keyring({**home, "DOCKER_CONFIG": f"{tmp_path}/elsewhere"}), "ghcr.io/a") == ["podman", "other"]
    assert users(load_keyring({}), "ghcr.io/a") == []
    (tmp_path / ".docker/config.json").write_text("{")
    with pytest.raises(ImageError, match=r"\.docker/config\.json: is no JSON"):
        load_keyring(home)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", []),
        ("Basic", [Challenge("basic", {})]),
        ('Basic realm="a \\"b\\", c"', [Challenge("basic", {"realm": 'a "b", c'})]),
        (
            'Bearer realm="https://a/t",service=s,scope="repository:a/b:pull,push"',
            [Challenge("bearer", {"realm": "https://a/t", "service": "s", "scope": "repository:a/b:pull,push"})],
        ),
        (
            'Negotiate, Basic realm="x", Bearer realm = "y" , error="z"',
            [
                Challenge("negotiate", {}),
                Challenge("basic", {"realm": "x"}),
                Challenge("bearer", {"realm": "y", "error": "z"}),
            ],
        ),
        ('realm="x"', []),
        ('Bearer realm="unfinished', [Challenge("bearer", {})]),
    ],
)
def test_challenges_are_read_as_rfc_9110_writes_them(header: str, expected: list[Challenge]) -> None:
    assert challenges(header) == expected


@given(st.text(max_size=200) | st.from_regex(r'\A(Basic|Bearer|a="b"|[,= "\\])*\Z'))
def test_any_challenge_is_read(header: str) -> None:
    for one in challenges(header):
        assert one.scheme == one.scheme.lower()
