"""The console in a real browser, which asks nobody but the API and runs nothing that stands in a page."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.async_api import Browser, Page, async_playwright, expect
from tests.acceptance.system import PASSWORD
from tests.conftest import PATIENCE

ARTEFACTS = Path(__file__).parents[2] / "artefacts" / "console"

MILLISECONDS = 1000 * PATIENCE  # that a page may take
expect.set_options(timeout=MILLISECONDS)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A real browser."""
    program = shutil.which("chromium")
    assert program is not None, "chromium is not installed: ops/test does it"
    options = ["--no-sandbox"]
    async with async_playwright() as playwright:
        made = await playwright.chromium.launch(executable_path=program, args=options, timeout=MILLISECONDS)
        yield made
        await made.close()


@asynccontextmanager
async def console(url: str, *, dark: bool = False, scripts: bool = True) -> AsyncIterator[Page]:
    """A page of a browser, which fails if a script fails, the policy stops something, or another host is asked."""
    troubles, hosts = list[str](), set[str]()
    async with chromium() as made:
        context = await made.new_context(
            base_url=url,
            viewport={"width": 1360, "height": 900},
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
        )
        page = await context.new_page()
        page.set_default_timeout(MILLISECONDS)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda line: troubles.append(line.text) if "Content Security Policy" in line.text else None)
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        yield page
    assert troubles == []
    assert hosts == {urlsplit(url).netloc}


async def sign_in(page: Page, name: str, password: str = PASSWORD) -> None:
    """Sign in by the keyboard alone, from wherever the console leads."""
    await page.goto("/console/")
    await page.get_by_label("User name").fill(name)
    await page.keyboard.press("Tab")
    await page.keyboard.type(password)
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/console/events/**")


async def shoot(page: Page, name: str) -> None:
    """Keep a picture of the whole page."""
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=ARTEFACTS / f"{name}.png", full_page=True)
