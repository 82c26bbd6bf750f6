"""What Helm says after an installation."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.chart.conftest import CHART, KUBERNETES, NAMESPACE, helm

Notes = Callable[..., str]


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    """The notes for some values. `helm template` leaves them out, so here they are made part of an object."""
    chart = tmp_path / "chart"
    shutil.copytree(CHART, chart)
    text = (chart / "templates" / "NOTES.txt").read_text()
    (chart / "templates" / "notes.yaml").write_text(
        '{{ define "notes" }}' + text + '{{ end }}kind: Notes\ntext: {{ include "notes" . | quote }}\n'
    )

    def render(*arguments: str) -> str:
        show = ("--show-only", "templates/notes.yaml")
        done = helm("template", "snoop", str(chart), "--namespace", NAMESPACE, *show, *KUBERNETES, *arguments)
        assert done.returncode == 0, done.stderr
        document: dict[str, Any] = yaml.safe_load(done.stdout)
        return str(document["text"])

    return render


def test_they_show_a_profile_that_can_be_applied_as_it_stands(notes: Notes) -> None:
    text = notes()
    start = text.index("<<EOF\n") + len("<<EOF\n")
    profile = yaml.safe_load(text[start : text.index("EOF", start)])
    assert profile["kind"] == "SnoopProfile"
    assert profile["spec"]["selector"]["matchLabels"]


def test_without_persistence_they_say_what_that_costs(notes: Notes) -> None:
    assert "EvidenceLost" not in notes()
    assert "EvidenceLost" in notes("--set", "persistence.enabled=false")


def test_they_say_what_an_uninstall_leaves(notes: Notes) -> None:
    text = notes()
    assert "the claim snoop-operator" in text
    for other in ("persistence.keep=false", "persistence.enabled=false", "persistence.existingClaim=mine"):
        # Nobody is told to delete a claim that is theirs.
        assert "claim" not in notes("--set", other).partition("helm uninstall")[2]
    assert "snoop-operator-tls" in text
