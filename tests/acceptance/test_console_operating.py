"""The console as an operator uses it, in a browser: usage, health, and a dead letter that is retried and dropped."""

import json
import time
from collections.abc import Iterator

import pytest
from playwright.async_api import Page, expect
from tests.acceptance.console import console, shoot, sign_in
from tests.acceptance.system import PASSWORD, System, signed_in, system
from tests.conftest import PATIENCE

from calipso.bus import RETRY_PREFIX
from calipso.cli.common import running

pytestmark = [pytest.mark.browser, pytest.mark.slow]

REASON = "not a message of ours"


@pytest.fixture(scope="module")
def office() -> Iterator[System]:
    """An installation with links alone, which need no engine."""
    with system(CALIPSO_TARGETS=json.dumps([{"name": "links", "runtime": "static_link"}])) as made:
        made.start()
        made.command("users", "add", "ada", "--password-stdin", stdin=PASSWORD)
        made.command("users", "add", "root", "--admin", "--password-stdin", stdin=PASSWORD)
        for name in ("wiki", "logbook"):
            options = ("--image", f"https://{name}.example.org/", "--resource-type", "static_link")
            made.command("images", "add", name, *options)
        yield made


async def throw_in(made: System) -> None:
    """Let the provisioner of links have what no provisioner can deal with."""
    with running(made.data) as backend:
        async with backend.bus("test", patience=10) as bus:
            await bus.jetstream.publish(f"{RETRY_PREFIX}.calipso.container.ContainerRequested.links", b"{nonsense")


async def test_usage_is_looked_at(office: System) -> None:
    async with signed_in(office, "ada") as ada:
        for n, image in enumerate(("wiki", "wiki", "logbook")):
            assert (await ada.run(f"own {n}", image))[0] == 201
    async with console(office.url) as page:
        await sign_in(page, "root")
        await page.get_by_role("link", name="Usage").click()
        await expect(page.get_by_role("heading", name="Usage", level=1)).to_be_visible()
        assert await page.get_by_role("heading", level=3).all_inner_texts() == [
            *("Container-hours", "CPU-hours", "Memory-hours")
        ]
        await page.get_by_label("Told apart by").select_option("image")
        await page.get_by_role("button", name="Show").press("Enter")
        rows = page.locator("tbody tr")
        assert sorted(await rows.locator("th").all_inner_texts()) == ["logbook", "wiki"]
        bars = page.locator("figure svg").first.locator("g.pair")
        assert await bars.count() == 2
        assert "wiki: " in (await bars.first.locator("title").text_content() or "")
        await shoot(page, "usage")
        async with page.expect_download() as begun:
            await page.get_by_role("link", name="Download as CSV").click()
        text = (await (await begun.value).path()).read_text()
        assert text.startswith("image,containers,running_hours,")
        await page.get_by_label("Since").fill("yesterday")
        await page.get_by_role("button", name="Show").click()
        await expect(page.get_by_role("alert")).to_contain_text("'yesterday' is not a time")


async def until_given_up(page: Page, number: int) -> None:
    """Load the page of dead letters until there is one of this number."""
    heading = page.get_by_role("heading", name=f"Dead letter {number}", exact=True)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        await page.goto("/console/dead-letters/")
        if await heading.count():
            return
        await page.wait_for_timeout(100)
    pytest.fail(f"dead letter {number} did not come")


async def test_a_dead_letter_is_retried_and_dropped(office: System) -> None:
    await throw_in(office)
    async with console(office.url) as page:
        await sign_in(page, "root")
        await until_given_up(page, 1)
        await page.get_by_role("link", name="Health").click()
        await expect(page.get_by_role("row", name="Dead letters")).to_contain_text("One message was given up")
        await shoot(page, "health")
        await page.get_by_role("link", name="See them").click()
        await expect(page.locator("section.letter")).to_contain_text(REASON)
        await page.get_by_text("Full text").click()
        await expect(page.locator("pre")).to_have_text("{nonsense")
        await shoot(page, "dead-letters")

        await page.get_by_role("button", name="Retry").press("Enter")
        await expect(page.get_by_role("status")).to_contain_text("Dead letter 1 is tried again")
        await until_given_up(page, 2)  # the provisioner has had it once more
        await page.get_by_role("button", name="Drop").press("Enter")
        await expect(page.get_by_role("status")).to_contain_text("Dead letter 2 is dropped")
        await expect(page.get_by_text("No message lies here.")).to_be_visible()
    assert "dead letter" in office.log.read_text()


@pytest.mark.parametrize("scripts", [True, False])
async def test_in_the_dark_and_without_scripts_all_pages_are_there(office: System, *, scripts: bool) -> None:
    async with console(office.url, dark=True, scripts=scripts) as page:
        await sign_in(page, "root")
        for path in ("usage/", "usage/?by=user", "health/", "dead-letters/"):
            answer = await page.goto(f"/console/{path}")
            assert answer is not None
            assert answer.ok, path
            await shoot(page, f"{path.partition('/')[0]}-dark")
