"""What counts as missed and what as invented."""

from pathlib import Path

from tests.conformance import witness
from tests.conformance.compare import Difference, Reported, Told, compare
from tests.conformance.paths import join, physical, physical_parents, spellings
from tests.conformance.test_processes import tree
from tests.conformance.test_strace import hexed

OPEN = f'1 openat(AT_FDCWD<{hexed("/w")}>, "{hexed("link")}", O_RDONLY) = 3<{hexed("/w/real")}>'
SHELL = Told(b"/bin/sh", physical(b"/bin/sh"), "exists", frozenset(["execute"]), collapsed=False)


def told(path: str, target: str = "", outcome: str = "exists", kinds: str = "read") -> Told:
    return Told(path.encode(), target.encode(), outcome, frozenset(kinds.split()), collapsed=False)


def difference(
    lines: list[str],
    *observations: Told,
    gaps: dict[str, str] | None = None,
    excluded: tuple[bytes, ...] = (),
    declared: tuple[str, ...] = (),
) -> Difference:
    account = witness.account(tree(*lines))
    account.opened.clear()  # the shell's own interpreter
    report = Reported([SHELL, *observations], 1, 0, gaps or {}, set(), "syscalls")
    return compare(report, account, excluded, declared)


def test_what_is_told_as_it_was_seen_is_alike() -> None:
    assert difference([OPEN], told("/w/link", "/w/real")) == Difference()


def test_a_name_that_is_not_told_is_missed() -> None:
    assert "/w/link" in difference([OPEN]).missed[0]


def test_a_target_that_is_not_told_is_missed() -> None:
    assert "target /w/real of /w/link" in difference([OPEN], told("/w/link")).missed[0]


def test_a_kind_that_is_not_told_is_missed() -> None:
    assert "read of /w/link" in difference([OPEN], told("/w/link", "/w/real", kinds="stat")).missed[0]


def test_a_name_that_nobody_asked_for_is_invented() -> None:
    found = difference([OPEN], told("/w/link", "/w/real"), told("/w/other"))
    assert found.missed == []
    assert "nobody asked for it" in found.invented[0]


def test_an_answer_that_the_kernel_did_not_give_is_invented() -> None:
    found = difference([OPEN], told("/w/link", "/w/real"), told("/w/link", outcome="missing"))
    assert "the kernel said exists" in found.invented[0]


def test_a_target_that_it_did_not_lead_to_is_invented() -> None:
    found = difference([OPEN], told("/w/link", "/w/real"), told("/w/link", "/w/wrong"))
    assert "it did not lead there" in found.invented[0]


def test_missing_and_denied_are_not_the_same() -> None:
    denied = f'1 stat("{hexed("/closed/x")}", 0x7ffc) = -1 EACCES (Permission denied)'
    assert difference([denied], told("/closed/x", outcome="denied", kinds="stat")) == Difference()
    found = difference([denied], told("/closed/x", outcome="missing", kinds="stat"))
    assert (len(found.missed), len(found.invented)) == (1, 1)


def test_a_listed_directory_has_to_be_told_as_listed() -> None:
    listing = f"1 getdents64(3<{hexed('/w/d')}>, 0x1 /* 2 entries */, 32768) = 48"
    assert "list of /w/d" in difference([listing], told("/w/d", "/w/d")).missed[0]
    assert difference([listing], told("/w/d", "/w/d", kinds="list")) == Difference()


def test_what_is_excluded_is_not_asked_for_but_what_it_leads_to_is() -> None:
    opened = f'1 open("{hexed("/proc/self/exe")}", O_RDONLY) = 3<{hexed("/usr/bin/x")}>'
    assert "of the excluded" in difference([opened], excluded=(b"/proc/",)).missed[0]
    assert difference([opened], told("/usr/bin/x", "/usr/bin/x"), excluded=(b"/proc/",)) == Difference()


def test_a_gap_has_to_be_declared_and_a_declared_one_told() -> None:
    assert difference([], gaps={"records_lost": "some"}).invented == ["gap records_lost: some"]
    assert difference([], declared=("path_truncated",)).missed == ["gap path_truncated"]
    assert difference([], gaps={"path_truncated": "some"}, declared=("path_truncated",)) == Difference()


def test_parents_of_links_are_where_the_links_lead(tmp_path: Path) -> None:
    (tmp_path / "real/deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real/deep")
    top = bytes(tmp_path)
    assert physical_parents(top + b"/link/../x") == top + b"/real/x"
    assert spellings(top + b"/link/../x") == {top + b"/link/../x", top + b"/real/x"}
    assert physical(top + b"/link/../../link/y") == top + b"/real/deep/y"


def test_names_start_where_their_process_does() -> None:
    assert join(b"a//./b/", b"/w", b"/r") == b"/w/a/b"
    assert join(b"/a", b"/w", b"/r") == b"/r/a"
    assert physical(b"/r/../../etc", b"/r") == b"/r/etc"
