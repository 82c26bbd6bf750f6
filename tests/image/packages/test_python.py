import importlib.metadata
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from tests.image.packages.images import Image, Link, of_files, of_folder

from snoop_image.packages.editable import folder_of_editable
from snoop_image.packages.requirements import normalized

SITE = "/usr/lib/python3/dist-packages"


def test_this_environment_s_distributions_are_those_of_python() -> None:
    site = Path(sysconfig.get_path("purelib")).resolve()
    image = of_folder(Path("/"), str(site))
    # What Python calls a file of a distribution lies outside of it too (../../../bin).
    outside = of_folder(Path("/"), str(site.parents[2] / "bin"))
    image.entries |= outside.entries
    packages, _ = image.read()
    found = {one.database: one for one in packages if one.kind == "pypi"}
    told = list(importlib.metadata.distributions(path=[str(site)]))
    assert len(told) > 20
    for one in told:
        info = one._path  # type: ignore[attr-defined]
        package = found[f"{info}/METADATA"]
        assert (package.name, package.version) == (one.metadata["Name"], one.version)
        files = [Path(str(one.locate_file(file))) for file in one.files or ()]
        expected = {str(file.parent.resolve() / file.name) for file in files if file.exists()}
        assert expected <= set(package.files)
        more = set(package.files) - expected
        # Compiled since, or an editable one's modules.
        assert {Path(path).suffix for path in more} <= {".pyc"} or package.name == "snoop-profiler"
        needs = [text for text in one.requires or () if "extra ==" not in text]
        assert {normalized(text.split("[")[0]) for text in map(name_of, needs)} <= {
            group[0] for group in package.requires
        }


def name_of(requirement: str) -> str:
    for at, one in enumerate(requirement):
        if one in " ;<>=!~(":
            return requirement[:at]
    return requirement


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "src/shown").mkdir(parents=True)
    (folder / "src/shown/__init__.py").touch()
    (folder / "src/shown/tool.py").write_text("def main(): pass\n")
    (folder / "pyproject.toml").write_text(
        "[build-system]\nrequires = ['setuptools']\nbuild-backend = 'setuptools.build_meta'\n"
        "[project]\nname = 'Its.Name'\nversion = '1.0'\ndependencies = ['other>1; python_version > \"3\"']\n"
        "[project.optional-dependencies]\nmore = ['extra-one']\n[project.scripts]\nits-tool = 'shown.tool:main'\n"
    )
    return folder


def pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-build-isolation", "--no-deps"]
    subprocess.run([*command, *map(str, arguments)], check=True, capture_output=True)


def test_what_pip_installed_has_files_scripts_and_compiled_files(project: Path, tmp_path: Path) -> None:
    pytest.importorskip("setuptools")
    pip("--prefix", tmp_path / "usr", project)
    (one,) = of_folder(tmp_path).packages().values()
    site = one.database.rpartition("/")[0].rpartition("/")[0]
    assert one.identity[:3] == ("pypi", "Its.Name", "1.0")
    assert one.provides == ("its-name",)
    assert one.requires == (("other",),)
    tag = sys.implementation.cache_tag
    assert {f"{site}/shown/tool.py", f"{site}/shown/__pycache__/tool.{tag}.pyc", one.database} <= set(one.files)
    assert [path for path in one.files if path.endswith("/bin/its-tool")]


def test_an_editable_distribution_has_what_it_is_developed_from(project: Path, tmp_path: Path) -> None:
    pytest.importorskip("setuptools")
    pip("--prefix", tmp_path / "usr", "--editable", project)
    installed = of_folder(tmp_path)
    sources = of_folder(project)
    entries = installed.entries | {f"{project}{path}": one for path, one in sources.entries.items()}
    fixed = {path: type(one)(path, one.type, one.mode) for path, one in entries.items()}
    packages, _ = Image(installed.contents, fixed).read()
    (one,) = packages
    assert {f"{project}/src/shown/__init__.py", f"{project}/src/shown/tool.py"} <= set(one.files)
    assert f"{project}/pyproject.toml" not in one.files


