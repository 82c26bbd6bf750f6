"""Debian's docker-registry, and images that skopeo pushed: what is pulled is what was pushed."""

import base64
import json
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from snoop_image import reference
from snoop_image.inventory import Keyring, Platform, Transport, read_archive, read_registry, read_rootfs
from snoop_image.model import Entry, ImageError

PERSON = base64.b64encode(b"person:secret").decode()


def keyring(host: str, auth: str = PERSON) -> Keyring:
    found = Keyring()
    found.add(json.dumps({"auths": {host: {"auth": auth}}}).encode(), "pull secret")
    return found


@pytest.fixture
def layout(make: Any) -> Path:
    made: Path = make.layout(
        make.tar(make.file("etc/a", b"1"), make.file("gone", b"1")), make.tar(make.gone("gone")), names=["app"]
    )
    return made


def test_a_tag_and_a_digest_lead_to_the_image(registry: Any, layout: Path) -> None:
    registry.push(layout, "team/app:1")
    whole = read_archive(layout)

    by_tag = read_registry(reference.parse(f"{registry.host}/team/app:1"))
    by_digest = read_registry(reference.parse(f"{registry.host}/team/app@{by_tag.digest}"))

    assert by_tag.source == f"{registry.host}/team/app:1"
    assert by_tag.digest == by_digest.digest == whole.digest
    assert by_tag.entries == by_digest.entries == whole.entries
    assert by_tag.layers == whole.layers
    assert by_tag.config == whole.config


def test_an_index_leads_to_the_platform_s_image(registry: Any, make: Any) -> None:
    platforms = [{"os": "linux", "architecture": one} for one in ("amd64", "arm64")]
    registry.push(make.layout(platforms=platforms), "team/multi:1", "--all")
    index = subprocess.run(
        ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{registry.host}/team/multi:1"],
        check=True,
        capture_output=True,
    ).stdout
    listed = {one["platform"]["architecture"]: one["digest"] for one in json.loads(index)["manifests"]}

    for architecture, digest in listed.items():
        found = read_registry(reference.parse(f"{registry.host}/team/multi:1"), Platform(architecture))
        assert (found.digest, found.config.architecture) == (digest, architecture)
    with pytest.raises(ImageError, match="no image for linux/s390x; it has linux/amd64, linux/arm64"):
        read_registry(reference.parse(f"{registry.host}/team/multi:1"), Platform("s390x"))


@pytest.mark.parametrize(("form", "packing"), [("v2s2", "gzip"), ("oci", "gzip"), ("oci", "zstd")])
def test_both_forms_of_manifest_and_compression(registry: Any, layout: Path, form: str, packing: str) -> None:
    options = ["--format", form, "--dest-compress-format", packing, "--dest-compress"]
    command = [
        "skopeo", "copy", "--quiet", *registry.options, *options, f"oci:{layout}",
        f"docker://{registry.host}/team/{form}:{packing}",
    ]  # fmt: skip
    subprocess.run(command, check=True)

    found = read_registry(reference.parse(f"{registry.host}/team/{form}:{packing}"))

    assert found.entries == read_archive(layout).entries


def test_what_is_not_there_is_told(registry: Any, layout: Path) -> None:
    registry.push(layout, "team/app:1")
    with pytest.raises(ImageError, match=r"has no 9 of team/app .*manifest unknown"):
        read_registry(reference.parse(f"{registry.host}/team/app:9"))
    with pytest.raises(ImageError, match=rf"has no sha256:{'0' * 64} of team/app"):
        read_registry(reference.parse(f"{registry.host}/team/app@sha256:{'0' * 64}"))


class TestWithAPassword:
    def test_the_pull_secret_opens_it(self, with_password: Any, layout: Path) -> None:
        with_password.push(layout, "team/app:1")
        ref = reference.parse(f"{with_password.host}/team/app:1")

        assert read_registry(ref, keyring=keyring(with_password.host)).entries == read_archive(layout).entries

    def test_a_wrong_one_and_none_are_refused_with_what_to_do(self, with_password: Any) -> None:
        ref = reference.parse(f"{with_password.host}/team/app:1")
        wrong = base64.b64encode(b"person:wrong").decode()

        with pytest.raises(ImageError, match=r"authentication required\): are the credentials right") as caught:
            read_registry(ref, keyring=keyring(with_password.host, wrong))
        assert "wrong" not in str(caught.value)
        with pytest.raises(ImageError, match="is it private"):
            read_registry(ref)
        with pytest.raises(ImageError, match="is it private"):
            read_registry(ref, keyring=keyring("elsewhere.example.com"))

    def test_the_right_one_of_several_is_found(self, with_password: Any, layout: Path) -> None:
        with_password.push(layout, "team/app:1")
        several = keyring(with_password.host, base64.b64encode(b"person:old").decode())
        several.add(json.dumps({"auths": {f"{with_password.host}/team": {"auth": PERSON}}}).encode(), "another")
        several.add(json.dumps({"auths": {f"{with_password.host}/other": {"auth": "eDp5"}}}).encode(), "third")

        assert read_registry(reference.parse(f"{with_password.host}/team/app:1"), keyring=several).digest


