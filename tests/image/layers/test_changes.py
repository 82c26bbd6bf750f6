"""What a layer changes in those below it."""

import itertools
import tarfile
from typing import Any

import pytest

from snoop_image.model import ImageError


def test_a_whiteout_removes_what_lower_layers_have_there_and_below(make: Any, read: Any, shown: Any) -> None:
    lower = make.tar(make.file("keep", b"1"), make.folder("d"), make.file("d/x", b"2"), make.file("file", b"3"))

    found = read(lower, make.tar(make.gone("d"), make.gone("file"), make.gone("never-there")))

    assert shown(found) == {"/keep": "f0:1"}


def test_the_order_within_a_layer_does_not_matter(make: Any, read: Any, shown: Any) -> None:
    lower = make.tar(make.folder("d"), make.file("d/old", b"1"), make.file("x", b"1"), make.file("d/both", b"1"))
    members = [make.opaque("d"), make.file("d/new", b"22"), make.gone("x"), make.file("x", b"22")]
    expected = {"/d": "d0", "/d/new": "f1:2", "/x": "f1:2"}

    for order in itertools.permutations(members):
        assert shown(read(lower, make.tar(*order))) == expected


def test_a_whiteout_does_not_reach_above_its_layer(make: Any, read: Any, shown: Any) -> None:
    layers = [make.tar(make.file("x", b"1")), make.tar(make.gone("x")), make.tar(make.file("x", b"22"))]

    assert shown(read(*layers)) == {"/x": "f2:2"}


def test_overlayfs_own_whiteouts_count_as_well(make: Any, read: Any, shown: Any) -> None:
    lower = make.tar(make.file("x", b"1"), make.folder("d"), make.file("d/old", b"1"))
    opaque = make.folder("d", pax_headers={"SCHILY.xattr.trusted.overlay.opaque": "y"})

    found = read(lower, make.tar(make.device("x", 0, 0), opaque, make.file("d/new", b"1")))

    assert shown(found) == {"/d": "d0", "/d/new": "f1:1"}
    assert found.entries["/d"].attributes == ()


def test_aufs_book_keeping_is_in_no_file_system(make: Any, read: Any, shown: Any) -> None:
    members = [make.folder(".wh..wh.plnk"), make.file(".wh..wh.plnk/12.34", b"x"), make.file(".wh..wh.aufs")]

    found = read(make.tar(*members, make.file("x", b"1")))

    assert "/x" in shown(found)
    assert not any(".wh..wh.aufs" in path for path in found.entries)


@pytest.mark.parametrize("name", [".wh.", "d/.wh..", "d/.wh..."])
def test_a_whiteout_that_names_nothing_is_refused(make: Any, read: Any, name: str) -> None:
    with pytest.raises(ImageError, match="names nothing"):
        read(make.tar(make.file(name)))


def test_a_directory_becomes_a_file_and_a_file_a_directory(make: Any, read: Any, shown: Any) -> None:
    lower = make.tar(make.folder("a"), make.file("a/x", b"1"), make.file("b", b"1"))

    found = read(lower, make.tar(make.file("a", b"22"), make.folder("b"), make.file("b/y", b"22")))

    assert shown(found) == {"/a": "f1:2", "/b": "d1", "/b/y": "f1:2"}


def test_whiteouts_below_what_became_a_file_say_nothing_new(make: Any, read: Any, shown: Any) -> None:
    # umoci writes one for each name of the directory that went.
    lower = make.tar(make.folder("d"), make.file("d/x", b"1"), make.file("d/y", b"1"))

    found = read(lower, make.tar(make.gone("d/x"), make.file("d", b"22"), make.gone("d/y")))

    assert shown(found) == {"/d": "f1:2"}