DEBIAN: dict[str, bytes | str | Link] = {
    "/var/lib/dpkg/status": "Package: python3-yaml\nVersion: 6.0-3\n",
    "/var/lib/dpkg/info/python3-yaml.list": f"{SITE}/PyYAML-6.0.dist-info/METADATA\n{SITE}/yaml/__init__.py\n"
    f"{SITE}/_yaml.cpython-311.so\n/usr/share/doc/python3-yaml/README\n",
    f"{SITE}/PyYAML-6.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: PyYAML\nVersion: 6.0\n\nName: words\n",
    f"{SITE}/yaml/__init__.py": "",
    f"{SITE}/yaml/__pycache__/__init__.cpython-311.pyc": "",
    f"{SITE}/_yaml.cpython-311.so": "",
    f"{SITE}/yaml/left.pyc": "",
    "/usr/share/doc/python3-yaml/README": "",
}


def test_a_distribution_of_debian_s_and_its_package_both_have_its_files() -> None:
    found = of_files(DEBIAN).packages()
    compiled = f"{SITE}/yaml/__pycache__/__init__.cpython-311.pyc"
    assert {f"{SITE}/yaml/__init__.py", compiled, f"{SITE}/_yaml.cpython-311.so"} < set(found["PyYAML"].files)
    assert {f"{SITE}/yaml/__init__.py", compiled} < set(found["python3-yaml"].files)
    assert f"{SITE}/yaml/left.pyc" not in found["PyYAML"].files
    assert "/usr/share/doc/python3-yaml/README" not in found["PyYAML"].files


@pytest.mark.parametrize(
    "metadata",
    ["/opt/site/old-1.0.egg-info", "/opt/site/old-1.0.egg-info/PKG-INFO", "/opt/site/old-1.0.dist-info/METADATA"],
)
def test_without_a_record_the_modules_of_its_names_are_its_files(metadata: str) -> None:
    image = of_files(
        {
            metadata: "Name: old\nVersion: 1.0\n",
            "/opt/site/old/a/b.py": "",
            "/opt/site/old.cpython-311.so": "",
            "/opt/site/old.py": "",
            "/opt/site/older/c.py": "",
            "/opt/site/old.d/e.so": "",
        }
    )
    expected = {metadata, "/opt/site/old/a/b.py", "/opt/site/old.cpython-311.so", "/opt/site/old.py"}
    assert set(image.packages()["old"].files) == expected


def test_top_level_names_count_and_what_others_recorded_does_not() -> None:
    image = of_files(
        {
            "/opt/site/a.egg-info/PKG-INFO": "Name: a\nVersion: 1\n",
            "/opt/site/a.egg-info/top_level.txt": "shared\n../up\n",
            "/opt/site/b.dist-info/METADATA": "Name: b\nVersion: 1\n",
            "/opt/site/b.dist-info/RECORD": "shared/b.py,sha256=x,0\nb.dist-info/METADATA,,\nb.dist-info/RECORD,,\n",
            "/opt/site/shared/a.py": "",
            "/opt/site/shared/b.py": "",
            "/opt/up.py": "",
        }
    )
    found = image.packages()
    assert "/opt/site/shared/a.py" in found["a"].files
    assert "/opt/site/shared/b.py" not in found["a"].files
    assert "/opt/site/shared/b.py" in found["b"].files
    assert "/opt/up.py" not in found["a"].files


