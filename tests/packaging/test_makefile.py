"""The way in: what `make` offers, and that the scripts behind it can be run."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()


def test_make_alone_lists_every_target_with_what_it_does() -> None:
    told = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = set(re.findall(r"^([a-z0-9-]+):", MAKEFILE, re.M))
    assert set(re.findall(r"^  make (\S+) +\S", told, re.M)) == targets


def test_every_target_is_phony_and_its_script_is_executable() -> None:
    targets = re.findall(r"^([a-z0-9-]+):", MAKEFILE, re.M)
    (phony,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.M)
    assert sorted(phony.split()) == sorted(targets)
    for script in re.findall(r"^\t@((?:scripts|tests/cluster)/\S+)", MAKEFILE, re.M):
        assert (ROOT / script).stat().st_mode & 0o111, script


def test_the_readme_shows_no_target_that_is_not_there() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", MAKEFILE, re.M))
    for name in ("README.md", "CONTRIBUTING.md"):
        shown = set(re.findall(r"\bmake (?:-s )?([a-z0-9-]+)`", (ROOT / name).read_text()))
        assert shown <= targets, name
