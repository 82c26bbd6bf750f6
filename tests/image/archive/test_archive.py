"""Images in archives: what docker save, skopeo, buildah and containerd write."""

import gzip
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snoop_image.inventory import Limits, Platform, read_archive
from snoop_image.model import ImageError

CONFIG = {
    "architecture": "arm64",
    "variant": "v8",
    "config": {
        "User": "1000:1000",
        "Entrypoint": ["/bin/app", "--serve"],
        "Cmd": ["x"],
        "Env": ["PATH=/bin", "A=b"],
        "WorkingDir": "/srv",
        "Volumes": {"/data": {}},
        "ExposedPorts": {"80/tcp": {}, "443/tcp": {}},
        "StopSignal": "SIGQUIT",
        "Labels": {"b": "2", "a": "1"},
    },
    "history": [
        {"created_by": "ADD rootfs"},
        {"created_by": "ENV A=b", "empty_layer": True},
        {"created_by": "RUN make"},
    ],
}


@pytest.fixture
def layers(make: Any) -> list[bytes]:
    return [
        make.tar(make.folder("etc"), make.file("etc/a", b"1"), make.file("gone", b"123")),
        make.tar(make.file("etc/b", b"22"), make.gone("gone")),
    ]


def same_pack(content: bytes) -> bytes:
    return content


@pytest.mark.parametrize("packing", ["gzip", "zstd", "plain", "two gzip members", "zstd behind a skippable frame"])
@pytest.mark.parametrize("how", ["folder", "tar", "tar.gz", "tar.zst"])
def test_a_layout_is_read_however_it_is_packed(
    how: str, packing: str, make: Any, layers: list[bytes], zstd: Callable[[bytes], bytes], shown: Any
) -> None:
    skippable = b"\x5a\x2a\x4d\x18\x04\x00\x00\x00abcd"
    packs: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress,
        "zstd": zstd,
        "plain": same_pack,
        "two gzip members": lambda tar: gzip.compress(tar[:700]) + gzip.compress(tar[700:]) + bytes(100),
        "zstd behind a skippable frame": lambda tar: skippable + zstd(tar[:700]) + skippable + zstd(tar[700:]),
    }
    path = make.layout(*layers, pack=packs[packing])
    if how != "folder":
        path = make.packed(path, {"tar": same_pack, "tar.gz": gzip.compress, "tar.zst": zstd}[how])

    found = read_archive(path)

    assert shown(found) == {"/etc": "d0", "/etc/a": "f0:1", "/etc/b": "f1:2"}
    assert found.source == str(path)
    assert found.digest.startswith("sha256:")
    assert found.notes == []


def test_the_configuration_and_the_layers_are_told(make: Any, layers: list[bytes]) -> None:
    folder = make.layout(*layers, config=CONFIG)
    manifest = json.loads(_blob(folder, json.loads((folder / "index.json").read_text())["manifests"][0]["digest"]))

    found = read_archive(folder)

    config = found.config
    assert (config.architecture, config.os, config.variant) == ("arm64", "linux", "v8")
    assert (config.user, config.entrypoint, config.command) == ("1000:1000", ("/bin/app", "--serve"), ("x",))
    assert (config.environment, config.working_directory) == (("PATH=/bin", "A=b"), "/srv")
    assert (config.volumes, config.ports, config.stop_signal) == (("/data",), ("443/tcp", "80/tcp"), "SIGQUIT")
    assert config.labels == (("a", "1"), ("b", "2"))
    assert json.loads(config.raw)["config"] == CONFIG["config"]
    assert [layer.command for layer in found.layers] == ["ADD rootfs", "RUN make"]
    assert [(layer.blob, layer.size) for layer in found.layers] == [
        (one["digest"], one["size"]) for one in manifest["layers"]
    ]


def test_a_history_that_does_not_fit_the_layers_is_left_out(make: Any, layers: list[bytes]) -> None:
    found = read_archive(make.layout(*layers, config={"history": [{"created_by": "x"}]}))

    assert [layer.command for layer in found.layers] == ["", ""]


PLATFORMS = [
    {"os": "unknown", "architecture": "unknown"},
    {"os": "linux", "architecture": "amd64"},
    {"os": "linux", "architecture": "arm", "variant": "v6"},
    {"os": "linux", "architecture": "arm", "variant": "v7"},
    {"os": "linux", "architecture": "arm64", "variant": "v8"},
    {"os": "linux", "architecture": "amd64", "variant": "v3"},
    {"os": "windows", "architecture": "amd64"},
]


