import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.image.closure.images import deb, image, inventory, library, program
from tests.image.verdict.reports import pod, seen

from snoop_image.links import resolve
from snoop_image.model import Entry, FileType, ImageConfig, ImageError, Inventory, Layer, Package, PackageKind
from snoop_image.packageuse import PackageUse
from snoop_image.protected import Protection
from snoop_image.verdict import Judgement, Verdict, analyze
from snoop_report.model import Gap, GapCode, Kind, Outcome, Report

LIB = "/usr/lib/x86_64-linux-gnu"


def codes(judgement: Judgement, path: str) -> list[str]:
    return [reason.code.value for reason in judgement.reasons(path)]


def uses(judgement: Judgement) -> dict[str, PackageUse]:
    return {one.package.name: one.use for one in judgement.packages}


def test_each_file_has_its_verdict_and_the_reason() -> None:
    made = image(
        "/usr/share/doc/x",
        "/etc/passwd",
        elf={"/app": program("libz.so.1"), f"{LIB}/libz.so.1": library()},
    )
    judged = analyze([pod(seen("/app", "/app"))], made)
    assert {
        path: judged.verdicts[path] for path in ("/app", f"{LIB}/libz.so.1", "/etc/passwd", "/usr/share/doc/x")
    } == {
        "/app": Verdict.USED,
        f"{LIB}/libz.so.1": Verdict.NEEDED,
        "/etc/passwd": Verdict.PROTECTED,
        "/usr/share/doc/x": Verdict.UNUSED,
    }
    assert codes(judged, "/app") == ["observed"]
    assert codes(judged, f"{LIB}/libz.so.1") == ["library"]
    assert codes(judged, "/etc/passwd") == ["accounts"]
    (reason,) = judged.reasons("/usr/share/doc/x")
    assert reason.words == "not seen in use in 1 pod over 3 days"


def test_on_incomplete_evidence_nothing_is_called_unused() -> None:
    gap = Gap(GapCode.LATE_START, "late", 1.0)
    judged = analyze([pod(seen("/a"), gaps=[gap])], image("/a", "/b/c"))
    assert Verdict.UNUSED not in judged.verdicts.values()
    assert judged.verdicts["/b/c"] is Verdict.UNKNOWN
    assert codes(judged, "/b/c") == ["incomplete"]
    assert "late_start" in judged.grade.words
    assert {entry.path for entry in judged.kept()} == {"/", "/a", "/b", "/b/c"}


def test_what_was_not_recorded_is_unknown_and_holds_its_directories() -> None:
    judged = analyze([pod(seen("/a"), exclude=("/x/y/",))], image("/a", "/x/y/z", "/x/other"))
    assert judged.verdicts["/x/y/z"] is judged.verdicts["/x/y"] is judged.verdicts["/x"] is Verdict.UNKNOWN
    assert judged.verdicts["/x/other"] is Verdict.UNUSED
    assert codes(judged, "/x/y/z") == ["excluded"]


def test_directories_stay_for_what_they_hold_or_if_they_are_empty() -> None:
    judged = analyze([pod(seen("/a/b/c"))], image("/a/b/c", "/d/e", directories=("/f/g",)))
    assert {path: judged.verdicts[path] for path in ("/a", "/a/b", "/d", "/f", "/f/g")} == {
        "/a": Verdict.NEEDED,
        "/a/b": Verdict.NEEDED,
        "/d": Verdict.UNUSED,
        "/f": Verdict.NEEDED,
        "/f/g": Verdict.NEEDED,
    }
    assert codes(judged, "/f/g") == ["empty_directory"]
    assert codes(judged, "/a") == ["directory"]


def test_a_listed_directory_is_told_with_what_is_unused_in_it() -> None:
    judged = analyze([pod(seen("/d", "/d", kinds=(Kind.LIST,)))], image("/d/x"))
    assert judged.verdicts["/d/x"] is Verdict.UNUSED
    assert codes(judged, "/d/x") == ["not_seen", "listed"]


