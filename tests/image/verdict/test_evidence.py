import pytest
from tests.image.closure.images import image
from tests.image.verdict.reports import pod, seen

from snoop_image.evidence import Evidence, Selection, Use, gather
from snoop_image.model import ImageError, Inventory
from snoop_image.names import Names
from snoop_report.model import ContainerReport, Gap, GapCode, Kind, Observation, Outcome, Report


def evidence(inventory: Inventory, *observations: Observation, **more: object) -> Evidence:
    return gather([pod(*observations, **more)], inventory, Names(inventory.entries))


def test_the_asked_name_what_it_led_to_and_every_link_are_used() -> None:
    inventory = image("/usr/bin/dash", "/usr/bin/other", links={"/bin": "usr/bin", "/usr/bin/sh": "dash"})
    used = evidence(inventory, seen("/bin/sh", "/usr/bin/dash")).used
    assert {path for path in used if inventory.entries[path].type != "directory"} == {
        "/bin",
        "/usr/bin/sh",
        "/usr/bin/dash",
    }
    assert Use.OBSERVED in used["/usr/bin/dash"]
    assert Use.ON_THE_WAY in used["/bin"]


def test_two_dots_after_a_link_are_followed_through_it() -> None:
    inventory = image("/deep/x", "/a/x", links={"/a/link": "/deep/down"}, directories=("/deep/down",))
    used = evidence(inventory, seen("/a/link/../x")).used
    assert {"/a/link", "/deep/x", "/deep/down"} <= set(used)
    assert "/a/x" not in used


@pytest.mark.parametrize("outcome", [Outcome.DENIED, Outcome.FAILED, Outcome.MISSING])
def test_what_was_asked_for_and_not_had_counts_as_used(outcome: Outcome) -> None:
    found = evidence(image("/etc/x", "/etc/y"), seen("/etc/x", "", outcome))
    assert found.used["/etc/x"] == Use.ASKED
    assert "/etc/y" not in found.used
    assert bool(found.notes) is (outcome is Outcome.MISSING)


def test_what_the_image_does_not_have_is_not_used() -> None:
    assert evidence(image("/x"), seen("/y"), seen("/z", "", Outcome.MISSING)).used == {}


def test_a_volume_is_not_the_images_but_the_links_to_it_are() -> None:
    inventory = image("/run/lock/x", links={"/var/lock": "/run/lock"})
    used = evidence(inventory, seen("/var/lock/x", "/run/lock/x", volume=True)).used
    assert "/run/lock/x" not in used
    assert "/var/lock" in used


def test_what_was_deleted_has_no_target_but_its_name_counts() -> None:
    used = evidence(image("/tmp/x", "/tmp/y"), seen("/tmp/x", "/tmp/y", collapsed=True)).used
    assert "/tmp/x" in used
    assert "/tmp/y" not in used


def test_a_program_that_touched_something_ran() -> None:
    assert evidence(image("/bin/x"), seen("/none", executable="/bin/x")).used["/bin/x"] == Use.PROGRAM


def test_a_listed_directory_does_not_make_its_files_used() -> None:
    found = evidence(image("/d/x"), seen("/d", "/d", kinds=(Kind.LIST,)))
    assert found.listed == {"/d"}
    assert "/d/x" not in found.used


def test_files_of_a_renamed_directory_may_have_been_used_under_other_names() -> None:
    inventory = image("/app/old/x", "/app/y", links={"/app/link": "/app/old"})
    found = evidence(inventory, seen("/app/old", "/app/old", kinds=(Kind.MODIFY,)))
    assert found.used["/app/old/x"] == Use.DIRECTORY_CHANGED
    assert "/app/y" not in found.used


def test_what_lies_under_an_excluded_prefix_is_not_known_by_any_name() -> None:
    inventory = image("/usr/lib/x", "/opt/x", "/opt/y", "/etc/z", links={"/lib": "usr/lib", "/lib/l": "/opt/x"})
    blind = evidence(inventory, exclude=("/lib/",)).blind
    assert blind.covers("/lib/l")
    assert blind.covers("/usr/lib/x")
    assert not blind.covers("/etc/z")
    assert not blind.covers("/opt/y")


def test_a_link_below_an_excluded_prefix_blinds_for_what_it_leads_to() -> None:
    inventory = image("/opt/a/b/x", "/opt/b/x", links={"/srv/l": "/opt/a"})
    blind = evidence(inventory, exclude=("/srv/",)).blind
    assert blind.covers("/opt/a/b/x")
    assert not blind.covers("/opt/b/x")


def test_pods_and_runs_are_merged_with_their_period_and_gaps() -> None:
    inventory = image("/a", "/b")
    gap = Gap(GapCode.LATE_START, "late", 5.0)
    other = Gap(GapCode.LATE_START, "another container's", 5.0, container="elsewhere")
    first = pod(seen("/a"), uid="1", started=10.0, updated=20.0)
    again = pod(seen("/a"), uid="1", started=10.0, updated=30.0, gaps=[other])
    second = pod(seen("/b"), uid="2", started=5.0, updated=25.0, gaps=[gap], exclude=("/x/",))
    run = pod(seen("/b"), uid="", namespace="", started=15.0, updated=40.0)
    found = gather([first, again, second, run], inventory, Names(inventory.entries))
    assert (found.pods, found.runs, found.since, found.until) == (2, 1, 5.0, 40.0)
    assert found.gaps == (gap,)
    assert not found.complete
    assert found.exclude == ("/x/",)
    assert {"/a", "/b"} <= set(found.used)


def test_only_the_containers_of_the_image_count() -> None:
    inventory = image("/a", "/b")
    inventory.digest = "sha256:1"
    report = pod(seen("/a"), digest="sha256:1")
    report.containers.append(
        ContainerReport("c2", 0, "", "side", digest="sha256:2", observations={one.key: one for one in [seen("/b")]})
    )
    assert set(gather([report], inventory, Names(inventory.entries)).used) == {"/a"}
    inventory.digest = ""
    with pytest.raises(ImageError, match="several images"):
        gather([report], inventory, Names(inventory.entries))
    found = gather([report], inventory, Names(inventory.entries), Selection(container="side"))
    assert set(found.used) == {"/b"}


@pytest.mark.parametrize(
    ("reports", "selection", "words"),
    [
        ([], Selection(), "no container"),
        ([Report()], Selection(), "no container"),
        ([pod(seen("/a"))], Selection(container="none"), "no container none: the reports tell of app"),
        ([pod(seen("/a"), digest="sha256:1")], Selection(digest="sha256:2"), "no container ran sha256:2"),
    ],
)
def test_evidence_of_something_else_is_refused(reports: list[Report], selection: Selection, words: str) -> None:
    inventory = image("/a")
    with pytest.raises(ImageError, match=words):
        gather(reports, inventory, Names(inventory.entries), selection)
