"""A sign-in belongs to the browser that began it, once; what happens around it."""

import asyncio

import psycopg
import pytest
from tests.openid.browser import Browser, browsing
from tests.openid.conftest import PORTAL, Facility

from calipso.events.user import UserLoggedIn

TEN_MINUTES = 600


def flow_cookies(browser: Browser) -> list[str]:
    return [cookie.key for cookie in browser.session.cookie_jar if cookie.key.startswith("calipso_oidc_")]


async def test_the_way_to_the_provider(browser: Browser, facility: Facility) -> None:
    first, second = await browser.go("/oidc/authenticate/"), await browser.go("/oidc/authenticate/")
    sent = first.query()
    assert first.status == 302
    assert first.next.startswith(f"{facility.issuer}/auth?")
    assert (sent["response_type"], sent["client_id"]) == ("code", "calipso")
    assert sent["scope"] == "openid email profile"
    assert sent["redirect_uri"] == f"{facility.api.url}/oidc/callback/"
    assert sent["code_challenge_method"] == "S256"
    for name in ("state", "nonce", "code_challenge"):
        assert len(sent[name]) >= 43
        assert sent[name] != second.query()[name]


async def test_its_cookie(browser: Browser) -> None:
    page = await browser.go("/oidc/authenticate/")
    _, *attributes = page.headers["Set-Cookie"].split("; ")
    assert set(attributes) == {"Path=/oidc/", "HttpOnly", "SameSite=Lax", f"Max-Age={TEN_MINUTES}"}


async def test_a_sign_in_opens_a_login_like_any_other(browser: Browser, facility: Facility) -> None:
    page = await browser.sign_in("s-login", "login")
    assert (page.status, page.next) == (302, f"{PORTAL}/hello")
    assert browser.cookie("sessionid")
    assert browser.cookie("csrftoken")
    assert not flow_cookies(browser)
    user_id = facility.api.user_id("login")
    recorded = (await asyncio.to_thread(facility.api.backend.store.load, user_id))[-1]
    assert recorded.event == UserLoggedIn(user_id=user_id, method="oidc")
    assert recorded.actor == f"user:{user_id}"


async def test_another_browser_cannot_end_it(browser: Browser, facility: Facility) -> None:
    address = await browser.come_back("s-victim", "victim")
    async with browsing(facility.api) as another:
        page = await another.go(address)
        assert page.status == 400
        assert await another.who() == ""
    assert (await browser.go(address)).status == 302


async def test_it_ends_once(browser: Browser) -> None:
    address = await browser.come_back("s-once", "once")
    assert (await browser.go(address)).status == 302
    page = await browser.go(address)
    assert page.status == 400
    assert "used already" in page.text


async def test_it_took_too_long(browser: Browser, facility: Facility) -> None:
    address = await browser.come_back("s-late", "late")
    with psycopg.connect(facility.api.backend.settings.database_url) as connection:
        connection.execute("UPDATE sign_in_flows SET expires = now()")
    assert (await browser.go(address)).status == 400
    assert await browser.who() == ""


async def test_its_key_cannot_be_used_with_another_state(browser: Browser, facility: Facility) -> None:
    address = await browser.come_back("s-state", "state")
    name = flow_cookies(browser)[0]
    async with browsing(facility.api) as another:
        state = (await another.go("/oidc/authenticate/")).query()["state"]
        other = flow_cookies(another)[0]
    async with browsing(facility.api) as bare:
        headers = {"Cookie": f"{other}={browser.cookie(name)}"}
        assert (await bare.go(f"/oidc/callback/?code=x&state={state}", headers=headers)).status == 400
    assert (await browser.go(address)).status == 400  # forgotten by the attempt


@pytest.mark.parametrize(
    "query", ["", "?code=x", "?state=x", "?code=x&state=x", "?state=x&state=y", "?state=%00", "?state=" + "x" * 9000]
)
async def test_nothing_was_begun(browser: Browser, query: str) -> None:
    assert (await browser.go(f"/oidc/callback/{query}")).status == 400


async def test_an_answer_of_another_provider(browser: Browser) -> None:
    address = await browser.come_back("s-mixed", "mixed")
    page = await browser.go(address.replace("&iss=", "&iss=https%3A%2F%2Fevil.example.org&was="))
    assert page.status == 403
    page = await browser.go((await browser.come_back("s-mixed", "mixed")).replace("&iss=", "&was="))
    assert page.status == 403


async def test_a_code_of_another_sign_in(browser: Browser, facility: Facility) -> None:
    address = await browser.come_back("s-thief", "thief")
    async with browsing(facility.api) as another:
        stolen = await another.come_back("s-robbed", "robbed")
        code = stolen.partition("code=")[2].partition("&")[0]
        own = address.partition("code=")[2].partition("&")[0]
        page = await browser.go(address.replace(own, code))
    assert page.status == 403  # the verifier is another one
    assert await browser.who() == ""


async def test_the_provider_denies_it(browser: Browser) -> None:
    page = await browser.sign_in("s-denied", denied=True)
    assert page.status == 403
    assert "access denied" in page.text
    assert '<a href="../authenticate/">' in page.text
    assert await browser.who() == ""


@pytest.mark.parametrize(
    ("error", "status"), [("invalid_scope", 502), ("server_error", 503), ("<script>", 502), ("%C3%A4", 502)]
)
async def test_the_provider_tells_of_an_error(browser: Browser, facility: Facility, error: str, status: int) -> None:
    state = (await browser.go("/oidc/authenticate/")).query()["state"]
    page = await browser.go(f"/oidc/callback/?error={error}&state={state}&iss={facility.issuer}")
    assert page.status == status
    assert "<script>" not in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]


async def test_two_tabs(browser: Browser) -> None:
    first = await browser.go("/oidc/authenticate/")
    second = await browser.come_back("s-tabs", "tabs")
    page = await browser.follow(first, browser.api.url)  # the provider knows the browser by now
    assert (await browser.go(page.next)).status == 302
    assert (await browser.go(second)).status == 302
    assert await browser.who() == "tabs"


async def test_no_browser_has_cookies_without_end(browser: Browser) -> None:
    for _ in range(12):
        await browser.go("/oidc/authenticate/")
    assert len(flow_cookies(browser)) <= 4


async def test_a_sign_in_from_the_console_goes_back_to_it(facility: Facility, browser: Browser) -> None:
    page = await browser.sign_in("s-console", "connie", query="?after=console")
    assert (page.status, page.next) == (302, f"{facility.api.url}/console/"), page.text
    assert await browser.who() == "connie"
    for elsewhere in ("https://evil.example/", "//evil.example", "logout"):
        answer = await browser.go(f"/oidc/authenticate/?after={elsewhere}")
        assert (answer.status, answer.next) == (400, "")