def test_the_bytes_of_a_hard_linked_file_count_once_and_stay_with_a_used_name() -> None:
    names = [Entry(path, FileType.FILE, 0o644, size=70, link=1) for path in ("/a", "/b", "/c")]
    judged = analyze([pod(seen("/b"))], inventory(names))
    assert (judged.verdicts["/a"], judged.verdicts["/b"]) == (Verdict.UNUSED, Verdict.USED)
    counts = judged.totals.counts.by_verdict
    assert (counts["used"].files, counts["used"].bytes) == (1, 70)
    assert (counts["unused"].files, counts["unused"].bytes) == (2, 0)


def test_bytes_are_net_of_layers_that_other_images_share() -> None:
    made = inventory(
        [
            Entry("/base/a", FileType.FILE, 0o644, size=100, layer=0),
            Entry("/base/b", FileType.FILE, 0o644, size=10, layer=0),
            Entry("/app/c", FileType.FILE, 0o644, size=1000, layer=1),
            Entry("/app/d", FileType.FILE, 0o644, size=3, layer=1),
        ]
    )
    made.layers = [Layer("sha256:base"), Layer("sha256:app")]
    judged = analyze([pod(seen("/base/b"), seen("/app/d"))], made, shared=["sha256:base"])
    totals = judged.totals
    assert (totals.unused, totals.net) == (1100, 1000)
    # The two kept files (13 bytes) would come on top of the base that stays.
    assert totals.net_flattened == 1003 - 13
    assert {top: counts.of("unused").bytes for top, counts in totals.directories.items()} == {
        "/base": 100,
        "/app": 1000,
    }
    assert [(one.shared, one.counts.kept.bytes) for one in totals.layers] == [(True, 10), (False, 3)]


def test_the_entrypoint_stays_with_what_it_needs_and_data_brings_nothing_in() -> None:
    made = image(
        "/bin/dash",
        "/usr/bin/perl",
        scripts={"/entry.sh": "/bin/sh", "/var/lib/dpkg/info/x.postinst": "/usr/bin/perl"},
        links={"/bin/sh": "dash"},
        config=ImageConfig(entrypoint=("entry.sh",), environment=("PATH=/",), command=("sh", "-c", "perl -v")),
    )
    judged = analyze([pod(seen("/none"))], made)
    assert judged.verdicts["/entry.sh"] is Verdict.PROTECTED
    assert judged.verdicts["/bin/dash"] is Verdict.NEEDED
    assert judged.verdicts["/usr/bin/perl"] is Verdict.UNUSED
    assert judged.verdicts["/var/lib/dpkg/info/x.postinst"] is Verdict.PROTECTED


def test_protected_links_stay_with_what_they_lead_to() -> None:
    made = image("/usr/share/zoneinfo/Europe/Oslo", links={"/etc/localtime": "../usr/share/zoneinfo/Europe/Oslo"})
    judged = analyze([pod(seen("/none"))], made)
    assert judged.verdicts["/etc/localtime"] is Verdict.PROTECTED
    assert judged.verdicts["/usr/share/zoneinfo/Europe/Oslo"] is Verdict.PROTECTED


def test_a_protection_is_lifted_by_the_name_of_a_link_or_of_what_it_leads_to() -> None:
    made = image("/zones/Oslo", links={"/etc/localtime": "/zones/Oslo"})
    for pattern in ("/etc/localtime", "/zones"):
        judged = analyze([pod(seen("/none"))], made, protection=Protection(without=(pattern,)))
        assert judged.verdicts["/etc/localtime"] is judged.verdicts["/zones/Oslo"] is Verdict.UNUSED


def test_a_person_protects_more_and_lifts_protection() -> None:
    made = image("/opt/x/y", "/etc/passwd", f"{LIB}/gconv/A.so", f"{LIB}/gconv/gconv-modules.cache", "/p/q.md")
    report = pod(seen(f"{LIB}/gconv/gconv-modules.cache"))
    judged = analyze([report], made, protection=Protection(("/opt/x", "*.md"), ("/etc/passwd", f"{LIB}/gconv")))
    assert judged.verdicts["/opt/x/y"] is Verdict.PROTECTED
    assert judged.verdicts["/p/q.md"] is Verdict.PROTECTED
    assert judged.verdicts["/etc/passwd"] is Verdict.UNUSED
    assert judged.verdicts[f"{LIB}/gconv/A.so"] is Verdict.UNUSED
    assert judged.verdicts[f"{LIB}/gconv/gconv-modules.cache"] is Verdict.USED
    with pytest.raises(ImageError, match="choices"):
        analyze([report], made, protection=Protection(("{a,b}" * 20,)))