@pytest.mark.parametrize(
    ("platform", "expected"),
    [
        (Platform(), 1),
        (Platform("amd64", variant="v3"), 5),
        (Platform("amd64", variant="v2"), 1),
        (Platform("arm64"), 4),
        (Platform("arm"), 3),
        (Platform("arm", variant="v6"), 2),
        (Platform("arm", variant="v8"), 3),
        (Platform("x86_64"), 1),
    ],
)
def test_the_platform_chooses_from_an_index(make: Any, platform: Platform, expected: int) -> None:
    folder = make.layout(platforms=PLATFORMS)

    found = read_archive(folder, platform)

    assert found.entries["/which"].size == len(json.dumps(PLATFORMS[expected]))
    assert found.config.variant == PLATFORMS[expected].get("variant", "")


def test_a_platform_that_is_not_there_is_told_with_those_that_are(make: Any) -> None:
    with pytest.raises(ImageError, match=r"no image for linux/s390x; it has linux/amd64, linux/amd64/v3, linux/arm/v6"):
        read_archive(make.layout(platforms=PLATFORMS), Platform("s390x"))


def test_a_platform_that_was_not_saved_is_not_there(make: Any) -> None:
    folder = make.layout(platforms=PLATFORMS[:2])
    index = json.loads(_blob(folder, json.loads((folder / "index.json").read_text())["manifests"][0]["digest"]))
    unsaved = [one for one in index["manifests"] if one["platform"]["os"] == "linux"]
    index["manifests"][0]["platform"] = {"os": "linux", "architecture": "arm64"}
    for one in unsaved:
        (folder / "blobs" / one["digest"].replace(":", "/")).unlink()
    (folder / "index.json").write_text(json.dumps({"manifests": [{"mediaType": INDEX, **make.blob(folder, index)}]}))

    with pytest.raises(ImageError, match=r"no image for linux/amd64; it has linux/arm64"):
        read_archive(folder)


INDEX = "application/vnd.oci.image.index.v1+json"


def test_another_system_s_image_is_not_taken(make: Any) -> None:
    with pytest.raises(ImageError, match=r"no image for linux/amd64; it has windows/amd64"):
        read_archive(make.layout(platforms=PLATFORMS[-1:]))


def test_docker_s_media_types_are_as_good(make: Any, layers: list[bytes], shown: Any) -> None:
    found = read_archive(make.layout(*layers, kind="application/vnd.docker"))

    assert len(shown(found)) == 3


class TestOfSeveralImages:
    @pytest.mark.parametrize("key", ["org.opencontainers.image.ref.name", "io.containerd.image.name"])
    def test_one_is_to_be_named(self, make: Any, layers: list[bytes], key: str) -> None:
        folder = make.layout(*layers, names=["docker.io/library/web:1", "other:2"], annotations=key)

        assert read_archive(folder, reference="web:1").digest == read_archive(folder, reference="other:2").digest
        with pytest.raises(ImageError, match=r"several images: say which one; it has docker.io/library/web:1, other:2"):
            read_archive(folder)
        with pytest.raises(ImageError, match=r"has no image 'web:2'; it has docker.io"):
            read_archive(folder, reference="web:2")

    def test_docker_save_names_them_too(self, make: Any, layers: list[bytes], tmp_path: Path) -> None:
        path = _docker_archive(make, tmp_path, layers, tags=[["web:1"], ["web:2", "web:latest"]])

        assert read_archive(path, reference="docker.io/library/web").config.user == "1000:1000"
        with pytest.raises(ImageError, match="several images"):
            read_archive(path)


def _docker_archive(make: Any, folder: Path, layers: list[bytes], tags: list[list[str]], linked: bool = False) -> Path:
    """As `docker save` wrote it before Docker 25: a folder a layer, and links for what is there already."""
    import hashlib

    config = json.dumps(
        {**CONFIG, "rootfs": {"diff_ids": [f"sha256:{hashlib.sha256(one).hexdigest()}" for one in layers]}}
    ).encode()
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    members = [make.file(name, config)]
    for number, layer in enumerate(layers):
        members.append(make.folder(f"layer{number}"))
        members.append(make.file(f"layer{number}/{'kept' if linked else 'layer'}.tar", layer))
        if linked:
            members.append(make.symlink(f"layer{number}/layer.tar", f"../layer{number}/kept.tar"))
    files = [f"layer{number}/layer.tar" for number in range(len(layers))]
    listed = [{"Config": name, "RepoTags": one, "Layers": files} for one in tags]
    members.append(make.file("manifest.json", json.dumps(listed).encode()))
    path = folder / "saved.tar"
    path.write_bytes(make.tar(*members))
    return path


