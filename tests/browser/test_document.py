"""The HTML report in a real browser: what it shows, by mouse and keyboard, on a phone, in the dark, with many files."""

import asyncio
import os
import time
from pathlib import Path

import pytest
from tests.cli.conftest import DIGEST, ID, container, late, report, used

from snoop_cli.evidence import Evidence, gather
from snoop_image.model import Entry, FileType, Inventory, Layer, Package, PackageKind
from snoop_image.verdict import Judgement, analyze

HOSTILE = (
    "/tmp/</script><script>document.title='owned'</script>",
    "/tmp/<img src=x onerror=document.title='owned'>",
    "/tmp/\u202egnp.exe",
    "/tmp/two\nlines",
    "/tmp/\udcff\u2028",
    "/tmp/<!--<script>",
)
SIZES = {
    "/usr/bin/app": 4000,
    "/usr/lib/libapp.so": 60_000,
    "/usr/share/doc/spare": 300_000,
    "/usr/share/doc/more": 1000,
    "/opt/data": 90_000,
}


def judged(complete: bool = True) -> tuple[Evidence, Judgement]:
    """An image of which the application and its library ran, by evidence with or without a gap."""
    inventory = Inventory("registry.example.com/web:1", DIGEST, layers=[Layer(DIGEST, command="FROM <b>base</b>")])
    for path in ("/", "/usr", "/usr/bin", "/usr/lib", "/usr/share", "/usr/share/doc", "/opt", "/tmp"):
        inventory.entries[path] = Entry(path, FileType.DIRECTORY, 0o755)
    for path in (*SIZES, *HOSTILE):
        inventory.entries[path] = Entry(path, FileType.FILE, 0o644, size=SIZES.get(path, 10))
    inventory.packages = [
        Package(PackageKind.DEB, "app", "1.0", files=("/usr/bin/app", "/usr/lib/libapp.so")),
        Package(PackageKind.DEB, "spare", "<i>2</i>", files=("/usr/share/doc/spare", "/usr/share/doc/more")),
    ]
    ran = container(used("/usr/bin/app", "execute"), used("/usr/lib/libapp.so", "map", at=30))
    found = gather([report(ran, gaps=[] if complete else [late(ID)])])
    return found, analyze(found.reports, inventory)


def plain(number: int = 0) -> Evidence:
    """Evidence of hostile names and of `number` others."""
    many = (used(f"/srv/d{at // 20}/file-{at}", at=at / 200) for at in range(number))
    return gather([report(container(used("/bin/app", "execute"), *many, *(used(path) for path in HOSTILE)))])


async def look(browser, name: str) -> None:
    """Keep pictures for a person, if SNOOP_PICTURES names a folder."""
    if folder := os.environ.get("SNOOP_PICTURES"):
        picture = await browser.picture()
        await asyncio.to_thread((Path(folder) / f"{name}.png").write_bytes, picture)


async def until(browser, script: str) -> None:
    """Wait for what the page does after a moment."""
    for _ in range(100):
        if await browser.run(script):
            return
        await browser.run("new Promise((done) => setTimeout(done, 30))")
    raise AssertionError(script)


@pytest.mark.parametrize("with_image", [True, False])
async def test_the_page_draws_everything_asks_for_nothing_and_complains_of_nothing(browser, saved, with_image) -> None:
    path = saved(*judged()) if with_image else saved(plain())
    await browser.open(path)
    assert await browser.run("document.querySelectorAll('.cell').length") > 1
    assert await browser.run("document.querySelectorAll('#files tbody tr').length") > 5
    assert await browser.run("document.querySelectorAll('#growth svg path').length") == 2
    assert await browser.run("document.querySelectorAll('#packages tbody tr').length") == (2 if with_image else 0)
    assert browser.errors == []
    assert {one for one in browser.requests if not one.startswith("data:")} == {path.as_uri()}