def test_a_directory_belongs_to_the_layer_that_last_changed_it(make: Any, read: Any) -> None:
    lower = make.tar(make.folder("same"), make.folder("changed"), make.folder("implied", mode=0o700))

    found = read(lower, make.tar(make.folder("same"), make.folder("changed", mode=0o700), make.file("implied/y")))

    assert [found.entries[path].layer for path in ("/same", "/changed", "/implied")] == [0, 1, 0]
    assert [found.entries[path].mode for path in ("/changed", "/implied")] == [0o700, 0o700]


def test_a_symlink_of_the_same_layer_is_followed_and_stays_inside(make: Any, read: Any, shown: Any) -> None:
    links = [make.symlink("lib", "usr/lib"), make.symlink("up", "../../../srv"), make.symlink("far", "/opt/far")]
    links.append(make.symlink("a/b/beside", "../c"))

    found = read(
        make.tar(
            *links,
            make.file("lib/x", b"1"),
            make.file("up/y", b"1"),
            make.file("far/z", b"1"),
            make.file("a/b/beside/w", b"1"),
        )
    )

    paths = {path for path, kind in shown(found).items() if kind.startswith("f")}
    assert paths == {"/usr/lib/x", "/srv/y", "/opt/far/z", "/a/c/w"}
    assert found.entries["/opt/far"].mode == 0o755


def test_a_symlink_of_a_lower_layer_is_hidden_as_on_overlayfs(make: Any, read: Any, shown: Any) -> None:
    lower = make.tar(make.folder("usr/lib"), make.file("usr/lib/x", b"1"), make.symlink("lib", "usr/lib"))

    found = read(lower, make.tar(make.file("lib/y", b"22")))

    assert shown(found) == {"/lib": "d1", "/lib/y": "f1:2", "/usr": "d0", "/usr/lib": "d0", "/usr/lib/x": "f0:1"}
    (note,) = found.notes
    assert "below /lib, a symlink of a lower layer" in note


def test_a_loop_of_symlinks_is_refused(make: Any, read: Any) -> None:
    with pytest.raises(ImageError, match="circles"):
        read(make.tar(make.symlink("a", "b"), make.symlink("b", "a"), make.file("a/x")))


def test_a_name_below_a_file_is_refused(make: Any, read: Any) -> None:
    with pytest.raises(ImageError, match="below '/a', which is a file"):
        read(make.tar(make.file("a", b"1"), make.file("a/x")))


def test_the_last_of_two_members_counts(make: Any, read: Any, shown: Any) -> None:
    members = [
        make.file("x", b"1"),
        make.folder("d"),
        make.file("d/y", b"1"),
        make.file("x", b"22"),
        make.file("d", b"3"),
    ]

    assert shown(read(make.tar(*members))) == {"/x": "f0:2", "/d": "f0:1"}


def test_what_was_read_of_a_file_goes_with_it(make: Any, read: Any) -> None:
    lower = make.tar(
        make.file("run", b"#!/bin/sh -e\n", mode=0o755),
        make.file("lib.so", b"\x7fELF\x02....name"),
        make.file("etc/known", b"content"),
        make.file("d/run", b"#!/bin/sh\n", mode=0o755),
    )
    wanted = ["/etc/known"]
    assert read(lower, wanted=wanted).scripts == {"/run": "/bin/sh -e", "/d/run": "/bin/sh"}
    assert read(lower, wanted=wanted).elf["/lib.so"].soname == "name"
    assert read(lower, wanted=wanted).contents == {"/etc/known": b"content"}

    found = read(
        lower, make.tar(make.file("run"), make.gone("lib.so"), make.gone("etc"), make.gone("d")), wanted=wanted
    )

    assert (found.scripts, found.elf, found.contents) == ({}, {}, {})


