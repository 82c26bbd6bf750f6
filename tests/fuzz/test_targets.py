"""What is fuzzed takes its own seeds and what is near them: a look without a fuzzer, and that the fuzzer can begin."""

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
NAMES = [
    "records",
    "report",
    "delta",
    "acknowledgement",
    "body",
    "elf",
    "ld_cache",
    "image",
    "packages",
    "rpm",
    "layer",
    "archive",
    "inventory",
    "credentials",
]


@pytest.fixture(scope="module")
def targets() -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location("fuzz_targets", HERE / "targets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, Any] = module.TARGETS
    return found


def nearby(seed: bytes) -> Iterator[bytes]:
    """The seed, cut short, and with some bytes changed or repeated."""
    yield seed
    for at in range(0, len(seed), max(1, len(seed) // 60)):
        yield seed[:at]
        yield seed[:at] + bytes([seed[at] ^ 0xFF]) + seed[at + 1 :]
        yield seed[:at] + b"\0" + seed[at + 1 :]
        yield seed[:at] + seed[: at + 8]


@pytest.mark.parametrize("name", NAMES)
def test_a_target_takes_its_seeds_and_what_is_near_them(name: str, targets: dict[str, Any]) -> None:
    run: Callable[[bytes], None] = targets[name].run
    for seed in targets[name].seeds():
        for data in nearby(seed):
            run(data)


def test_every_target_is_fuzzed(targets: dict[str, Any]) -> None:
    script = (HERE.parents[1] / "scripts/fuzz").read_text()
    assert sorted(targets) == sorted(NAMES)
    assert re.search(rf"targets=\({' '.join(NAMES)}\)", script)


def test_what_failed_can_be_run_again(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_bytes(b'{"boot": "b", "sequence": 1, "report": {}}')

    done = subprocess.run([sys.executable, HERE / "fuzz.py", "delta", "replay", kept], capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (0, "delta: 1 replayed, nothing wrong\n"), done.stderr
