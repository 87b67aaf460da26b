"""Signing out here and at the provider, and what is kept of the provider's tokens meanwhile."""

import asyncio
import re
from urllib.parse import urlsplit

import psycopg
import pytest
from tests.api.conftest import PASSWORD
from tests.openid.browser import Browser, Page, browsing
from tests.openid.conftest import PORTAL, Facility, MakeFacility

from calipso.credentials import MasterKeys
from calipso.login_tokens import LoginTokens, ProviderTokens


async def sign_out(browser: Browser) -> Page:
    """Submit a form as a page of the frontend does."""
    return await browser.go("/oidc/logout/", "POST", data={"csrfmiddlewaretoken": browser.cookie("csrftoken")})


def kept(facility: Facility) -> int:
    with psycopg.connect(facility.api.backend.settings.database_url) as connection:
        row = connection.execute("SELECT count(*) FROM login_tokens").fetchone()
    assert row is not None
    return int(row[0])


async def test_the_provider_signs_out_too(browser: Browser, facility: Facility) -> None:
    await browser.sign_in("s-out", "out")
    key = browser.cookie("sessionid")
    page = await sign_out(browser)
    assert page.status == 302
    assert page.next.startswith(f"{facility.issuer}/session/end?")
    sent = page.query()
    assert sent["post_logout_redirect_uri"] == f"{PORTAL}/bye"
    assert sent["client_id"] == "calipso"
    assert sent["id_token_hint"].count(".") == 2
    assert await browser.who() == ""
    assert not browser.cookie("sessionid")
    backend = facility.api.backend
    assert await asyncio.to_thread(backend.logins.find, key) is None
    assert await asyncio.to_thread(backend.login_tokens.find, key) is None

    asked = await browser.go(page.next)  # the provider believes the hint, and asks
    assert asked.status == 200, asked.text
    form = dict(re.findall(r'name="(\w+)" value="([^"]*)"', asked.text))
    gone = await browser.go(f"{facility.issuer}/session/end/confirm", "POST", data={**form, "logout": "yes"})
    assert gone.next == f"{PORTAL}/bye"
    again = await browser.follow(await browser.go("/oidc/authenticate/"), facility.api.url)
    assert urlsplit(again.url).path.startswith("/interaction/")  # the provider knows nobody


@pytest.mark.parametrize("token", ["", "wrong", "ä"])
async def test_another_site_signs_nobody_out(browser: Browser, token: str) -> None:
    await browser.sign_in("s-stays", "stays")
    assert (await browser.go("/oidc/logout/", "POST", data={"csrfmiddlewaretoken": token})).status == 403
    assert (await browser.go("/oidc/logout/", "POST")).status == 403
    assert (await browser.go("/oidc/logout/", "POST", json={"csrfmiddlewaretoken": "x"})).status == 403
    headers = {"Sec-Fetch-Site": "cross-site", "X-CSRFToken": browser.cookie("csrftoken")}
    assert (await browser.go("/oidc/logout/", "POST", headers=headers)).status == 403
    for method in ("GET", "HEAD", "PUT"):
        assert (await browser.go("/oidc/logout/", method)).status in {403, 405}
    assert await browser.who() == "stays"


async def test_the_header_serves_as_well(browser: Browser) -> None:
    await browser.sign_in("s-header", "header")
    page = await browser.go("/oidc/logout/", "POST", headers={"X-CSRFToken": browser.cookie("csrftoken")})
    assert page.status == 302


async def test_a_local_login_does_not_go_to_the_provider(browser: Browser, facility: Facility) -> None:
    name = await asyncio.to_thread(facility.api.add_user)
    await browser.go("/login/", "POST", json={"username": name, "password": PASSWORD})
    assert (await sign_out(browser)).next == f"{PORTAL}/bye"
    assert await browser.who() == ""


async def test_nobody_signs_out(browser: Browser) -> None:
    page = await browser.go("/oidc/logout/", "POST")
    assert (page.status, page.next) == (302, f"{PORTAL}/bye")


async def test_tokens_go_with_their_login(browser: Browser, facility: Facility) -> None:
    before = await asyncio.to_thread(kept, facility)
    await browser.sign_in("s-goes", "goes")
    assert await asyncio.to_thread(kept, facility) == before + 1
    await browser.go("/logout/")
    assert await asyncio.to_thread(kept, facility) == before


async def test_tokens_are_read_with_the_key_of_the_login_only(browser: Browser, facility: Facility) -> None:
    await browser.sign_in("s-sealed", "sealed")
    backend, key = facility.api.backend, browser.cookie("sessionid")
    tokens = await asyncio.to_thread(backend.login_tokens.find, key)
    assert tokens is not None
    assert tokens.access_token == ""  # nobody needs it
    assert await asyncio.to_thread(backend.login_tokens.find, key + "x") is None
    with psycopg.connect(backend.settings.database_url) as connection:
        rows = connection.execute("SELECT sealed FROM login_tokens").fetchall()
    assert all(tokens.id_token.encode() not in bytes(row[0]) for row in rows)


async def test_tokens_of_a_retired_master_key_are_none(browser: Browser, facility: Facility) -> None:
    await browser.sign_in("s-retired", "retired")
    backend, key = facility.api.backend, browser.cookie("sessionid")
    for keys in (MasterKeys({2: b"2" * 32}), MasterKeys({1: b"1" * 32})):
        assert await asyncio.to_thread(LoginTokens(backend.database, keys).find, key) is None


def test_nothing_is_kept_for_a_login_that_has_ended(facility: Facility) -> None:
    before = kept(facility)
    facility.api.backend.login_tokens.put("no login", ProviderTokens(id_token="x"))
    assert kept(facility) == before


async def test_icat_may_use_the_access_token(make_facility: MakeFacility) -> None:
    with make_facility(icat_openid_connect=True) as facility:
        async with browsing(facility.api) as browser:
            await browser.sign_in("s-icat", "icat")
            tokens = await asyncio.to_thread(facility.api.backend.login_tokens.find, browser.cookie("sessionid"))
            assert tokens is not None
            assert tokens.access_token


async def test_the_provider_is_away_when_somebody_signs_out(make_facility: MakeFacility) -> None:
    explicit = {
        f"oidc_op_{name}_endpoint": f"ISSUER/{path}"
        for name, path in [("authorization", "auth"), ("token", "token"), ("jwks", "jwks"), ("user", "me")]
    }
    with make_facility(**explicit) as facility:
        async with browsing(facility.api) as browser:
            await browser.sign_in("s-away", "away")
            assert (await sign_out(browser)).next == f"{PORTAL}/bye"  # it has no place to sign out
            assert await browser.who() == ""