async def test_names_that_a_container_chose_stay_text(browser, saved) -> None:
    for given in (judged(), (plain(),)):
        await browser.open(saved(*given))
        assert await browser.run("document.title") != "owned"
        assert await browser.run("document.querySelectorAll('img, b:not(.legend b), td i, main script').length") == 0
        text = await browser.run("document.querySelector('#files').innerText")
        assert "<img src=x onerror=document.title='owned'>" in text
        assert "\\xe2\\x80\\xaegnp.exe" in text
        assert "two\\x0alines" in text
        assert browser.errors == []


async def test_the_policy_runs_no_script_but_the_pages_own(browser, saved) -> None:
    await browser.open(saved(plain()))
    script = "const one = document.createElement('script'); one.textContent = 'window.owned = 1';"
    await browser.run(f"{{ {script} document.body.append(one); }}")
    assert await browser.run("window.owned") is None
    assert await browser.run("fetch('data:,x').then(() => 'went', () => 'refused')") == "refused"


async def test_the_treemap_is_walked_by_keys(browser, saved) -> None:
    await browser.open(saved(*judged()))
    await browser.run("document.querySelector('.crumbs button').focus()")
    await browser.key("Tab")
    assert (await browser.run("document.activeElement.getAttribute('aria-label')")).startswith("/usr: ")
    assert await browser.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    await browser.key("Enter")
    assert (await browser.run("document.activeElement.getAttribute('aria-label')")).startswith("/usr/share: ")
    assert await browser.run("document.querySelector('.crumbs [aria-current]').textContent") == "usr"
    await browser.key("Escape")
    assert await browser.run("document.querySelector('.crumbs [aria-current]').textContent") == "/"


async def test_areas_are_as_bytes(browser, saved) -> None:
    await browser.open(saved(*judged()))
    areas = await browser.run(
        "Object.fromEntries([...document.querySelectorAll('.cell')].map((one) => [one.getAttribute('aria-label')"
        ".split(':')[0], parseFloat(one.style.width) * parseFloat(one.style.height)]))"
    )
    assert areas["/usr"] / areas["/opt"] == pytest.approx(365_000 / 90_000, rel=0.01)


async def test_packages_are_searched_and_sorted(browser, saved) -> None:
    await browser.open(saved(*judged()))
    names = "[...document.querySelectorAll('#packages tbody tr')].map((one) => one.cells[0].textContent)"
    assert await browser.run(names) == ["spare", "app"]
    await browser.run("document.querySelector('#packages th button').click()")
    assert await browser.run(names) == ["app", "spare"]
    assert await browser.run("document.querySelector('#packages th').getAttribute('aria-sort')") == "ascending"
    await browser.run("document.querySelector('#packages input').focus()")
    await browser.send("Input.insertText", text="SPARE")
    await until(browser, f"{names}.join() === 'spare'")


@pytest.mark.parametrize("dark", [True, False])
async def test_a_phone_shows_all_of_it_without_going_sideways(browser, saved, dark) -> None:
    await browser.open(saved(*judged(complete=False)), width=320, height=700, dark=dark)
    assert await browser.run("document.documentElement.scrollWidth") == 320
    light = (
        int((await browser.run("getComputedStyle(document.body).backgroundColor")).split("(")[1].split(",")[0]) > 128
    )
    assert light is not dark
    assert await browser.run("document.querySelector('.verdict h2').textContent") == (
        "Incomplete evidence: nothing is called unused"
    )
    await look(browser, f"phone-{'dark' if dark else 'light'}")


async def test_a_hundred_thousand_files_do_not_freeze_it(browser, saved) -> None:
    path = saved(plain(100_000))
    assert path.stat().st_size < 4_000_000
    began = time.monotonic()
    await browser.open(path)
    assert time.monotonic() - began < 8
    assert await browser.run("document.querySelectorAll('*').length") < 5000
    await browser.run("document.querySelector('#files input').focus()")
    await browser.send("Input.insertText", text="file-99999")
    await until(browser, "document.querySelectorAll('#files tbody tr').length === 1")
    assert await browser.run("document.querySelector('#files td').textContent") == "/srv/d4999/file-99999"
    assert browser.errors == []
