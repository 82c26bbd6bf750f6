"""`analyze` and `slim` read an image from a registry, and mean the one that ran."""

import contextlib
import json
import shutil
import socket
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import DIGEST, container, report
from tests.cli.images import RAN, UNUSED, archive, base, layer, member

pytestmark = pytest.mark.skipif(
    not (shutil.which("docker-registry") and shutil.which("skopeo")), reason="docker-registry and skopeo are wanted"
)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a registry; gives its host and port."""
    folder = tmp_path_factory.mktemp("registry")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    settings = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": host},
    }
    (folder / "config.yml").write_text(json.dumps(settings))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=log)
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(host.split(":")[1])), 1):
            break
        time.sleep(0.05)
    yield host
    process.terminate()
    process.wait()


@pytest.fixture
def pushed(registry: str, tmp_path: Path) -> Callable[..., tuple[str, str]]:
    """Push an image of layers under a tag; gives its name and digest."""

    def push(tag: str, *more: bytes) -> tuple[str, str]:
        made = archive(tmp_path / f"{tag}.tar", layer(*base()), *more)
        name = f"{registry}/app:{tag}"
        target = f"docker://{name}"
        options = ["--quiet", "--dest-tls-verify=false", "--digestfile", tmp_path / "digest"]
        subprocess.run(["skopeo", "copy", *options, f"docker-archive:{made}", target], check=True)
        return name, (tmp_path / "digest").read_text()

    return push


def test_a_tag_means_what_ran_though_it_has_moved_on(snoop, written, pushed) -> None:
    name, digest = pushed("moving")
    web = written(report(container(*RAN, digest=digest)))
    _, other = pushed("moving", layer(member("opt/new", b"x" * 9)))
    assert other != digest
    done = snoop("analyze", web, "--image", name, "-o", "json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["image"]["digest"] == digest
    assert [one["path"] for one in told["files"] if one["verdict"] == "unused"] == UNUSED


def test_an_image_that_the_registry_has_not_gets_one_line(snoop, written, pushed) -> None:
    name, _ = pushed("known")
    done = snoop("analyze", written(report(container(*RAN, digest=DIGEST))), "--image", name)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_an_image_is_slimmed_from_its_registry(snoop, written, pushed, tmp_path) -> None:
    name, digest = pushed("slimmed", layer(member("opt/new", b"x" * 9)))
    web = written(report(container(*RAN, digest=digest)))
    done = snoop("slim", web, "--image", name, "--to", "slim.tar", "--tag", "app:slim")
    assert done.returncode == 0, done.stderr
    with tarfile.open(tmp_path / "slim.tar") as made:
        assert "manifest.json" in made.getnames()
    told = json.loads(snoop("analyze", web, "--archive", "slim.tar", "--same-image", "-o", "json").stdout)
    assert {one["verdict"] for one in told["files"]} == {"used", "needed", "protected"}


def test_a_dockerfile_copies_what_stays_and_keeps_the_configuration(snoop, written, pushed) -> None:
    name, digest = pushed("built")
    web = written(report(container(*RAN, digest=digest)))
    done = snoop("analyze", web, "--image", name, "-o", "dockerfile")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert f"FROM --platform=linux/amd64 {name.rpartition(':')[0]}@{digest} AS full" in lines
    assert lines[lines.index("FROM scratch") :] == [
        "FROM scratch",
        "COPY --from=slim /slim/ /",
        'ENV PATH="/usr/bin"',
        'ENV ODD="a \\"b\\" \\$c"',
        'LABEL "team"="shop"',
        "WORKDIR /srv",
        "USER 1000",
        'VOLUME ["/data"]',
        "EXPOSE 80/tcp",
        "STOPSIGNAL SIGQUIT",
        'HEALTHCHECK --interval=5000000000ns CMD ["/usr/bin/app", "--check"]',
        'ENTRYPOINT ["/usr/bin/app", "-x"]',
        'CMD ["$HOME"]',
    ]
