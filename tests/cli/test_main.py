"""The program as a whole: how it is called, and what it says of itself."""

import subprocess
import sys

import pytest

from snoop_cli.exits import WORDS, Exit

MAIN = "from snoop_cli.main import main; import sys; sys.argv[0] = '/opt/bin/{name}'; main()"


@pytest.mark.parametrize(("name", "called"), [("kubectl-snoop", "kubectl snoop"), ("snoop", "snoop")])
def test_usage_names_the_program_as_it_was_called(name, called) -> None:
    command = [sys.executable, "-c", MAIN.format(name=name), "files", "-h"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"Usage: {called} files [OPTIONS] PROFILE|FILE...")


def test_tracing_needs_nothing_of_what_reads_images() -> None:
    loaded = "import sys, snoop_cli.main as main; main.command('trace'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert not {"snoop_image", "zstandard", "kubernetes"} & set(done.stdout.split())


def test_help_says_what_each_exit_status_means(snoop) -> None:
    done = snoop("--help")
    assert set(WORDS) == set(Exit)
    assert all(f"{status:<4d} {words}" in done.stdout for status, words in WORDS.items())


def test_without_a_file_it_is_a_usage_error(snoop) -> None:
    for command in ("report", "files", "merge", "diff"):
        done = snoop(command)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"Usage: snoop {command}")
