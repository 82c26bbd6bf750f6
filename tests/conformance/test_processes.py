"""Whose call it was, and where its process stood."""

import os
from pathlib import Path

from tests.conformance.processes import Tree, follow
from tests.conformance.strace import parse, string
from tests.conformance.test_strace import hexed


def tree(*lines: str, cwd: bytes = b"/start") -> Tree:
    start = f'1 execve("{hexed("/bin/sh")}", ["{hexed("/bin/sh")}", "{hexed("x")}"], 0x7ffc /* 3 vars */) = 0'
    return follow(parse([f'9 stat("{hexed("foreign")}", {{}}) = 0', start, *lines]), [b"/bin/sh", b"x"], cwd)


def places(found: Tree) -> dict[bytes, bytes]:
    """The working directory for each name that was asked for with stat."""
    return {string(call.arguments[0]) or b"": place.cwd for call, place in found.calls if call.name == "stat"}


def stat(thread: int, name: str) -> str:
    return f'{thread} stat("{hexed(name)}", {{}}) = 0'


def test_only_the_command_and_what_comes_from_it_counts() -> None:
    found = tree("1 fork() = 2", stat(2, "child"), stat(3, "other"), "2 vfork() = 4", stat(4, "grandchild"))
    assert set(places(found)) == {b"child", b"grandchild"}
    assert found.threads == {1, 2, 4}


def test_a_child_that_runs_before_its_parent_returns_is_the_commands() -> None:
    found = tree("1 vfork( <unfinished ...>", stat(2, "early"), "2 +++ exited with 0 +++", "1 <... vfork resumed>) = 2")
    assert set(places(found)) == {b"early"}


def test_a_number_that_is_used_again_is_somebody_else() -> None:
    found = tree("1 fork() = 2", stat(2, "mine"), "2 +++ exited with 0 +++", stat(2, "not-mine"))
    assert set(places(found)) == {b"mine"}


def test_threads_share_a_working_directory_and_processes_do_not(tmp_path: Path) -> None:
    to = str(tmp_path)
    found = tree(
        "1 clone3({flags=CLONE_VM|CLONE_FS|CLONE_THREAD, stack=0x1} => {parent_tid=[2]}, 88) = 2",
        "1 fork() = 3",
        f'2 chdir("{hexed(to)}") = 0',
        stat(1, "leader"),
        stat(3, "forked"),
        "1 fork() = 4",
        stat(4, "forked-later"),
    )
    assert places(found) == {b"leader": to.encode(), b"forked": b"/start", b"forked-later": to.encode()}


def test_a_thread_that_unshares_goes_its_own_way(tmp_path: Path) -> None:
    found = tree(
        "1 clone(child_stack=0x1, flags=CLONE_VM|CLONE_FS|CLONE_THREAD) = 2",
        "2 unshare(CLONE_FS) = 0",
        f'2 chdir("{hexed(str(tmp_path))}") = 0',
        stat(1, "leader"),
        stat(2, "thread"),
    )
    assert places(found) == {b"leader": b"/start", b"thread": str(tmp_path).encode()}


def test_what_strace_read_from_the_kernel_is_believed() -> None:
    found = tree(f'1 newfstatat(AT_FDCWD<{hexed("/elsewhere")}>, "{hexed("a")}", {{}}, 0) = 0', stat(1, "b"))
    assert places(found) == {b"b": b"/elsewhere"}


def test_a_chdir_through_a_link_leads_to_where_the_link_leads(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    found = tree(f'1 chdir("{hexed("link")}") = 0', stat(1, "x"), cwd=bytes(tmp_path))
    assert places(found) == {b"x": bytes(tmp_path / "real")}


def test_without_the_command_there_is_nothing() -> None:
    assert not follow(parse([stat(1, "x")]), [b"/bin/sh"], b"/").begun


def test_a_thread_that_executes_before_its_makers_clone_has_returned_has_a_maker(tmp_path: Path) -> None:
    """The leader is gone by then, and its clone never returns; the program takes its number."""
    to = hexed(str(tmp_path))
    for execution in (
        ('2 execve("./p" <unfinished ...>', "1 +++ superseded by execve in pid 2 +++"),
        ('2 execve("./p" <pid changed to 1 ...>', "1 +++ superseded by execve in pid 2 +++"),
    ):
        found = tree(
            "1 clone3({flags=CLONE_VM|CLONE_FS|CLONE_THREAD, stack=0x1} <unfinished ...>",
            f'2 chdir("{to}") = 0',
            *execution,
            '1 <... execve resumed>, ["./p"], 0x7ffc /* 3 vars */) = 0',
            stat(1, "after"),
        )
        (program,) = [place.cwd for call, place in found.calls[1:] if call.name == "execve"]
        assert program == os.fsencode(tmp_path)
        assert places(found) == {b"after": os.fsencode(tmp_path)}
