"""A Jupyter notebook through the API, in a browser: no port of its target is open to anybody."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import BrowserContext, expect
from tests.acceptance.conftest import add_image, ours
from tests.acceptance.console import MILLISECONDS, chromium
from tests.acceptance.system import PASSWORD, Client, System, signed_in
from tests.conftest import wait_until

pytestmark = [pytest.mark.docker, pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def facility(installation: System) -> System:
    """The installation with an image of notebooks."""
    reference = "calipso/notebook:1"
    options = ("--protocol", "http", "--parameter", "token=token", "--target", "docker-a")
    add_image(installation, "notebook", reference, *options)
    installation.command("images", "change", "notebook", "--memory", "1G")
    return installation


@asynccontextmanager
async def browser(facility: System) -> AsyncIterator[BrowserContext]:
    """A visitor with a real browser."""
    async with chromium() as made:
        context = await made.new_context(base_url=facility.url)
        context.set_default_timeout(MILLISECONDS)
        yield context


@asynccontextmanager
async def notebook(ada: Client) -> AsyncIterator[dict[str, Any]]:
    """A notebook of a session that runs."""
    status, container = await ada.run("P1~1", "notebook")
    assert status == 201, container
    try:
        yield container
    finally:
        await ada.rm(container)


async def test_work_in_a_browser(facility: System) -> None:
    async with signed_in(facility, "ada") as ada, notebook(ada) as container, browser(facility) as visitor:
        address = container["host_port"]
        place = urlsplit(address)
        assert address.startswith(f"{facility.url}/web/")
        assert place.query.startswith("token=")
        # without Calipso's login, not even with the token
        page = await visitor.new_page()
        refused = await page.goto(address)
        assert refused is not None
        assert refused.status == 403

        answer = await visitor.request.post("/login/", data={"username": "ada", "password": PASSWORD})
        assert answer.status == 200
        await page.goto(address)
        await expect(page).to_have_title("Home Page - Select or create a notebook")

        made = await visitor.request.post(f"{place.path}api/contents?{place.query}", data={"type": "notebook"})
        assert made.status == 201, await made.text()
        name = (await made.json())["name"]
        await page.goto(f"{place.path}notebooks/{name}")
        await page.locator(".kernel_idle_icon").wait_for(state="attached")
        await page.locator(".code_cell .CodeMirror").first.click()
        await page.keyboard.insert_text("import os; print(6 * 7, os.getuid(), os.getcwd())")
        await page.keyboard.press("Shift+Enter")
        results = facility.folder / "results" / "p1"
        await expect(page.locator(".output_stdout").first).to_have_text(f"42 5001 {results}")

        await page.keyboard.press("Control+s")
        written = results / name
        wait_until(lambda: "6 * 7" in written.read_text(), "the notebook to be saved")
        assert (written.stat().st_uid, written.stat().st_gid) == (5001, 5002)
        written.unlink()


async def test_the_token_is_in_no_record_and_nobody_else_gets_in(facility: System) -> None:
    async with signed_in(facility, "ada") as ada, signed_in(facility, "root") as root, notebook(ada) as container:
        place = urlsplit(container["host_port"])
        token = place.query.removeprefix("token=")
        assert len(token) == 8
        (inside,) = ours(facility)
        assert token not in str(inside.attrs)
        assert token not in inside.logs().decode()
        assert token not in facility.log.read_text()
        async with root.session.get(f"{place.path}?{place.query}") as answer:
            assert answer.status == 404
        async with root.session.get(f"/containers/{container['id']}") as answer:
            assert "token" not in (await answer.json())["host_port"]
        async with ada.session.get(f"{place.path}api/contents", headers={"X-CSRFToken": ""}) as answer:
            assert answer.status == 403
        async with ada.session.get(f"{place.path}api/contents?{place.query}") as answer:
            assert (answer.status, (await answer.json())["type"]) == (200, "directory")
