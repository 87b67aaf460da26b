"""What a frontend on another origin asks, in a real browser: cookies, questions before requests, tokens, held runs."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web
from playwright.async_api import Page
from tests.acceptance.console import MILLISECONDS, chromium
from tests.acceptance.system import PASSWORD, System

pytestmark = [pytest.mark.docker, pytest.mark.browser, pytest.mark.slow]

PORTAL = Path(__file__).with_name("portal.html")
MARK = "calipsouserexperiment__favorite"
UNSEEN = 0
"""The status of an answer that the browser keeps from a page."""


class Frontend:
    """A page of another origin that asks an API."""

    def __init__(self, page: Page, api: str, name: str) -> None:
        self.page = page
        self.api = api
        self.name = name

    async def ask(
        self, method: str, path: str, body: object = None, *, typed: bool = False, token: bool = False
    ) -> tuple[int, Any]:
        """Ask from the page; gives status and value. `typed` says what the body is, even when there is none."""
        text = None if body is None else json.dumps(body)
        status, value = await self.page.evaluate(
            "(given) => ask(...given)", [method, self.api + path, text, typed, token]
        )
        return status, value

    async def value(self, path: str, *, typed: bool = False) -> Any:  # noqa: ANN401 - whatever it is
        """What a GET answers, which must succeed."""
        status, value = await self.ask("GET", path, typed=typed)
        assert status == 200, value
        return value

    async def sign_in(self) -> None:
        """Do as the frontend's form does."""
        assert await self.value("settings/") == {"local_auth": True}
        assert await self.value("logout/", typed=True) == "Logout OK"
        wrong = {"username": self.name, "password": "wrong"}
        assert (await self.ask("POST", "login/", wrong, typed=True))[0] == 401
        body = {"username": self.name, "password": PASSWORD}
        assert await self.ask("POST", "login/", body, typed=True) == (200, "Login OK")
        # the page can read the token, and not the key of the login
        cookies = await self.page.evaluate("document.cookie")
        assert "csrftoken=" in cookies
        assert "sessionid" not in cookies

    async def sign_out(self) -> None:
        """Do as the frontend's button does."""
        assert await self.value("logout/", typed=True) == "Logout OK"
        assert (await self.ask("GET", f"resource/list/{self.name}/"))[0] == 403

    async def rows(self) -> list[dict[str, Any]]:
        """The active containers."""
        found: list[dict[str, Any]] = await self.value(f"resource/list/{self.name}/")
        return found

    async def run(self, experiment: str, image: str) -> tuple[int, Any]:
        """Launch."""
        return await self.ask("GET", f"resource/run/{self.name}/{experiment}/{quote(image)}/", typed=True)

    async def end(self, verb: str, container: Mapping[str, Any]) -> dict[str, Any]:
        """Stop or remove."""
        path = f"resource/{verb}/{self.name}/{container['container_name']}/{container['public_name']}/"
        ended: dict[str, Any] = await self.value(path)
        return ended


@asynccontextmanager
async def frontend(facility: System, name: str, *, host: str = "localhost") -> AsyncIterator[Frontend]:
    """A browser at a page that another server gave it, under the name of a host."""
    port = int(facility.env["CALIPSO_CORS_ORIGIN_WHITELIST"].partition(":")[2])

    async def give(_: web.Request) -> web.FileResponse:
        return web.FileResponse(PORTAL)

    portal = web.Application()
    portal.router.add_get("/", give)
    runner = web.AppRunner(portal)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        async with chromium() as made:
            page = await (await made.new_context()).new_page()
            page.set_default_timeout(MILLISECONDS)
            await page.goto(f"http://{host}:{port}/")
            yield Frontend(page, f"http://localhost:{facility.port}/", name)
    finally:
        await runner.cleanup()


