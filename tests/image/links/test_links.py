import ctypes
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snoop_image.links import MAXIMUM_LINKS, Directories, Lookup, resolve
from snoop_image.model import Entry, FileType


def directory(path: str) -> Entry:
    return Entry(path, FileType.DIRECTORY, 0o755)


def file(path: str) -> Entry:
    return Entry(path, FileType.FILE, 0o644)


def link(path: str, target: str) -> Entry:
    return Entry(path, FileType.SYMLINK, 0o777, target=target)


def tree(*entries: Entry) -> dict[str, Entry]:
    found = {"/": directory("/")}
    for entry in entries:
        at = entry.path.find("/", 1)
        while at > 0:
            found.setdefault(entry.path[:at], directory(entry.path[:at]))
            at = entry.path.find("/", at + 1)
        found[entry.path] = entry
    return found


def test_every_link_and_directory_on_the_way_is_told() -> None:
    entries = tree(link("/lib", "usr/lib"), link("/usr/lib/libz.so.1", "libz.so.1.2"), file("/usr/lib/libz.so.1.2"))
    found = resolve(entries, "/lib/libz.so.1")
    assert found.path == "/usr/lib/libz.so.1.2"
    assert found.links == ("/lib", "/usr/lib/libz.so.1")
    assert found.directories == ("/", "/usr", "/usr/lib")


def test_two_dots_go_up_from_where_a_link_leads() -> None:
    entries = tree(link("/a/link", "/deep/down"), directory("/deep/down"), file("/deep/x"), file("/a/x"))
    assert resolve(entries, "/a/link/../x").path == "/deep/x"


def test_two_dots_do_not_leave_the_root() -> None:
    assert resolve(tree(file("/etc/x"), link("/up", "../../../etc/x")), "/../up").path == "/etc/x"


def test_forty_links_are_followed_and_not_one_more() -> None:
    entries = tree(file("/0"), *(link(f"/{number}", str(number - 1)) for number in range(1, MAXIMUM_LINKS + 2)))
    assert resolve(entries, f"/{MAXIMUM_LINKS}").path == "/0"
    assert resolve(entries, f"/{MAXIMUM_LINKS + 1}").lookup is Lookup.LOOP


def test_a_link_to_itself_is_a_loop() -> None:
    assert resolve(tree(link("/a", "a")), "/a/b").lookup is Lookup.LOOP


def test_a_link_without_a_target_leads_nowhere() -> None:
    assert resolve(tree(link("/a", "")), "/a").lookup is Lookup.MISSING


def test_a_link_target_that_no_kernel_takes_is_too_long() -> None:
    assert resolve(tree(link("/a", "x/" * 3000)), "/a").lookup is Lookup.TOO_LONG


def test_an_image_without_anything_has_nothing() -> None:
    assert resolve({}, "/").lookup is Lookup.MISSING
    assert resolve({}, "/a/b").lookup is Lookup.MISSING


def test_an_own_path_keeps_its_last_link() -> None:
    entries = tree(link("/lib", "usr/lib"), link("/usr/lib/libz.so", "libz.so.1"), file("/usr/lib/libz.so.1"))
    directories = Directories(entries)
    assert directories.own("/lib/libz.so") == "/usr/lib/libz.so"
    assert directories.own("/lib") == "/lib"
    assert directories.own("/lib/") == "/usr/lib"
    assert directories.own("/") == "/"
    assert directories.own("/lib/none") is None
    assert directories.own("/usr/lib/libz.so.1/x") is None


# Against the kernel: openat2(2) with RESOLVE_IN_ROOT resolves as a process does whose root the folder is.

_NAMES = ["a", "b", "c"]
_SYS_OPENAT2 = 437
_RESOLVE_IN_ROOT = 0x10
_ERRORS = {errno.ENOENT: Lookup.MISSING, errno.ENOTDIR: Lookup.NOT_A_DIRECTORY, errno.ELOOP: Lookup.LOOP}
_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def _kernel(root: int, folder: str, path: str, follow: bool) -> tuple[Lookup, str]:
    how = _OpenHow(os.O_PATH | (0 if follow else os.O_NOFOLLOW), 0, _RESOLVE_IN_ROOT)
    opened = _libc.syscall(_SYS_OPENAT2, root, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how))
    if opened < 0:
        code = ctypes.get_errno()
        if code == errno.ENOSYS:
            pytest.skip("the kernel has no openat2")
        return _ERRORS[code], ""
    try:
        return Lookup.FOUND, str(Path(f"/proc/self/fd/{opened}").readlink())[len(folder) :] or "/"
    finally:
        os.close(opened)


_paths = st.builds(
    lambda absolute, parts, trailing: ("/" if absolute else "") + "/".join(parts) + trailing,
    st.booleans(),
    st.lists(st.sampled_from([*_NAMES, *_NAMES, "..", ".", ""]), min_size=1, max_size=5),
    st.sampled_from(["", "", "", "/"]),
).filter(lambda path: path != "")
_contents = st.lists(
    st.tuples(st.lists(st.sampled_from(_NAMES), min_size=1, max_size=3), st.one_of(st.none(), st.just(""), _paths)),
    max_size=8,
)


def _build(folder: str, contents: list[tuple[list[str], str | None]]) -> Iterator[Entry]:
    """Make what can be made; None makes a directory, an empty text a file, any other a link."""
    yield directory("/")
    for parts, what in contents:
        path = "/" + "/".join(parts)
        place = Path(folder + path)
        if os.path.realpath(place.parent) != str(place.parent) or not place.parent.is_dir() or os.path.lexists(place):
            continue
        if what is None:
            place.mkdir()
            yield directory(path)
        elif what == "":
            place.touch()
            yield file(path)
        else:
            place.symlink_to(what)
            # pathlib tidies a target.
            yield link(path, str(place.readlink()))


@given(contents=_contents, paths=st.lists(_paths, min_size=1, max_size=5), follow=st.booleans())
@settings(deadline=None)
def test_names_lead_where_the_kernel_says(
    contents: list[tuple[list[str], str | None]], paths: list[str], follow: bool
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = os.path.realpath(name)
        entries = {entry.path: entry for entry in _build(folder, contents)}
        root = os.open(folder, os.O_PATH)
        try:
            for path in (f"/{path}" for path in paths):
                found = resolve(entries, path, follow=follow)
                lookup, place = _kernel(root, folder, path, follow)
                assert found.lookup is lookup, path
                assert lookup is not Lookup.FOUND or found.path == place, path
        finally:
            os.close(root)