def test_packages_are_used_partly_used_needed_or_unused() -> None:
    packages = [
        deb("whole", "/w1"),
        deb("partly", "/p1", "/p2", requires=(("virtual", "other"),)),
        deb("provider", "/v1", provides=("virtual",), requires=(("deeper",),)),
        deb("deeper", "/v2"),
        deb("library", f"{LIB}/libz.so.1"),
        deb("core", "/core", essential=True),
        deb("idle", "/idle", requires=(("whole",),)),
        deb("listless", files_known=False, requires=(("its-own",),)),
        deb("its-own", "/own"),
        deb("meta"),
    ]
    made = image(
        "/w1",
        "/p2",
        "/v1",
        "/v2",
        "/core",
        "/idle",
        "/own",
        elf={"/p1": program("libz.so.1"), f"{LIB}/libz.so.1": library()},
        packages=packages,
    )
    judged = analyze([pod(seen("/w1"), seen("/p1"))], made)
    assert uses(judged) == {
        "whole": PackageUse.USED,
        "partly": PackageUse.PARTLY_USED,
        "provider": PackageUse.NEEDED,
        "deeper": PackageUse.NEEDED,
        "library": PackageUse.NEEDED,
        "core": PackageUse.NEEDED,
        "idle": PackageUse.UNUSED,
        "listless": PackageUse.UNKNOWN,
        "its-own": PackageUse.NEEDED,
        "meta": PackageUse.UNUSED,
    }
    words = {one.package.name: one.words for one in judged.packages}
    assert words["deeper"] == "required by provider"
    # Needed as a package; its file was not seen all the same.
    assert judged.verdicts["/v2"] is Verdict.UNUSED
    (partly,) = [one for one in judged.packages if one.package.name == "partly"]
    assert (partly.files, partly.unused_files, partly.bytes, partly.unused_bytes) == (2, 1, 200, 100)


def test_a_package_of_unknown_files_that_is_required_is_needed() -> None:
    packages = [deb("listless", files_known=False), deb("app", "/app", requires=(("listless",),))]
    judged = analyze([pod(seen("/app"))], image("/app", packages=packages))
    assert uses(judged)["listless"] is PackageUse.NEEDED


def test_on_incomplete_evidence_no_package_is_unused() -> None:
    made = image("/a", "/b", packages=[deb("a", "/a"), deb("b", "/b"), deb("meta")])
    judged = analyze([pod(seen("/a"), gaps=[Gap(GapCode.RECORDS_LOST, "lost", 1.0)])], made)
    assert uses(judged) == {"a": PackageUse.USED, "b": PackageUse.UNKNOWN, "meta": PackageUse.UNKNOWN}


def test_a_package_that_stays_keeps_its_copyright_configuration_and_metadata() -> None:
    module = Package(
        PackageKind.PYTHON,
        "mod",
        "1",
        files=("/p/mod/a.py", "/p/mod-1.dist-info/RECORD"),
        database="/p/mod-1.dist-info/METADATA",
    )
    made = image(
        "/bin/x",
        "/etc/x.conf",
        "/bin/y",
        "/etc/y.conf",
        "/usr/share/doc/common/copyright",
        "/usr/share/doc/y/copyright",
        "/p/mod/a.py",
        "/p/mod-1.dist-info/METADATA",
        "/p/mod-1.dist-info/RECORD",
        links={"/usr/share/doc/x": "common"},
        packages=[
            deb("x", "/bin/x", "/etc/x.conf", configuration=("/etc/x.conf",)),
            deb("y", "/bin/y", "/etc/y.conf", configuration=("/etc/y.conf",)),
            module,
        ],
    )
    judged = analyze([pod(seen("/bin/x"), seen("/p/mod/a.py"))], made)
    kept = ("/etc/x.conf", "/usr/share/doc/x", "/usr/share/doc/common/copyright", "/p/mod-1.dist-info/RECORD")
    assert {judged.verdicts[path] for path in kept} == {Verdict.NEEDED}
    assert judged.verdicts["/etc/y.conf"] is judged.verdicts["/usr/share/doc/y/copyright"] is Verdict.UNUSED


