import errno
from typing import Any

import pytest

from snoop_agent import wire
from snoop_agent.sightings import interpret, outcome_of
from snoop_report.model import GapCode, Outcome

DEFAULT = (b"/proc/", b"/sys/", b"/dev/")


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (0, Outcome.EXISTS),
        (-errno.ENOENT, Outcome.MISSING),
        (-errno.ENOTDIR, Outcome.FAILED),
        (-errno.EACCES, Outcome.DENIED),
        (-errno.EPERM, Outcome.DENIED),
        (-errno.EMFILE, Outcome.FAILED),
        (-errno.ELOOP, Outcome.EXISTS),
        (-errno.EXDEV, Outcome.EXISTS),
    ],
)
def test_the_kernels_answer_tells_missing_from_denied_from_failed(error: int, outcome: Outcome) -> None:
    assert outcome_of(error) is outcome


@pytest.mark.parametrize(
    ("asked", "base", "path"),
    [
        (b"/etc//./passwd", b"/", b"/etc/passwd"),
        (b"../conf.d//./x.conf", b"/etc/nginx", b"/etc/conf.d/x.conf"),
        (b"/etc/passwd", b"/jail", b"/jail/etc/passwd"),
        (b"../../../x", b"/a", b"/x"),
        (b"/tmp/\xff\n", b"/", b"/tmp/\xff\n"),
    ],
)
def test_the_asked_path_is_the_containers_own(event: Any, asked: bytes, base: bytes, path: bytes) -> None:
    seen = interpret(event(asked, base=base, target=b"/elsewhere"))

    assert (seen.path, seen.target) == (path, b"/elsewhere")


def test_a_name_alone_has_no_target(event: Any) -> None:
    seen = interpret(event("/etc/hosts", kinds=wire.STAT, flags=0, target=b""))

    assert (seen.path, seen.target, seen.outcome) == (b"/etc/hosts", b"", Outcome.EXISTS)


def test_what_no_process_named_goes_by_what_it_is(event: Any) -> None:
    """ld.so is mapped by the kernel, a directory is listed by its descriptor."""
    flags = wire.RESOLVED | wire.INTERPRETER
    seen = interpret(event(b"", base=b"", kinds=wire.EXECUTE, flags=flags, target=b"/lib/ld.so"))

    assert (seen.path, seen.target, seen.gaps) == (b"/lib/ld.so", b"/lib/ld.so", ())


def test_what_is_deleted_or_outside_is_no_path_of_the_image(event: Any) -> None:
    deleted = interpret(event("/tmp/x", target=b"/tmp/x", flags=wire.RESOLVED | wire.DELETED))
    outside = interpret(event("/mnt/x", target=b"/host/x", flags=wire.RESOLVED | wire.OUTSIDE))

    assert (deleted.path, deleted.collapsed) == (b"/tmp/x", True)
    assert (outside.path, outside.target, outside.collapsed) == (b"/mnt/x", b"", True)


def test_a_path_below_a_base_that_is_outside_is_not_invented(event: Any) -> None:
    resolved = interpret(event("x", base=b"/srv", target=b"/etc/x", flags=wire.RESOLVED | wire.BASE_OUTSIDE))
    unknown = interpret(event("x", base=b"/srv", target=b"", flags=wire.BASE_OUTSIDE))
    missing = interpret(event("x", base=b"/srv", flags=wire.BASE_OUTSIDE, error=-errno.ENOENT))

    assert (resolved.path, resolved.gaps) == (b"/etc/x", ())
    assert (unknown.path, unknown.gaps) == (b"", (GapCode.BLIND_SPOT,))
    assert (missing.path, missing.gaps) == (b"", ())


def test_an_unreadable_name_is_a_gap_only_if_something_was_used(event: Any) -> None:
    used = interpret(event(b"", flags=wire.RESOLVED | wire.ASKED_UNREADABLE, target=b"/etc/x"))
    failed = interpret(event(b"", flags=wire.ASKED_UNREADABLE, error=-errno.EFAULT))

    assert (used.path, used.gaps) == (b"/etc/x", (GapCode.PATH_UNREADABLE,))
    assert (failed.path, failed.gaps) == (b"", ())


@pytest.mark.parametrize(
    ("changes", "path", "target"),
    [
        ({"asked": b"/" + b"a" * 4094, "target": b"/short"}, b"/short", b"/short"),
        ({"asked": b"/short", "target": b"/cut" + b"/a" * 1950}, b"/short", b""),
        ({"asked": b"x", "base": b"/cut" + b"/a" * 1950, "target": b"/short"}, b"/short", b"/short"),
        ({"asked": b"/short", "target": b"/a" * 1910}, b"/short", b""),
        ({"asked": b"/short", "executable": b"/cut" + b"/a" * 1950}, b"/short", b"/short"),
    ],
)
def test_of_a_truncated_record_only_whole_strings_are_believed(
    event: Any, changes: dict[str, bytes], path: bytes, target: bytes
) -> None:
    seen = interpret(event(**changes, flags=wire.RESOLVED | wire.TRUNCATED))

    assert (seen.path, seen.target) == (path, target)
    assert seen.gaps == (GapCode.PATH_TRUNCATED,)
    assert len(seen.executable) < 100


