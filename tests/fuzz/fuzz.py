"""Runs one target of `targets` on mutated input until the time is over, or once on each file that is given.

    tests/fuzz/fuzz.py TARGET SECONDS          (atheris: inputs that reach new code are kept and built upon)
    tests/fuzz/fuzz.py TARGET replay FILE…     (needs nothing but the target)

Inputs are kept below ${SNOOP_CACHE:-~/.cache/snoop}/fuzz. What fails is written to .fuzz/ in the checkout.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("SNOOP_CACHE") or Path.home() / ".cache/snoop") / "fuzz"
FOUND = ROOT / ".fuzz"
LONGEST = 65_536
"""Bytes of one input: a record has at most 16 KiB."""
SLOWEST_S, MOST_MIB = 10, 2048
"""For one input."""
NO_FUZZER = 3
"""Exit status where there is no atheris for this Python or machine."""


def main(arguments: list[str]) -> int:
    """Do what the module says."""
    name, what, *files = arguments
    if what == "replay":
        return replay(name, files)
    try:
        import atheris
    except ImportError as error:
        print(f"fuzz: no atheris for this Python and machine ({error}): make install brings it", file=sys.stderr)
        return NO_FUZZER
    with atheris.instrument_imports(
        include=["snoop_report", "snoop_agent", "snoop_image", "snoop_operator.ingest.body"]
    ):
        from targets import TARGETS
    target = TARGETS[name]
    corpus = CACHE / name
    corpus.mkdir(parents=True, exist_ok=True)
    FOUND.mkdir(exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = [
        f"-max_total_time={int(what)}",
        f"-max_len={LONGEST}",
        f"-timeout={SLOWEST_S}",
        f"-rss_limit_mb={MOST_MIB}",
        f"-artifact_prefix={FOUND}/{name}-",
        "-print_final_stats=1",
        "-verbosity=0",
    ]
    if target.words:
        words = CACHE / f"{name}.dict"
        words.write_text("".join(f'"{_quoted(word)}"\n' for word in target.words))
        options.append(f"-dict={words}")
    atheris.Setup([sys.argv[0], *options, str(corpus)], target.run)
    atheris.Fuzz()  # ends the process
    return 0


def replay(name: str, files: list[str]) -> int:
    """Run the target on each file; what fails shows its traceback."""
    from targets import TARGETS

    for file in files:
        TARGETS[name].run(Path(file).read_bytes())
    print(f"{name}: {len(files)} replayed, nothing wrong")
    return 0


def _quoted(word: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02X}" for byte in word)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
