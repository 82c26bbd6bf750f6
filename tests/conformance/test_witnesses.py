"""What the other modules read from the machine itself: programs, declarations, and what fanotify tells."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.conformance import fanotify, interpreters, workload


def test_a_scripts_chain_ends_with_the_elf_interpreter(tmp_path: Path) -> None:
    outer, inner = tmp_path / "outer", tmp_path / "inner"
    inner.write_text("#! /bin/sh -e\n")
    outer.write_text(f"#!{inner}\n")
    chain = interpreters.needed(bytes(outer))
    assert [(one.asked, one.script) for one in chain[:2]] == [(bytes(inner), True), (b"/bin/sh", True)]
    assert [one.script for one in chain[2:]] == [False]
    assert chain[2].target == os.path.realpath(chain[2].asked)


def test_a_program_that_is_not_there_needs_nothing() -> None:
    assert interpreters.needed(b"/no/such/program") == []


def test_every_declared_workload_makes_sense() -> None:
    found = workload.load()
    assert len(found) >= 25
    sources = {path.stem for path in (workload.HERE / "programs").iterdir()}
    assert {program for one in found for program in one.programs} <= sources


def test_a_declaration_with_a_misspelt_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text('[[workload]]\nname = "a"\nabout = "b"\nrun = "c"\nnedes = ["d"]\n')
    with pytest.raises(workload.WorkloadError, match=r"x\.toml: a: unknown: nedes"):
        workload.load(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="fanotify needs root")
def test_fanotify_tells_who_opened_what(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    program = tmp_path / "program"
    shutil.copy("/bin/true", program)
    try:
        watch = fanotify.Watch([bytes(tmp_path)])
    except fanotify.UnavailableError as error:
        pytest.skip(str(error))
    file.read_bytes()
    child = subprocess.Popen([program])
    child.wait()
    seen = watch.stop()
    assert fanotify.Opened(threading.get_native_id(), bytes(file), executed=False) in seen
    assert fanotify.Opened(child.pid, bytes(program), executed=True) in seen


def test_the_runner_refuses_an_unknown_workload_in_one_line() -> None:
    done = subprocess.run(
        [sys.executable, workload.HERE / "run", "no-such-workload"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "conformance: no-such-workload: no such workload; --list lists them\n"