def test_why_gives_every_observation_of_a_path() -> None:
    links = {"/bin": "usr/bin", "/usr/bin/sh": "dash"}
    made = image("/usr/bin/dash", links=links, packages=[deb("dash", "/usr/bin/dash")])
    first, second, other = seen("/bin/sh", "/usr/bin/dash"), seen("/usr/bin/dash"), seen("/x", "", Outcome.MISSING)
    judged = analyze([pod(first, second, other)], made)
    why = judged.why("/bin/dash")
    assert why is not None
    assert why.path == "/usr/bin/dash"
    assert why.verdict is Verdict.USED
    assert why.packages == ("dash",)
    assert [(one.path, one.target) for one in why.observations] == [("/bin/sh", "/usr/bin/dash"), ("/usr/bin/dash", "")]
    link = judged.why("/usr/bin/sh")
    assert link is not None
    assert [one.path for one in link.observations] == ["/bin/sh"]
    assert judged.why("/none") is None


def test_those_who_use_the_image_unrecorded_are_told() -> None:
    judged = analyze([pod(seen("/a"))], image("/a"), unprofiled=2)
    assert judged.grade.words == (
        "recorded in 1 pod over 3 days, without a known gap; 2 pods that use the image were not recorded"
    )


def test_a_library_that_the_image_lacks_is_noted() -> None:
    judged = analyze([pod(seen("/x"))], image(elf={"/x": program("libnone.so")}))
    assert "/x needs the library libnone.so, and the image has none such" in judged.notes


def many(count: int) -> tuple[Inventory, Report]:
    paths = [f"/usr/lib/d{number % 2000}/file{number}.py" for number in range(count)]
    entries = [Entry(path, FileType.FILE, 0o644, size=1) for path in paths]
    return inventory(entries), pod(*(seen(path, path) for path in paths[:2000]))


def test_memory_per_file_is_bounded() -> None:
    made, report = many(20_000)
    tracemalloc.start()
    try:
        judged = analyze([report], made)
        size, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert judged.totals.counts.of("unused").files == 18_000
    # 200,000 files have 300 MiB, their inventory included.
    assert size / 20_000 < 300
    assert peak / 20_000 < 600


_PATHS = st.lists(st.sampled_from(["a", "b", "etc", "x.py"]), min_size=1, max_size=3).map(
    lambda parts: "/" + "/".join(parts)
)


@given(
    files=st.lists(_PATHS, max_size=6),
    links=st.dictionaries(_PATHS, _PATHS, max_size=4),
    asked=st.lists(_PATHS, min_size=1, max_size=4),
    exclude=st.lists(_PATHS, max_size=1),
)
def test_what_is_kept_answers_every_observed_name_as_the_image_did(
    files: list[str], links: dict[str, str], asked: list[str], exclude: list[str]
) -> None:
    entries = [Entry(path, FileType.SYMLINK, 0o777, target=target) for path, target in links.items()]
    made = inventory([*entries, *(Entry(path, FileType.FILE, 0o644, size=5) for path in files)])
    # Only what a file system can hold: nothing lies below a file or a link.
    made.entries = {
        path: entry
        for path, entry in made.entries.items()
        if all(made.entries[path[:at]].type is FileType.DIRECTORY for at in range(1, len(path)) if path[at] == "/")
    }
    observed = []
    for name in asked:
        led = resolve(made.entries, name)
        observed.append(seen(name, led.path) if led.found else seen(name, "", Outcome.MISSING))
    judged = analyze([pod(*observed, exclude=tuple(exclude))], made)
    slimmed = {entry.path: entry for entry in judged.kept()}
    for name in asked:
        before, after = resolve(made.entries, name), resolve(slimmed, name)
        assert before.found == after.found
        assert not before.found or before.path == after.path
    for path in slimmed:
        assert path == "/" or (path.rpartition("/")[0] or "/") in slimmed
