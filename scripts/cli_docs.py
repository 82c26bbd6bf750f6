"""Writes each command's help into docs/cli.md, below the line that asks for it: `$ snoop files --help`.

Usage: cli_docs.py [--check]. With --check it writes nothing, and exits 1 if the page is not as it would write it.
"""

import re
import sys
from pathlib import Path

import click

from snoop_cli.main import COMMANDS, cli, command

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"
MEND = ".venv/bin/python scripts/cli_docs.py"
_BLOCK = re.compile(r"^```text\n\$ snoop(?P<name> [a-z-]+)? --help\n.*?^```$", re.DOTALL | re.MULTILINE)
_WIDTH = 78
"""What click uses on a terminal of 80 columns."""


def page(text: str) -> str:
    """Give the page's text with today's help. SystemExit if a command has no place in it."""
    wanted = {"", *COMMANDS}
    lacking = wanted - {(found["name"] or "").strip() for found in _BLOCK.finditer(text)}
    if lacking:
        raise SystemExit(f"{PAGE.name} has no place for the help of: {', '.join(sorted(lacking))}")
    return _BLOCK.sub(lambda found: _block((found["name"] or "").strip()), text)


def _block(name: str) -> str:
    of = command(name) if name else cli
    called = f"snoop {name}".strip()
    context = click.Context(of, info_name=called, terminal_width=_WIDTH, **cli.context_settings)
    return f"```text\n$ {called} --help\n{of.get_help(context)}\n```"


def main() -> None:
    """Write, or check."""
    before = PAGE.read_text()
    after = page(before)
    if sys.argv[1:] == ["--check"]:
        if before != after:
            raise SystemExit(f"{PAGE.name} is not what --help says: {MEND}")
    else:
        PAGE.write_text(after)


if __name__ == "__main__":
    main()
