"""The console as an auditor uses it, in a real browser."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.async_api import Page, expect
from tests.acceptance.console import console, shoot, sign_in
from tests.acceptance.system import System, signed_in
from tests.conftest import wait_until

pytestmark = [pytest.mark.docker, pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def auditor(installation: System) -> str:
    installation.command("users", "grant", "bob", "auditor")
    return "bob"


@pytest.fixture
async def ended(installation: System) -> AsyncIterator[Mapping[str, Any]]:
    """A container of Ada's beside P1 that ran and was removed, and a whole second at which it ran."""
    async with signed_in(installation, "ada") as ada:
        status, container = await ada.run("P1~1", "tiny")
        assert status == 201, container
        moment = datetime.fromtimestamp(int(time.time()) + 1, UTC)
        await asyncio.to_thread(wait_until, lambda: datetime.now(UTC) > moment, "the second to be over")
        assert (await ada.stop(container))[0] == 200
        assert (await ada.rm(container))[0] == 200
        yield {**container, "moment": moment}


async def test_an_auditor(installation: System, auditor: str, ended: Mapping[str, Any]) -> None:
    name = ended["container_name"]
    async with console(installation.url) as page:
        await sign_in(page, auditor)
        await page.get_by_label("User", exact=True).fill("ada")
        await page.get_by_label("Container", exact=True).fill(name)
        await page.get_by_role("button", name="Show").click()
        row = page.locator("tbody tr", has_text="ContainerRemoved")
        await expect(row).to_contain_text("was removed from docker-")
        await shoot(page, "timeline")
        await row.get_by_role("link", name="life").click()
        await _look_at_life(page, name)
        await page.get_by_role("link", name="The quota of ada over time").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Quota of ada")
        await expect(page.locator("figure svg")).to_have_count(4)
        await shoot(page, "quota")
        await _move_the_slider(page, ended["moment"], name)
        await _ask_who_could_reach(page, ended["moment"])
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
        await page.goto("/console/events/")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


async def _look_at_life(page: Page, name: str) -> None:
    await expect(page.get_by_role("heading", level=1)).to_have_text(name)
    bars = page.locator("figure svg a", has=page.locator("rect"))
    states = [(await bar.locator("title").text_content() or "").split()[0] for bar in await bars.all()]
    assert states == ["requested", "starting", "running", "stopping", "stopped", "removed"]
    await shoot(page, "life")
    # by the keyboard alone: the part of the picture that has the focus leads to its event
    await bars.nth(2).focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(r"Event \d+"))
    await expect(page.locator("main")).to_contain_text("became usable")
    assert await page.locator("ol.chain ol").count() > 0
    await shoot(page, "event")
    await page.go_back()


async def _move_the_slider(page: Page, moment: datetime, name: str) -> None:
    await page.get_by_role("navigation").get_by_role("link", name="As of").click()
    slider, then = page.get_by_role("slider"), page.locator("#then")
    await expect(page.get_by_role("button", name="Go there")).to_be_hidden()
    await slider.focus()
    await page.keyboard.press("Home")
    least = datetime.fromtimestamp(int(await slider.get_attribute("min") or 0), UTC)
    await page.wait_for_url(re.compile(f"at={least:%Y-%m-%dT%H%%3A%M%%3A%S}Z"))
    await expect(then).to_contain_text("No container was active")
    # to the second in which it ran; the step of a short history is one second
    assert await slider.get_attribute("step") == "1"
    await slider.fill(str(int(moment.timestamp())))
    await expect(page.locator("#moment")).to_have_text(f"{moment:%Y-%m-%dT%H:%M:%S}Z")
    await expect(page.get_by_label("At exactly")).to_have_value(f"{moment:%Y-%m-%dT%H:%M:%S}Z")
    await expect(then).to_contain_text(name[8:16])
    await shoot(page, "as-of")
    await page.get_by_label("At exactly").fill(moment.isoformat())
    await page.get_by_label("Of the user").fill("ada")
    await page.get_by_role("button", name="Show").click()
    await expect(then).to_contain_text("Quota of ada")
    await expect(then.locator("tr", has_text="running")).to_contain_text(name[8:16])
    await shoot(page, "as-of-ada")


async def _ask_who_could_reach(page: Page, moment: datetime) -> None:
    await page.get_by_role("link", name="who could reach its data").click()
    await expect(page.get_by_label("Or experiment")).to_have_value("P1")
    assert moment.isoformat()[:19] in await page.get_by_label("At (now").input_value()
    way = page.locator("tr", has_text="could open").first
    await way.get_by_text("events", exact=False).last.click()
    await expect(way).to_contain_text("The command line made ada a member of P1.")
    await shoot(page, "reach")


async def test_whoever_is_no_auditor_is_told_what_is_missing(installation: System) -> None:
    async with console(installation.url, dark=True) as page:
        await page.goto("/console/quota/?user=bob")
        await page.get_by_label("User name").fill("ada")
        await page.get_by_label("Password").fill("wrong")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_contain_text("Invalid username/password.")
        await sign_in(page, "ada")
        await expect(page.get_by_role("heading", level=1)).to_have_text("The role of an auditor is missing")
        await expect(page.locator("pre")).to_have_text("calipso users grant ada auditor")
        await shoot(page, "no-role-dark")


async def test_without_scripts_on_a_narrow_screen(installation: System, auditor: str) -> None:
    async with console(installation.url, scripts=False) as page:
        await page.set_viewport_size({"width": 390, "height": 800})
        await sign_in(page, auditor)
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        for path in ("events", "containers", "quota", "as-of", "reach"):
            await page.goto(f"/console/{path}/")
            # tables and pictures scroll by themselves, the page does not
            width = await page.evaluate("document.documentElement.scrollWidth")
            assert width <= 390, path
        await page.goto("/console/as-of/")
        await page.get_by_role("slider").press("Home")
        await page.get_by_role("button", name="Go there").click()
        await expect(page.locator("#then")).to_contain_text("No container was active")
        await page.get_by_label("At exactly").fill("2026-11-20T14:03:00")
        await page.get_by_role("button", name="Show").click()
        await expect(page.get_by_role("alert")).to_contain_text("has no time zone")
        await shoot(page, "as-of-narrow")