def test_a_truncated_name_that_led_nowhere_is_no_gap(event: Any) -> None:
    seen = interpret(event(b"/" + b"a" * 4094, flags=wire.TRUNCATED, error=-errno.ENAMETOOLONG))

    assert (seen.path, seen.gaps) == (b"", ())


@pytest.mark.parametrize(
    ("asked", "target", "path", "resolved"),
    [
        ("/proc/self/exe", b"/usr/bin/python3", b"/usr/bin/python3", b"/usr/bin/python3"),
        ("/etc/mtab", b"/proc/7/mounts", b"/etc/mtab", b""),
        ("/dev/null", b"/dev/null", b"", b""),
        ("/proc/1/maps", b"", b"", b""),
        ("/process", b"/process", b"/process", b"/process"),
    ],
)
def test_if_one_of_two_paths_is_excluded_the_other_one_is_recorded(
    event: Any, asked: str, target: bytes, path: bytes, resolved: bytes
) -> None:
    seen = interpret(event(asked, target=target, flags=wire.RESOLVED if target else 0), DEFAULT)

    assert (seen.path, seen.target, seen.gaps) == (path, resolved, ())


def test_a_missing_name_of_two_may_be_the_other_one(event: Any) -> None:
    assert interpret(event(b"/a", error=-errno.ENOENT, flags=wire.EITHER)).outcome is Outcome.FAILED
    assert interpret(event(b"/a", error=-errno.ENOENT)).outcome is Outcome.MISSING


@pytest.mark.parametrize(
    ("asked", "base", "unfolded"),
    [
        (b"/lib/../share/x", b"/", b"/lib/../share/x"),
        (b"/lib//./../share/x", b"/", b"/lib/../share/x"),
        (b"lib/../x", b"/usr", b"/usr/lib/../x"),
        (b"../lib/../x", b"/usr/bin", b"/usr/lib/../x"),
        (b"/lib/../x", b"/jail", b"/jail/lib/../x"),
        (b"../../x", b"/usr/bin", b"/x"),
        (b"/../x", b"/", b"/x"),
        (b"/lib/./x//", b"/", b"/lib/x"),
    ],
)
def test_a_name_that_climbs_out_of_what_may_be_a_link_is_told_unfolded(
    event: Any, asked: bytes, base: bytes, unfolded: bytes
) -> None:
    seen = interpret(event(asked, base=base, kinds=wire.STAT, target=b"", flags=0))
    assert (seen.path, seen.target) == (unfolded, b"")
    assert interpret(event(asked, base=base, target=b"/t", kinds=wire.READ)).path == unfolded
    assert interpret(event(asked, base=base, kinds=wire.STAT, error=-errno.ENOENT)).path == unfolded


def test_what_is_excluded_goes_by_every_reading_of_the_name(event: Any) -> None:
    assert interpret(event(b"/proc/../etc/x", target=b"", flags=0), DEFAULT).path == b"/proc/../etc/x"
    # /x may be a link to a directory that has a proc of its own.
    assert interpret(event(b"/x/../proc/stat", target=b"", flags=0), DEFAULT).path == b"/x/../proc/stat"
    assert interpret(event(b"/proc/../proc/stat", target=b"", flags=0), DEFAULT).path == b""


def test_a_name_below_the_processs_own_root_is_its_own(event: Any) -> None:
    assert (
        interpret(event(b"/proc/self/root/etc/passwd", kinds=wire.STAT, target=b"", flags=0), DEFAULT).path
        == b"/etc/passwd"
    )
    assert interpret(event(b"/proc/thread-self/root/etc/x", base=b"/jail", target=b"", flags=0)).path == b"/jail/etc/x"


@pytest.mark.parametrize("asked", [b"/proc/self/cwd/x", b"/proc/7/root/etc/x", b"/proc/self/fd/3/x", b"/dev/fd/3/x"])
def test_an_excluded_name_that_leads_to_one_that_is_not_is_a_gap(event: Any, asked: bytes) -> None:
    assert interpret(event(asked, kinds=wire.STAT, target=b"", flags=0), DEFAULT).gaps == (GapCode.BLIND_SPOT,)
    assert interpret(event(asked, target=b"/x", kinds=wire.READ), DEFAULT).gaps == ()
    assert interpret(event(asked, error=-errno.ENOENT, kinds=wire.STAT), DEFAULT).gaps == ()


@pytest.mark.parametrize("asked", [b"/proc/self/fd/3", b"/proc/self/status", b"/proc/self/cwd", b"/dev/null"])
def test_an_excluded_name_of_its_own_is_no_gap(event: Any, asked: bytes) -> None:
    assert interpret(event(asked, kinds=wire.STAT, target=b"", flags=0), DEFAULT) == interpret(
        event(asked, kinds=wire.STAT, target=b"", flags=0), (b"/",)
    )
