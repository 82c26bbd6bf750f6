"""Shells and kubectl complete what there is."""

import os
import shutil
import subprocess
import sys

import pytest

from snoop_cli.completion import answer
from snoop_cli.main import cli


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script_that_asks_snoop(snoop, shell) -> None:
    done = snoop("completion", shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"_SNOOP_COMPLETE={shell}_complete" in done.stdout


def test_an_unknown_shell_is_a_usage_error(snoop) -> None:
    assert snoop("completion", "tcsh").returncode == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_itself_takes_the_script(snoop, shell) -> None:
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    script = snoop("completion", shell).stdout
    subprocess.run([shell, "-n", "/dev/stdin"], input=script, text=True, check=True)


def test_bash_completes_a_command(snoop, tmp_path) -> None:
    (tmp_path / "snoop").write_text(f'#!/bin/sh\nexec {sys.executable} -m snoop_cli.main "$@"\n')
    (tmp_path / "snoop").chmod(0o755)
    asked = 'COMP_WORDS=(snoop re); COMP_CWORD=1; _snoop_completion snoop; echo "${COMPREPLY[@]}"'
    done = subprocess.run(
        ["bash", "-c", f"{snoop('completion', 'bash').stdout}\n{asked}"],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "report\n"


@pytest.mark.parametrize(
    ("words", "incomplete", "wanted"),
    [
        ([], "rep", ["report\tSum up the evidence and its gaps.", ":4"]),
        (["files", "--kind"], "ma", ["map", ":4"]),
        (["files"], "", [":0"]),
        (["merge", "-o"], "", [":0"]),
        (["nonsense"], "", [":4"]),
    ],
)
def test_kubectl_gets_candidates_and_a_directive(words, incomplete, wanted) -> None:
    told = answer(cli, words, incomplete)
    if words == ["nonsense"]:
        assert told[-1] == ":4"
    else:
        assert told == wanted


def test_kubectl_asks_a_program() -> None:
    command = [sys.executable, "-c", "from snoop_cli.completion import kubectl; kubectl()", "fil"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("files\t")
    assert done.stdout.endswith("\n:4\n")
