"""What images hold, fetched from a registry by a real child process and judged by the evidence of a real store."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from snoop_operator.inventories.child import Child, WorkError
from snoop_operator.inventories.findings import Findings, Trouble
from snoop_report.model import Gap, GapCode, Identity

USED, UNUSED = "/srv/app/used.txt", "/srv/app/unused.txt"


async def test_an_image_is_fetched_and_what_was_not_seen_in_use_is_counted(world: Any) -> None:
    await world.report("u1", USED)
    assert (await world.look()).images == {}, "nothing is said before it is known"
    found = (await world.work()).images[world.digest]
    assert isinstance(found, Findings), found
    assert found.complete
    assert found.bytes_unused == 5000
    assert found.packages_unused == 1
    assert found.files == len(world.files)
    assert found.bytes == sum(map(len, world.files.values()))
    assert found.bytes_kept == found.bytes - 5000
    assert world.news == [("shop", "web")]


async def test_the_digest_of_an_index_leads_to_the_image(world: Any) -> None:
    world.digest = world.registry.push(world.files, index=True)
    await world.report("u1", USED)
    found = (await world.work()).images[world.digest]
    assert isinstance(found, Findings), found
    assert found.bytes_unused == 5000


async def test_an_image_is_fetched_once_and_judged_anew_when_there_is_more_evidence(world: Any) -> None:
    await world.report("u1", USED)
    await world.work()
    asked = len(world.registry.asked)
    await world.report("u1", UNUSED, sequence=2)
    before = (await world.work()).images[world.digest]
    assert before.bytes_unused == 5000, "not at each delta"
    world.now += 61
    after = (await world.work()).images[world.digest]
    assert (after.bytes_unused, after.packages_unused) == (0, 0)
    assert len(world.registry.asked) == asked


async def test_what_any_of_several_pods_used_is_used(world: Any) -> None:
    await world.report("u1", USED)
    await world.report("u2", UNUSED)
    found = (await world.work()).images[world.digest]
    assert found.complete
    assert found.bytes_unused == 0


async def test_evidence_with_a_gap_makes_nothing_unused(world: Any) -> None:
    await world.report("u1", USED, gaps=(Gap(GapCode.RECORDS_LOST, "lost", 100.0, 3),))
    found = (await world.work()).images[world.digest]
    assert not found.complete
    assert (found.bytes_unused, found.packages_unused) == (0, 0)


async def test_evidence_of_another_architecture_is_not_judged(world: Any) -> None:
    await world.report("u1", USED, "/lib/ld-linux-riscv64-lp64d.so.1")
    found = (await world.work()).images[world.digest]
    assert isinstance(found, Trouble)
    assert "another architecture" in found.message


async def test_an_image_that_the_registry_has_not_is_told_and_tried_again_later(world: Any) -> None:
    world.registry.broken = True
    await world.report("u1", USED)
    found = (await world.work()).images[world.digest]
    assert isinstance(found, Trouble)
    assert found.reason == "InventoryFailed"
    assert world.image.partition(":1/")[0] in found.message
    assert "loaded onto the node" in found.message
    asked = len(world.registry.asked)
    world.now += 30
    await world.work()
    assert len(world.registry.asked) == asked, "tried again at once"
    world.registry.broken = False
    world.now += 31
    assert isinstance((await world.work()).images[world.digest], Findings)


async def test_back_off_grows_and_ends_at_an_hour(world: Any) -> None:
    world.registry.broken = True
    await world.report("u1", USED)
    waits = []
    for _ in range(3):
        await world.work()
        (record,) = world.inventories._records.values()
        waits.append(record.due - world.now)
        world.now = record.due
    assert waits == [60, 120, 240]


async def test_a_private_image_is_pulled_with_the_pods_secret(world: Any) -> None:
    world.registry.password = "secret"
    world.secrets.add("pull", world.registry.host, "secret")
    await world.report("u1", USED)
    assert isinstance((await world.work()).images[world.digest], Findings)


async def test_a_secret_that_is_not_granted_is_named_with_the_way_to_grant_it(world: Any) -> None:
    world.registry.password = "secret"
    world.secrets.granted = False
    await world.report("u1", USED)
    found = (await world.work()).images[world.digest]
    assert isinstance(found, Trouble)
    assert found.reason == "PullSecretDenied"
    assert "RoleBinding of the ClusterRole snoop-pull-secrets in shop" in found.message


async def test_secrets_are_left_alone_if_the_profile_says_so(world: Any) -> None:
    world.registry.password = "secret"
    world.secrets.add("pull", world.registry.host, "secret")
    world.profile = replace(world.profile, inventory_pull_secrets="None")
    await world.report("u1", USED)
    assert isinstance((await world.work()).images[world.digest], Trouble)


async def test_nothing_is_fetched_for_a_profile_that_does_not_want_it(world: Any) -> None:
    world.profile = replace(world.profile, inventory_source="None")
    await world.report("u1", USED)
    assert (await world.work()).images == {}
    assert world.registry.asked == []


async def test_an_inventory_that_is_damaged_is_fetched_again(world: Any) -> None:
    await world.store.keep_inventory(world.digest, b"rubbish", 1.0)
    await world.report("u1", USED)
    found = (await world.work()).images[world.digest]
    assert isinstance(found, Trouble)
    world.now += 61
    assert isinstance((await world.work()).images[world.digest], Findings)


@pytest.mark.parametrize("mebibytes", [24, 28, 32])
async def test_a_child_that_runs_out_of_memory_is_told_as_such(world: Any, tmp_path: Any, mebibytes: int) -> None:
    world.inventories._child = Child(tmp_path / "tmp", mebibytes << 20)
    await world.report("u1", USED)
    found = (await world.work()).images[world.digest]
    assert isinstance(found, Trouble)
    assert found.reason == "OutOfMemory"


async def test_a_child_that_takes_too_long_is_ended(tmp_path: Any) -> None:
    child = Child(tmp_path / "tmp", 320 << 20)
    with pytest.raises(WorkError, match="longer than"):
        await child.run({"do": "judge"}, 0.01)


async def test_pods_that_run_the_image_and_are_not_selected_are_counted(world: Any) -> None:
    await world.report("u1", USED)
    stranger = replace(world.pods[0], uid="s", name="s", labels={}, injected=False)
    world.pods.append(replace(stranger, containers={"c-s": Identity("x", world.image, world.digest)}))
    assert (await world.look()).unrecorded == {world.digest: 1}


async def test_the_loop_works_by_itself_and_forgets_what_nobody_asks_for(world: Any) -> None:
    await world.report("u1", USED)
    running = asyncio.create_task(world.inventories.run())
    try:
        await world.look()
        async with asyncio.timeout(30):
            while not world.news:  # noqa: ASYNC110 - the news come from inside
                await asyncio.sleep(0.05)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    world.now += 400
    assert world.inventories._next()[0] is None
    assert world.inventories._records == {}
