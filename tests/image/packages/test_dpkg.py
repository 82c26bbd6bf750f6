import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.image.packages.images import Image, Link, of_files, of_folder, of_paths

from snoop_image.model import Package
from snoop_image.packages import Dependencies, distribution

pytestmark = pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="needs dpkg")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="dpkg --root needs root")

Install = Callable[..., None]


def query(*arguments: str) -> str:
    return subprocess.run(["dpkg-query", *arguments], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def here() -> Image:
    """What dpkg knows of this machine, files that nobody owns left out."""
    info = Path("/var/lib/dpkg/info")
    paths = ["/var/lib/dpkg/status", "/var/lib/dpkg/diversions", "/etc/os-release", "/usr/lib/os-release"]
    paths += [str(path) for path in info.glob("*.list")]
    for path in info.glob("*.list"):
        paths += os.fsdecode(path.read_bytes()).splitlines()
    paths += Path("/var/lib/dpkg/diversions").read_text().splitlines()[1::3]
    paths += query("-W", "-f=${Conffiles}\n").split()[::2]
    return of_paths(Path("/"), (path for path in paths if path.startswith("/")))


@pytest.fixture(scope="module")
def installed(here: Image) -> dict[str, Package]:
    packages, _ = here.read()
    return {f"{one.name}:{one.architecture}": one for one in packages if one.kind == "deb"}


def test_this_machine_s_packages_are_those_of_dpkg(installed: dict[str, Package]) -> None:
    lines = query("-W", "-f=${db:Status-Status} ${Package}:${Architecture} ${Version} ${source:Package}\n").splitlines()
    told = {tuple(line.split()[1:]) for line in lines if line.split()[0] not in ("config-files", "not-installed")}
    assert {(key, one.version, one.source or one.name) for key, one in installed.items()} == told
    essential = query("-W", "-f=${Package}:${Architecture} ${Essential}\n").splitlines()
    assert {line.split()[0] for line in essential if line.endswith(" yes")} <= {
        key for key, one in installed.items() if one.essential
    }


def test_this_machine_s_files_are_those_of_dpkg(installed: dict[str, Package], here: Image) -> None:
    names = sorted(installed)
    lists = query("-L", *names).split("\n\n")
    assert len(lists) == len(names)
    for name, listed in zip(names, lists, strict=True):
        expected = set()
        lines = listed.splitlines()
        for line, after in zip(lines, [*lines[1:], ""], strict=True):
            moved = after.partition(" to: ")[2] if "diverted" in after.partition(" to: ")[0] else ""
            path = moved or line
            if path.startswith("/") and os.path.lexists(path) and not Path(path).is_dir():
                expected.add(str(Path(path).parent.resolve() / Path(path).name))
        found = {path for path in installed[name].files if not Path(path).is_dir()}
        # dpkg lists configuration that was given up too.
        assert found - set(installed[name].configuration) <= expected, name
        assert expected <= found, name


def test_no_directory_is_a_file_and_no_package_has_the_links_that_merge_usr(installed: dict[str, Package]) -> None:
    merged = {"/bin", "/lib", "/sbin", "/lib64"}
    assert not [key for key, one in installed.items() if not merged.isdisjoint(one.files)]


def test_what_essential_packages_need_is_installed_and_kept(installed: dict[str, Package]) -> None:
    packages = list(installed.values())
    graph = Dependencies(packages)
    kept = {packages[index].name for index in graph.needed([])}
    assert {"dpkg", "libc6", "bash", "coreutils"} <= kept
    going = [packages[index].name for index in graph.purgeable(range(len(packages)))]
    assert kept.isdisjoint(going)
    assert len(going) + len(kept) >= len({one.name for one in packages})


def test_dpkg_would_purge_what_is_purgeable(installed: dict[str, Package]) -> None:
    packages = list(installed.values())
    graph = Dependencies(packages)
    going = graph.purgeable(range(len(packages)))
    names = [f"{packages[index].name}:{packages[index].architecture}" for index in going]
    names = [name.removesuffix(":all") for name in names]
    arguments = ["dpkg", "--no-act", "--purge", *names]
    told = subprocess.run(arguments, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr[-2000:]
    assert len(names) > 10


def test_the_distribution_is_told(here: Image) -> None:
    assert distribution(here.contents)[0] in ("debian", "ubuntu")
    assert distribution({"/usr/lib/os-release": b"ID='alpine'\nVERSION_ID=\"3.20.1\"\n#"}) == ("alpine", "3.20.1")
    both = {"/usr/lib/os-release": b"ID=debian\n", "/etc/os-release": b"ID=mine\n"}
    assert distribution(both) == ("mine", "")
    assert distribution({"/etc/os-release": b"ID='\nVERSION_ID=a b"}) == ("", "")
    assert distribution({}) == ("", "")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for folder in ("usr/lib", "usr/bin", "etc", "var/lib/dpkg/info", "var/lib/dpkg/updates"):
        (root / folder).mkdir(parents=True)
    (root / "lib").symlink_to("usr/lib")
    (root / "var/lib/dpkg/status").touch()
    return root


@pytest.fixture
def install(root: Path, tmp_path: Path) -> Install:
    """Builds a package of paths, and lets dpkg install it."""

    def install(name: str, *paths: str, control: str = "", conffiles: str = "", architecture: str = "all") -> None:
        folder = tmp_path / f"{name}-{architecture}"
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "DEBIAN").mkdir(parents=True, mode=0o755)
        head = f"Package: {name}\nVersion: 1:2-3\nArchitecture: {architecture}\nMaintainer: a <a@b.c>\nDescription: a\n"
        (folder / "DEBIAN/control").write_text(head + control)
        if conffiles:
            (folder / "DEBIAN/conffiles").write_text(conffiles + "\n")
        for path in paths:
            file = folder / path.partition(" -> ")[0].lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            if " -> " in path:
                file.symlink_to(path.partition(" -> ")[2])
            else:
                file.write_text(path)
        subprocess.run(["dpkg-deb", "--build", folder, f"{folder}.deb"], check=True, capture_output=True)
        dpkg("--force-architecture", "--path-exclude=/usr/share/doc/*", "-i", f"{folder}.deb")

    def dpkg(*arguments: str) -> None:
        command = ["dpkg", f"--root={root}", "--force-depends", "--force-script-chrootless", *arguments]
        subprocess.run(command, check=True, capture_output=True)

    return install


@as_root
def test_a_package_is_what_dpkg_installed(root: Path, install: Install) -> None:
    control = (
        "Source: origin (9)\nEssential: yes\nPre-Depends: a:any\nDepends: b (>= 1) | c, d\nProvides: e (= 1), f\n"
        "Multi-Arch: same\n"
    )
    paths = ("/lib/x86/libx.so.1 -> libx.so.1.2", "/lib/x86/libx.so.1.2", "/usr/share/doc/x/big", "/etc/x.conf")
    install("x", *paths, control=control, conffiles="/etc/x.conf", architecture="amd64")
    assert (root / "var/lib/dpkg/info/x:amd64.list").exists()
    (one,) = of_folder(root).packages().values()
    assert one.identity == ("deb", "x", "1:2-3", "amd64")
    assert set(one.files) == {"/usr/lib/x86/libx.so.1", "/usr/lib/x86/libx.so.1.2", "/etc/x.conf"}
    assert one.configuration == ("/etc/x.conf",)
    assert (one.source, one.essential) == ("origin", True)
    assert one.requires == (("a",), ("b", "c"), ("d",))
    assert one.provides == ("e", "f")


@as_root
def test_two_architectures_of_one_package_have_their_own_files(root: Path, install: Install) -> None:
    for architecture in ("amd64", "arm64"):
        install("x", f"/usr/lib/{architecture}/x", control="Multi-Arch: same\n", architecture=architecture)
    packages, notes = of_folder(root).read()
    assert notes == []
    assert {one.architecture: one.files for one in packages} == {
        "amd64": ("/usr/lib/amd64/x",),
        "arm64": ("/usr/lib/arm64/x",),
    }


@as_root
def test_a_diverted_file_belongs_to_its_package_where_it_went(root: Path, install: Install) -> None:
    install("old", "/usr/bin/tool")
    divert = ["dpkg-divert", f"--root={root}", "--package", "new", "--rename", "--add", "/usr/bin/tool"]
    subprocess.run(divert, check=True, capture_output=True)
    install("new", "/usr/bin/tool")
    found = of_folder(root).packages()
    assert found["old"].files == ("/usr/bin/tool.distrib",)
    assert found["new"].files == ("/usr/bin/tool",)


@as_root
def test_a_removed_package_s_configuration_is_told_and_belongs_to_none(root: Path, install: Install) -> None:
    install("x", "/etc/x.conf", "/usr/bin/x", conffiles="/etc/x.conf")
    subprocess.run(["dpkg", f"--root={root}", "--remove", "x"], check=True, capture_output=True)
    packages, notes = of_folder(root).read()
    assert packages == []
    assert notes == ["/var/lib/dpkg/status: x was removed, 1 of its files were left: they have no package"]


@as_root
def test_a_package_that_was_only_unpacked_is_there(root: Path, install: Install, tmp_path: Path) -> None:
    install("x", "/usr/bin/x")
    subprocess.run(["dpkg", f"--root={root}", "--unpack", tmp_path / "x-all.deb"], check=True, capture_output=True)
    assert of_folder(root).packages()["x"].files == ("/usr/bin/x",)


@as_root
def test_configuration_that_a_later_version_gave_up_is_still_its_own(root: Path, install: Install) -> None:
    install("x", "/etc/old name.conf", "/usr/bin/x", conffiles="/etc/old name.conf")
    install("x", "/usr/bin/x")
    assert " obsolete" in (root / "var/lib/dpkg/status").read_text()
    found = of_folder(root).packages()["x"]
    assert set(found.files) == {"/usr/bin/x", "/etc/old name.conf"}
    assert found.configuration == ("/etc/old name.conf",)


def test_a_link_that_a_package_brought_is_its_own_and_one_in_the_way_is_not() -> None:
    image = of_files(
        {
            "/var/lib/dpkg/status": "Package: a\nVersion: 1\n\nPackage: b\nVersion: 1\n",
            "/var/lib/dpkg/info/a.list": "/.\n/lib\n/lib/a\n/opt\n/opt/current\n",
            "/var/lib/dpkg/info/b.list": "/.\n/lib\n",
            "/lib": Link("usr/lib"),
            "/usr/lib/a": "",
            "/opt/current": Link("v1"),
            "/opt/v1/": "",
        }
    )
    found = image.packages()
    assert found["a"].files == ("/usr/lib/a", "/opt/current")
    assert found["b"].files == ()


# https://github.com/GoogleContainerTools/distroless: status.d has a file for each package, NAME.md5sums beside it.
DISTROLESS: dict[str, bytes | str | Link] = {
    "/var/lib/dpkg/status.d/libssl3": "Package: libssl3\nVersion: 3.0.15-1\nArchitecture: amd64\n"
    "Source: openssl\nDepends: libc6 (>= 2.34)\nDescription: toolkit\n more\n .\n words\n",
    "/var/lib/dpkg/status.d/libssl3.md5sums": "d41d8cd98f00b204e9800998ecf8427e  "
    "usr/lib/x86_64-linux-gnu/libssl.so.3.0\nd41d8cd98f00b204e9800998ecf8427e  ./usr/share/doc/libssl3/a b\n\njunk\n",
    "/var/lib/dpkg/status.d/bGliYzY=": "Package: libc6\nVersion: 2.36-9\n",
    "/usr/lib/x86_64-linux-gnu/libssl.so.3.0": "",
    "/usr/lib/x86_64-linux-gnu/libssl.so.3": Link("libssl.so.3.0"),
    "/usr/lib/x86_64-linux-gnu/libssl.so": Link("libssl.so.3"),
    "/usr/lib/x86_64-linux-gnu/other.so": Link("nothing"),
    "/usr/share/doc/libssl3/a b": "",
}


def test_a_distroless_package_has_what_its_sums_name_and_the_links_beside_it() -> None:
    found = of_files(DISTROLESS).packages()
    assert set(found["libssl3"].files) == {
        "/usr/lib/x86_64-linux-gnu/libssl.so.3.0",
        "/usr/lib/x86_64-linux-gnu/libssl.so.3",
        "/usr/lib/x86_64-linux-gnu/libssl.so",
        "/usr/share/doc/libssl3/a b",
    }
    assert found["libssl3"].source == "openssl"
    assert found["libc6"].database == "/var/lib/dpkg/status.d/bGliYzY="


def test_lists_that_are_gone_are_told_and_the_sums_stand_in_for_one() -> None:
    image = of_files(
        {
            "/var/lib/dpkg/status": "Package: a\nVersion: 1\n\nPackage: b\nVersion: 2\nConffiles:\n /etc/b 0123\n",
            "/etc/b": "",
            "/var/lib/dpkg/info/b.md5sums": "d41d8cd98f00b204e9800998ecf8427e  usr/bin/b\n",
            "/usr/bin/b": "",
        }
    )
    packages, notes = image.read()
    assert {one.name: one.files for one in packages} == {"a": (), "b": ("/usr/bin/b", "/etc/b")}
    assert notes == ["/var/lib/dpkg/info/: has no list of the files of 1 packages: a"]


def test_lists_of_packages_that_the_status_does_not_name_are_told() -> None:
    lists = {f"/var/lib/dpkg/info/{name}.list": "/x\n" for name in ("a:amd64", *"bcdefg")}
    packages, notes = of_files({"/var/lib/dpkg/status": "Package: b\nVersion: 1\n", **lists, "/x": ""}).read()
    assert [one.files for one in packages] == [("/x",)]
    assert notes == [
        "/var/lib/dpkg/info/: has lists of 6 packages that /var/lib/dpkg/status does not name: a:amd64, c, d, e, f …"
    ]
