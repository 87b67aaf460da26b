"""A browser that signs in: it keeps cookies, goes where it is sent, and fills in the provider's form."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import aiohttp
from tests.api.conftest import Api
from yarl import URL

_HOPS = 10


@dataclass(frozen=True, kw_only=True)
class Page:
    """What a browser was answered; `next` is where it is sent, empty when it stays."""

    url: str
    status: int
    text: str
    headers: Mapping[str, str]
    next: str = ""

    def query(self) -> Mapping[str, str]:
        """The query of where the browser is sent."""
        return {name: values[0] for name, values in parse_qs(urlsplit(self.next).query).items()}


class Browser:
    """A browser of somebody who visits an installation."""

    def __init__(self, api: Api, session: aiohttp.ClientSession) -> None:
        self.api = api
        self.session = session

    async def go(self, url: str, method: str = "GET", **options: object) -> Page:
        """Ask for an address, or a path of the installation, and go nowhere else."""
        place = URL(url if url.startswith("http") else self.api.url + url, encoded=True)
        async with self.session.request(method, place, allow_redirects=False, **options) as answer:  # type: ignore[arg-type]  # passed on
            to = answer.headers.get("Location", "")
            return Page(
                url=str(place),
                status=answer.status,
                text=await answer.text(),
                headers=dict(answer.headers),
                next=str(place.join(URL(to, encoded=True))) if to else "",
            )

    async def follow(self, page: Page, until: str) -> Page:
        """Go where one is sent, until that is below an address or nowhere."""
        for _ in range(_HOPS):
            if not page.next or page.next.startswith(until):
                return page
            page = await self.go(page.next)
        raise AssertionError(f"sent on and on, now to {page.next}")

    async def come_back(self, subject: str, name: str = "", *, denied: bool = False, query: str = "") -> str:
        """Sign in at the provider; gives the address at the installation to which it sends the browser back."""
        began = await self.go(f"/oidc/authenticate/{query}")
        assert began.status == 302, began.text
        page = await self.follow(began, self.api.url)
        if not page.next:  # the provider does not know the browser yet
            assert page.status == 200, page
            form = {"sub": subject, "name": name or subject, "denied": "1" if denied else ""}
            page = await self.follow(await self.go(page.url, "POST", data=form), self.api.url)
        assert page.next.startswith(f"{self.api.url}/oidc/callback/"), page
        return page.next

    async def sign_in(self, subject: str, name: str = "", *, denied: bool = False, query: str = "") -> Page:
        """Sign in, all the way; gives the answer to the browser that came back."""
        return await self.go(await self.come_back(subject, name, denied=denied, query=query))

    async def who(self) -> str:
        """The name under which the browser is signed in, empty when it is not."""
        page = await self.go("/authenticated/")
        return str(json.loads(page.text)["username"]) if page.status == 200 else ""

    def cookie(self, name: str) -> str:
        """The value of a cookie at the installation, empty when there is none."""
        found = self.session.cookie_jar.filter_cookies(URL(self.api.url) / "oidc/").get(name)
        return found.value if found else ""


@asynccontextmanager
async def browsing(api: Api) -> AsyncIterator[Browser]:
    """A browser that has never been anywhere."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield Browser(api, session)