class TestWithTokens:
    """The registry trusts what a token server signs, and that one knows a person, and a refresh token."""

    @pytest.fixture
    def ref(self, with_tokens: Any, layout: Path) -> reference.Reference:
        with_tokens.push(layout, "team/app:1")
        with_tokens.asked.clear()
        return reference.parse(f"{with_tokens.host}/team/app:1")

    def test_a_password_is_given_for_a_token(self, with_tokens: Any, ref: Any, layout: Path) -> None:
        found = read_registry(ref, keyring=keyring(with_tokens.host))

        assert found.entries == read_archive(layout).entries
        assert with_tokens.asked == [("GET", "registry", "repository:team/app:pull")]

    def test_so_is_a_refresh_token(self, with_tokens: Any, ref: Any) -> None:
        found = Keyring()
        auths = {"auths": {with_tokens.host: {"identitytoken": "refresh-me"}}}
        found.add(json.dumps(auths).encode(), "config.json")

        assert read_registry(ref, keyring=found).digest
        assert with_tokens.asked == [("POST", "registry", "repository:team/app:pull")]

    def test_a_bearer_token_is_used_as_it_is(self, with_tokens: Any, ref: Any) -> None:
        found = Keyring()
        token = with_tokens.token("repository:team/app:pull")
        found.add(json.dumps({"auths": {with_tokens.host: {"registrytoken": token}}}).encode(), "config.json")

        assert read_registry(ref, keyring=found).digest
        assert with_tokens.asked == []

    def test_nobody_gets_a_token_that_opens_nothing(self, with_tokens: Any, ref: Any) -> None:
        with pytest.raises(ImageError, match=r"the registry refuses .*is it private"):
            read_registry(ref)
        assert with_tokens.asked == [("GET", "registry", "repository:team/app:pull")]

    def test_a_wrong_password_is_told(self, with_tokens: Any, ref: Any) -> None:
        wrong = base64.b64encode(b"person:wrong").decode()
        with pytest.raises(ImageError, match="are the credentials right"):
            read_registry(ref, keyring=keyring(with_tokens.host, wrong))


class TestWithTls:
    def test_the_authority_is_to_be_named(self, with_tls: Any, authority: Any, layout: Path) -> None:
        with_tls.push(layout, "team/app:1")
        ref = reference.parse(f"{with_tls.host}/team/app:1")
        transport = Transport(ca_file=Path(authority.file("ca.pem", authority.pem)))

        assert read_registry(ref, transport=transport).entries == read_archive(layout).entries
        with pytest.raises(ImageError, match="its certificate is not trusted"):
            read_registry(ref)
        with pytest.raises(ImageError, match="no such file of certificates"):
            read_registry(ref, transport=Transport(ca_file=Path("/nowhere.pem")))


def test_a_real_tree_is_what_umoci_makes_of_it(registry: Any, make: Any, tmp_path: Path) -> None:
    """Layers of real trees, changed by a real tar: the inventory has what an unpacking has."""
    layout = tmp_path / "real"
    umoci = ["umoci", "--log=error"]
    subprocess.run([*umoci, "init", "--layout", layout], check=True)
    subprocess.run([*umoci, "new", "--image", f"{layout}:app"], check=True)
    bundle = tmp_path / "bundle"
    subprocess.run([*umoci, "unpack", "--image", f"{layout}:app", bundle], check=True)
    root = bundle / "rootfs"
    steps = [
        "mkdir -p usr/lib usr/share etc; cp -a /usr/share/zoneinfo usr/share/",
        "ln -s usr/lib lib; cp -a /usr/lib/python3 usr/lib/",
        "cp -a /etc/alternatives etc/; rm -r usr/share/zoneinfo/[A-F]*",
        "cd usr/lib/python3; rm -r dist-packages; mkdir dist-packages; echo new >dist-packages/new",
        "ln etc/alternatives/README etc/readme; mkfifo etc/fifo; chmod 4711 etc/readme",
        "rm -r etc/alternatives; echo x >etc/alternatives; rm lib; mkdir lib; mknod lib/null c 1 3; echo y >lib/y",
        'rm etc/readme; truncate -s 3M lib/holes; python3 -c \'import os; os.setxattr("lib/holes", "user.a", b"b")\'',
    ]
    for step in steps:
        subprocess.run(step, shell=True, cwd=root, check=True)
        subprocess.run([*umoci, "repack", "--refresh-bundle", "--image", f"{layout}:app", bundle], check=True)
    registry.push(f"{layout}:app", "team/real:1")

    fresh = tmp_path / "fresh"
    subprocess.run([*umoci, "unpack", "--image", f"{layout}:app", fresh], check=True)
    unpacked = read_rootfs(fresh / "rootfs")
    pulled = read_registry(reference.parse(f"{registry.host}/team/real:1"))

    assert len(pulled.layers) == 7
    assert len(pulled.entries) > 100
    assert plain(pulled.entries) == plain(unpacked.entries)
    assert read_archive(layout).entries == pulled.entries


def plain(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """What does not depend on layers. The root's own mode is the unpacker's affair."""
    return {path: replace(entry, layer=0) for path, entry in entries.items() if path != "/"}
