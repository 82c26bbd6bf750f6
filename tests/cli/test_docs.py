"""docs/cli.md and the examples are what the program says and takes."""

import importlib.util
import shlex
from pathlib import Path

import pytest

from snoop_cli.main import COMMANDS, command

SCRIPT = Path(__file__).parents[2] / "scripts" / "cli_docs.py"
EXAMPLES = [
    line.strip()
    for name in COMMANDS
    for line in (command(name).epilog or "").splitlines()
    if " snoop " in f" {line.strip()}" and "<(" not in line
]


def test_the_page_has_todays_help() -> None:
    spec = importlib.util.spec_from_file_location("cli_docs", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    docs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(docs)
    text = docs.PAGE.read_text()
    assert docs.page(text) == text, f"mend it: {docs.MEND}"


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_have_options_that_there_are(example: str) -> None:
    words = shlex.split(example.partition("   ")[0])
    called = 0
    for start in [place for place, word in enumerate(words) if word == "snoop"]:
        rest = words[start + 1 :]
        ends = [place for place, word in enumerate(rest) if word in ("|", "&&", ">")]
        arguments = rest[: min(ends, default=len(rest))]
        if not arguments or arguments[0] not in COMMANDS:
            continue  # `snoop` is the name of a container, too
        command(arguments[0]).make_context(arguments[0], arguments[1:])
        called += 1
    assert called


def test_each_command_has_examples() -> None:
    assert {name for name in COMMANDS if not command(name).epilog} <= {"trace"}