class TestHardLinks:
    def test_share_a_number_and_their_content(self, make: Any, read: Any) -> None:
        found = read(make.tar(make.file("a", b"#!x\n", mode=0o755), make.hardlink("b", "a"), make.file("c", b"1")))

        a, b, c = (found.entries[path] for path in ("/a", "/b", "/c"))
        assert a.link == b.link == 1
        assert (b.size, b.mode, c.link) == (4, 0o755, 0)
        assert found.scripts == {"/a": "x", "/b": "x"}

    def test_may_lead_to_a_lower_layer_s_file_even_one_that_goes(self, make: Any, read: Any) -> None:
        lower = make.tar(make.file("a", b"123"), make.file("k", b"12345"))

        found = read(lower, make.tar(make.gone("a"), make.hardlink("b", "a"), make.hardlink("l", "./k")))

        assert (found.entries["/b"].size, found.entries["/b"].layer, found.entries["/b"].link) == (3, 1, 0)
        assert found.entries["/k"].link == found.entries["/l"].link != 0

    def test_end_when_a_later_layer_renews_a_name(self, make: Any, read: Any) -> None:
        lower = make.tar(make.file("a", b"1"), make.hardlink("b", "a"), make.file("c", b"1"), make.hardlink("d", "c"))

        found = read(lower, make.tar(make.file("b", b"22")))

        assert [found.entries[path].link for path in ("/a", "/b", "/c", "/d")] == [0, 0, 1, 1]

    def test_may_lead_to_a_symlink(self, make: Any, read: Any) -> None:
        found = read(make.tar(make.symlink("a", "x"), make.hardlink("b", "a")))

        assert found.entries["/b"].target == "x"
        assert found.entries["/a"].link == found.entries["/b"].link != 0

    @pytest.mark.parametrize("target", ["nowhere", "d"])
    def test_to_nothing_or_a_directory_are_refused(self, make: Any, read: Any, target: str) -> None:
        with pytest.raises(ImageError, match="the hard link '/x' leads to"):
            read(make.tar(make.folder("d"), make.hardlink("x", target)))


class TestWhatIsWantedUnderAnotherName:
    def test_is_read_in_a_second_pass(self, make: Any, read: Any) -> None:
        hard = make.tar(make.file("store/1", b"databases"), make.hardlink("var/db", "store/1"))
        soft = make.tar(make.file("usr/lib/os", b"debian"), make.symlink("etc/os", "../usr/lib/os"))

        found = read(hard, soft, wanted=["/var/db", "/etc/os"])

        assert found.contents == {"/var/db": b"databases", "/etc/os": b"debian"}

    def test_and_was_read_already_costs_none(self, make: Any, read: Any) -> None:
        layer = make.tar(make.file("usr/lib/os", b"debian"), make.symlink("etc/os", "../usr/lib/os"))
        done: list[int] = []

        found = read(layer, wanted=["/usr/lib/os", "/etc/os"], progress=lambda words, at, total: done.append(at))

        assert found.contents["/etc/os"] == b"debian"
        assert done[-1] == len(layer)


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_and_pipes_are_names_without_bytes(make: Any, read: Any, kind: bytes) -> None:
    entry = read(make.tar(make.device("dev/x", 1, 3, kind))).entries["/dev/x"]

    assert (str(entry.type), entry.size) == (
        {tarfile.CHRTYPE: "character", tarfile.BLKTYPE: "block", tarfile.FIFOTYPE: "fifo"}[kind],
        0,
    )


def test_extended_attributes_are_told_by_name(make: Any, read: Any) -> None:
    pax = {"SCHILY.xattr.security.capability": "\x01", "SCHILY.xattr.user.a": "b", "comment": "no"}

    assert read(make.tar(make.file("ping", pax_headers=pax))).entries["/ping"].attributes == (
        "security.capability",
        "user.a",
    )


def test_an_image_without_layers_has_a_root(read: Any) -> None:
    assert list(read().entries) == ["/"]


def test_progress_tells_layer_and_bytes(make: Any, read: Any) -> None:
    seen: list[tuple[str, int, int]] = []

    read(make.tar(make.file("a", b"x" * 9000)), make.tar(), progress=lambda *told: seen.append(told))

    assert {words for words, _, _ in seen} == {"layer 1 of 2", "layer 2 of 2"}
    assert [at for _, at, _ in seen] == sorted(at for _, at, _ in seen)
