"""The console as an auditor uses it, in a real browser."""

import pytest
from tests.acceptance.console import console, shoot, sign_in
from tests.acceptance.system import System

pytestmark = [pytest.mark.docker, pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]


async def test_an_auditor(installation: System) -> None:
    installation.command("users", "grant", "bob", "auditor")
    async with console(installation.url) as page:
        await sign_in(page, "bob")
        await page.get_by_label("Kind of stream").select_option("experiment")
        await page.get_by_role("button", name="Show").click()
        rows = page.locator("tbody tr")
        assert await rows.count() == 4
        assert "P1" in await rows.first.inner_text()
        await shoot(page, "timeline")
