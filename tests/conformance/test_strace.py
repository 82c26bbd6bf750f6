"""Lines as strace 6.1 wrote them (names shortened)."""

import pytest
from tests.conformance.strace import Call, End, descriptor, parse, split, string


def hexed(text: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


def only_calls(*lines: str) -> list[Call]:
    return [event for event in parse(lines) if isinstance(event, Call)]


def test_a_call_has_its_strings_and_the_path_of_what_it_returned() -> None:
    (call,) = only_calls(
        f'12 openat(AT_FDCWD<{hexed("/tmp")}>, "{hexed("a, b")}", O_RDONLY|O_CLOEXEC) = 3<{hexed("/tmp/a, b")}>'
    )
    assert (call.thread, call.name, call.result, call.error) == (12, "openat", 3, "")
    assert descriptor(call.arguments[0]) == (None, b"/tmp")
    assert string(call.arguments[1]) == b"a, b"
    assert call.path == b"/tmp/a, b"


def test_a_failed_call_has_the_name_of_its_error() -> None:
    (call,) = only_calls(f'12 access("{hexed("/x")}", R_OK) = -1 ENOENT (No such file or directory)')
    assert (call.result, call.error, call.path) == (-1, "ENOENT", None)


def test_two_halves_of_a_call_become_one_that_began_at_the_first() -> None:
    call, other = only_calls(
        "1 vfork( <unfinished ...>",
        f'2 execve("{hexed("/x")}", ["{hexed("x")}"], 0x7ffc /* 3 vars */) = 0',
        "1 <... vfork resumed>)                     = 2",
    )[::-1]
    assert (call.name, call.result, call.start, call.end) == ("vfork", 2, 1, 3)
    assert (other.name, other.start, other.end) == ("execve", 2, 2)


def test_an_execve_of_another_thread_returns_under_the_leaders_number() -> None:
    events = list(
        parse(
            [
                f'10 openat(AT_FDCWD<{hexed("/")}>, "{hexed("fifo")}", O_RDONLY <unfinished ...>',
                f'11 execve("{hexed("/x")}", ["{hexed("x")}"], 0x7ffc /* 3 vars */ <unfinished ...>',
                "10 <... openat resumed>)             = ?",
                "10 +++ superseded by execve in pid 11 +++",
                "10 <... execve resumed>)             = 0",
            ]
        )
    )
    assert [(type(one).__name__, one.thread) for one in events] == [("Call", 10), ("End", 11), ("Call", 10)]
    assert isinstance(events[0], Call)
    assert events[0].error == "?"
    assert isinstance(events[2], Call)
    assert (events[2].name, events[2].result) == ("execve", 0)


def test_a_thread_that_is_killed_ends_its_call_without_an_answer() -> None:
    call, end = parse([f'5 open("{hexed("p")}", O_RDONLY <unfinished ...>', "5 +++ killed by SIGKILL +++"])
    assert isinstance(call, Call)
    assert call.error == "?"
    assert isinstance(end, End)


def test_signals_are_no_calls() -> None:
    assert only_calls("5 --- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=6} ---") == []


def test_a_child_in_another_pid_namespace_has_the_number_that_strace_knows() -> None:
    (call,) = only_calls("5 clone(child_stack=NULL, flags=CLONE_NEWPID|SIGCHLD) = 1 /* 77 in strace's PID NS */")
    assert (call.result, call.translated) == (1, 77)


def test_a_structure_is_one_argument() -> None:
    assert split('3, {sa_family=AF_UNIX, sun_path="\\x2f"}, 110') == [
        "3",
        '{sa_family=AF_UNIX, sun_path="\\x2f"}',
        "110",
    ]
    assert split("") == []


@pytest.mark.parametrize("argument", ["NULL", "0x8", f'"{hexed("cut")}"...'])
def test_what_is_not_a_whole_string_is_none(argument: str) -> None:
    assert string(argument) is None


def test_any_byte_comes_through() -> None:
    assert string('"\\xff\\x0a\\x22\\x29"') == b'\xff\n")'


def test_what_makes_no_sense_is_told_with_its_line() -> None:
    with pytest.raises(ValueError, match="line 1 of the strace log"):
        list(parse(["strace: something went wrong"]))