async def test_a_scientist(installation: System) -> None:
    async with frontend(installation, "ada") as ada:
        assert (await ada.ask("GET", "images/", typed=True))[0] == 403
        await ada.sign_in()
        assert await ada.value("login/type/") == {"result": True}
        assert (await ada.value("users/ada/"))["user"]["is_superuser"] is False

        page = "users/ada/experiments/?page=1&ordering="
        (experiment,) = (await ada.value(page, typed=True))["results"]
        for mark, count in (("1", 1), ("0", 0)):
            marked = await ada.ask("PUT", f"favorite/{experiment['id']}/", {"favorite": mark}, typed=True, token=True)
            assert marked == (200, {"id": experiment["id"], "favorite": mark == "1"})
            assert (await ada.value(f"{page}&{MARK}=1", typed=True))["count"] == count
        assert (await ada.ask("PUT", f"favorite/{experiment['id']}/", {"favorite": "1"}, typed=True))[0] == 403

        assert "slow" in {image["public_name"] for image in await ada.value("images/", typed=True)}
        image, quota, used = [await ada.value(path) for path in ("images/slow/", "quota/ada/", "used_quota/ada/")]
        assert all(int(each["memory"][:-1]) >= 0 for each in (image, quota, used) if each["memory"].endswith("G"))
        assert used["max_simultaneous"] == 0

        session = f"{experiment['proposal_id']}~{experiment['sessions'][0]['session_number']}"
        held = asyncio.create_task(ada.run(session, "slow"))
        while not (rows := await ada.rows()):
            assert not held.done()
        assert (rows[0]["container_status"], rows[0]["host_port"]) == ("busy", "0")
        assert not held.done()
        status, container = await held
        assert (status, container["container_status"]) == (201, "created")
        assert container["container_name"] == rows[0]["container_name"]
        assert container["calipso_experiment"] == experiment["sessions"][0]["session_number"]
        assert (await ada.run(session, "slow"))[1]["error"] == "Resource already launched"

        # at once after each other, and the list is what the page draws anew
        stopped = await ada.end("stop", container)
        removed = await ada.end("rm", container)
        assert (stopped["container_status"], removed["container_status"]) == ("stopped", "removed")
        assert stopped["id"] == removed["id"] == container["id"]
        assert await ada.rows() == []
        assert (await ada.value("used_quota/ada/"))["max_simultaneous"] == 0
        await ada.sign_out()


async def test_an_own_resource_that_is_opened_in_a_window(installation: System) -> None:
    async with frontend(installation, "ada") as ada:
        await ada.sign_in()
        status, container = await ada.run("k3x9q", "link")
        assert (status, container["container_status"], container["calipso_experiment"]) == (201, "created", "k3x9q")
        assert container["host_port"].startswith("http")
        await ada.end("stop", container)
        await ada.end("rm", container)
        status, refused = await ada.run("k3x9q", "crash")
        assert (status, bool(refused["error"])) == (502, True)
        assert await ada.rows() == []
        await ada.sign_out()


async def test_an_administrator(installation: System) -> None:
    container_form = {"image": "desktop:12", "protocol": "vnc", "cpu": "1", "memory": "3G", "hdd": "5G"}
    machine_form = {"image": "debian", "flavor": "small", "protocol": "", "cpu": "", "memory": "", "hdd": ""}
    async with frontend(installation, "root") as root:
        await root.sign_in()
        assert (await root.value("users/root/"))["user"]["is_superuser"] is True
        for name, form, kind in (
            ("form-container", container_form, "docker"),
            ("form-machine", machine_form, "virtual machine"),
        ):
            body = {"public_name": name, **form, "resource_type": kind}
            assert await root.ask("POST", f"images/{name}/", body, typed=True, token=True) == (201, None)
        assert {"form-container", "form-machine"} <= {i["public_name"] for i in await root.value("images/", typed=True)}
        for name in ("form-container", "form-machine"):
            assert (await root.ask("DELETE", f"images/{name}/", token=True))[0] == 204
        users = await root.value("users/?page=1&ordering=&search=ada")
        assert "ada" in {user["user"]["username"] for user in users["results"]}
        for path in ("users/ada/", "resource/list/ada/", "quota/ada/", "used_quota/ada/"):
            await root.value(path)
        await root.sign_out()


async def test_another_site_starts_nothing(installation: System) -> None:
    async with frontend(installation, "ada") as ada:
        await ada.sign_in()
        run = f"{ada.api}resource/run/ada/evil1/link/"
        # another site in the same browser, by the other name of this machine
        other = await ada.page.context.new_page()
        await other.goto(ada.page.url.replace("localhost", "127.0.0.1"))
        status, _ = await Frontend(other, ada.api, "ada").ask("GET", "resource/run/ada/evil1/link/")
        assert status == UNSEEN
        loaded = (
            "(address) => new Promise(done => { const i = new Image(); i.onload = i.onerror = done; i.src = address })"
        )
        await other.evaluate(loaded, run)
        # with a link the browser sends the cookie
        answered = await other.goto(run)
        assert answered is not None
        assert answered.status == 403
        assert "link" in await answered.text()
        assert await ada.rows() == []
        await ada.sign_out()