def test_installed_files_and_eggs_are_read_and_sources_are_not() -> None:
    image = of_files(
        {
            "/opt/site/a.egg-info/PKG-INFO": "Name: a\nVersion: 1\n",
            "/opt/site/a.egg-info/installed-files.txt": "../mod.py\n../../bin/a\nPKG-INFO\n",
            "/opt/site/a.egg-info/SOURCES.txt": "other.py\n",
            "/opt/site/a.egg-info/requires.txt": "one>=1\n\n[more]\ntwo\n\n[:os_name == 'x']\nthree\n[x:y]\nfour\n",
            "/opt/site/mod.py": "",
            "/opt/site/other.py": "",
            "/opt/bin/a": "",
            "/opt/site/b-1-py3.11.egg/EGG-INFO/PKG-INFO": "Name: b\nVersion: 1\n",
            "/opt/site/b-1-py3.11.egg/b/c.py": "",
        }
    )
    found = image.packages()
    assert {"/opt/site/mod.py", "/opt/bin/a"} <= set(found["a"].files)
    assert "/opt/site/other.py" not in found["a"].files
    assert found["a"].requires == (("one",), ("three",))
    assert "/opt/site/b-1-py3.11.egg/b/c.py" in found["b"].files


def test_an_extra_that_is_asked_for_brings_what_it_needs() -> None:
    image = of_files(
        {
            "/s/web.dist-info/METADATA": "Name: web\nVersion: 1\n"
            "Requires-Dist: Uvi_Corn[standard, x]>=1 ; python_version>'3'\n",
            "/s/web.dist-info/RECORD": "",
            "/s/uvicorn.dist-info/METADATA": "Name: uvi.corn\nVersion: 1\nRequires-Dist: click\n"
            "Requires-Dist: httptools; extra == 'standard'\nRequires-Dist: uvi-corn[all]; extra == \"x\"\n"
            "Requires-Dist: dev-only; extra == 'dev'\nRequires-Dist: uvi-corn[x,standard]; extra == 'all'\n",
            "/s/uvicorn.dist-info/RECORD": "",
        }
    )
    found = image.packages()
    assert set(found["web"].requires) == {("uvi-corn",), ("httptools",)}
    assert found["uvi.corn"].requires == (("click",),)


def test_an_unreadable_record_and_an_unnamed_distribution_are_told() -> None:
    image = of_files(
        {
            "/s/a.dist-info/METADATA": "Name: a\nVersion: 1\n",
            "/s/a.dist-info/RECORD": "a.py,,\n" + "x" * 200_000 + ",,\nb.py,,\n",
            "/s/b.dist-info/METADATA": "\n",
            "/s/c.dist-info/METADATA": "Name: c \x1b[31m\nVersion: 1\n",
            "/s/d.dist-info/METADATA": "Name: d\nVersion: 1\n",
            "/s/a.py": "",
            "/s/b.py": "",
        }
    )
    packages, notes = image.read()
    named = {one.name: one for one in packages}
    assert {"/s/a.py", "/s/b.py"} <= set(named["a"].files)
    assert len(notes) == 5
    assert all(note.isprintable() for note in notes)


def test_only_a_folder_of_an_editable_installation_is_one() -> None:
    assert folder_of_editable(b'{"url": "file:///a%20b/", "dir_info": {"editable": true}}') == "/a b"
    for text in (
        b"",
        b"{",
        b"[]",
        b'{"url": "file:///a", "dir_info": {}}',
        b'{"url": "https://x/a", "dir_info": {"editable": true}}',
        b'{"url": "file://[", "dir_info": {"editable": true}}',
        b"[" * 60_000,
    ):
        assert folder_of_editable(text) == ""


@pytest.mark.parametrize("record", ["", "a.dist-info/METADATA,,\na.dist-info/RECORD,,\n"])
def test_a_record_that_is_cut_off_leaves_the_modules_of_its_name(record: str) -> None:
    image = of_files(
        {"/s/a.dist-info/METADATA": "Name: a\nVersion: 1\n", "/s/a.dist-info/RECORD": record, "/s/a/b.py": ""}
    )
    assert "/s/a/b.py" in image.packages()["a"].files
    del image.entries["/s/a/b.py"]
    assert image.packages()["a"].files