@pytest.mark.parametrize("linked", [False, True])
def test_docker_save_s_old_archives(make: Any, layers: list[bytes], tmp_path: Path, linked: bool, shown: Any) -> None:
    path = _docker_archive(make, tmp_path, layers, [["web:1"]], linked)

    found = read_archive(path)

    assert shown(found) == {"/etc": "d0", "/etc/a": "f0:1", "/etc/b": "f1:2"}
    assert (found.digest, found.config.user) == ("", "1000:1000")
    assert all(layer.digest and not layer.blob for layer in found.layers)

    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    subprocess.run(["tar", "--extract", "--file", path, "--directory", unpacked], check=True)
    assert read_archive(unpacked).entries == found.entries


def _blob(folder: Path, digest: str) -> bytes:
    return (folder / "blobs" / digest.replace(":", "/")).read_bytes()


class TestIsRefusedInOneLine:
    def refuses(self, path: Path, words: str, **options: Any) -> None:
        with pytest.raises(ImageError, match=words) as caught:
            read_archive(path, **options)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_what_is_no_image(self, tmp_path: Path, make: Any) -> None:
        (tmp_path / "text").write_text("hello")
        (tmp_path / "empty").write_bytes(b"")
        (tmp_path / "rootfs.tar").write_bytes(make.tar(make.file("etc/passwd")))
        (tmp_path / "folder").mkdir()
        self.refuses(tmp_path / "text", "not a tar archive")
        self.refuses(tmp_path / "empty", "neither index.json")
        self.refuses(tmp_path / "rootfs.tar", "is it a root file system")
        self.refuses(tmp_path / "folder", "neither index.json")
        self.refuses(tmp_path / "nowhere", "no such file")

    def test_an_archive_packed_with_xz(self, tmp_path: Path) -> None:
        (tmp_path / "a.tar.xz").write_bytes(b"\xfd7zXZ\0" + bytes(100))
        self.refuses(tmp_path / "a.tar.xz", "compressed with xz: decompress it first")

    @pytest.mark.parametrize("victim", ["manifest", "config", "layer"])
    def test_content_that_is_not_its_digest_s(self, make: Any, layers: list[bytes], victim: str) -> None:
        folder = make.layout(*layers)
        digest = json.loads((folder / "index.json").read_text())["manifests"][0]["digest"]
        manifest = json.loads(_blob(folder, digest))
        digest = {"manifest": digest, "config": manifest["config"]["digest"], "layer": manifest["layers"][1]["digest"]}[
            victim
        ]
        path = folder / "blobs" / digest.replace(":", "/")
        content = path.read_bytes()
        # Something that reads just as well.
        path.write_bytes(content[:4] + b"time" + content[8:] if victim == "layer" else content + b" ")

        self.refuses(folder, "not that of|not the announced|bytes that were announced|ends after")

    def test_a_layer_that_is_not_its_diff_id_s(self, make: Any, layers: list[bytes]) -> None:
        self.refuses(
            make.layout(*layers, pack=lambda tar: gzip.compress(tar + bytes(512))), "layer 1 of 2: the content"
        )

    @pytest.mark.parametrize("cut", [10, 60, -8, -1])
    def test_a_layer_that_is_cut_off(self, make: Any, layers: list[bytes], cut: int) -> None:
        self.refuses(make.layout(*layers, pack=lambda tar: gzip.compress(tar)[:cut]), "layer 1 of 2: ")

    def test_a_zstd_layer_that_is_cut_off(self, make: Any, zstd: Any) -> None:
        layer = make.tar(make.file("a", bytes(range(256)) * 4000))
        self.refuses(make.layout(layer, pack=lambda tar: zstd(tar)[:-30]), "layer 1 of 1: ")

    def test_a_part_that_is_missing(self, make: Any, layers: list[bytes]) -> None:
        folder = make.layout(*layers)
        manifest = json.loads(_blob(folder, json.loads((folder / "index.json").read_text())["manifests"][0]["digest"]))
        (folder / "blobs" / manifest["layers"][0]["digest"].replace(":", "/")).unlink()
        self.refuses(folder, "has no file 'blobs/sha256/")

    @pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../outside"])
    def test_a_manifest_that_points_out_of_the_archive(self, tmp_path: Path, make: Any, name: str) -> None:
        folder = tmp_path / "image"
        folder.mkdir()
        (tmp_path / "outside").write_text("{}")
        (folder / "manifest.json").write_text(json.dumps([{"Config": name, "Layers": []}]))
        self.refuses(folder, "has no file")
        self.refuses(make.packed(folder), "has no file")

    @pytest.mark.parametrize(
        "document", ["[]", "{}", "nope", "[[]]", '[{"Config": 1}]', '[{"Config": "c", "Layers": "l"}]', "[" * 100_000]
    )
    def test_a_docker_manifest_that_says_nothing(self, tmp_path: Path, document: str) -> None:
        folder = tmp_path / "image"
        folder.mkdir()
        (folder / "manifest.json").write_text(document)
        self.refuses(folder, "manifest.json")

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"layers": []}, "0 layers, the configuration 2"),
            ({"layers": None}, "no list of layers"),
            ({"config": None}, "config: is missing"),
            ({"mediaType": "application/vnd.docker.distribution.manifest.v1+json"}, "schema 1"),
            ({"mediaType": "application/vnd.cncf.helm.chart"}, "no image manifest"),
            ({"config": {"mediaType": "x", "digest": "md5:0", "size": 1}}, "no digest that snoop knows"),
            ({"layers": [{"mediaType": "wasm", "digest": f"sha256:{'0' * 64}", "size": 1}]}, "not that of a container"),
            ({"layers": [{"mediaType": "tar", "digest": "sha256:" + "0" * 64, "size": -1}]}, "has no size"),
        ],
    )  # fmt: skip
    def test_a_manifest_that_cannot_be_meant(
        self, make: Any, layers: list[bytes], change: dict[str, Any], words: str
    ) -> None:
        folder = make.layout(*layers)
        index = json.loads((folder / "index.json").read_text())
        manifest = {**json.loads(_blob(folder, index["manifests"][0]["digest"])), **change}
        index["manifests"] = [{**index["manifests"][0], **make.blob(folder, manifest)}]
        (folder / "index.json").write_text(json.dumps(index))
        self.refuses(folder, words)

    def test_indexes_that_hold_one_another_without_end(self, make: Any) -> None:
        folder = make.layout()
        kind = "application/vnd.oci.image.index.v1+json"
        inner = json.loads((folder / "index.json").read_text())["manifests"][0]
        for _ in range(8):
            inner = {"mediaType": kind, **make.blob(folder, {"mediaType": kind, "manifests": [inner]})}
        (folder / "index.json").write_text(json.dumps({"manifests": [inner]}))
        self.refuses(folder, "no image manifest")

    def test_a_document_that_fills_the_memory(self, make: Any, layers: list[bytes]) -> None:
        self.refuses(make.layout(*layers), "index.json is bigger than 10 bytes", limits=Limits(document=10))

    def test_a_compressed_archive_that_fills_the_disk(self, make: Any, layers: list[bytes]) -> None:
        path = make.packed(make.layout(make.tar(make.file("zeros", bytes(1 << 20))), pack=same_pack), gzip.compress)
        self.refuses(path, "unpacks to more than 100000 bytes", limits=Limits(unpacked=100_000))


def test_nothing_is_left_open_or_on_disk(make: Any, layers: list[bytes], tmp_path: Path, monkeypatch: Any) -> None:
    import tempfile

    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    path = make.packed(make.layout(*layers), gzip.compress)
    before = sorted(Path("/proc/self/fd").iterdir())

    read_archive(path)
    shutil.copyfile(path, tmp_path / "cut")
    with (tmp_path / "cut").open("r+b") as file:
        file.truncate(500)
    with pytest.raises(ImageError):
        read_archive(tmp_path / "cut")

    assert sorted(Path("/proc/self/fd").iterdir()) == before
    assert list(scratch.iterdir()) == []


def test_a_pipe_can_be_read(make: Any, layers: list[bytes], tmp_path: Path) -> None:
    import threading

    content = make.packed(make.layout(*layers)).read_bytes()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()

    found = read_archive(pipe)

    writer.join()
    assert "/etc/b" in found.entries


def test_io_that_fails_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"cannot be read|not a tar archive"):
        read_archive(Path("/proc/self/mem"))
