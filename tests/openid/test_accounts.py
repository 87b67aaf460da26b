"""Whose account a sign-in opens: known by issuer and subject, never by name; linked by an administrator."""

import asyncio
from collections.abc import Mapping

import pytest
from tests.api.conftest import PASSWORD
from tests.cli.conftest import Ended, run
from tests.openid.browser import Browser, Page, browsing
from tests.openid.conftest import Facility

from calipso.commands.handling import USER
from calipso.events.user import IdentityUnlinked, Role


def environment_of(facility: Facility) -> Mapping[str, str]:
    settings = facility.api.backend.settings
    return {
        "CALIPSO_DATABASE_URL": settings.database_url,
        "CALIPSO_NATS_URL": settings.nats_url,
        "CALIPSO_MASTER_KEYS": settings.master_keys.get_secret_value(),
    }


async def command(facility: Facility, *arguments: str) -> Ended:
    return await asyncio.to_thread(run, environment_of(facility), *arguments)


async def arrive(facility: Facility, subject: str, name: str) -> tuple[Page, str]:
    """Sign in with a browser that has never been anywhere; gives the answer and who is signed in."""
    async with browsing(facility.api) as browser:
        return await browser.sign_in(subject, name), await browser.who()


async def test_an_earlier_login_ends(browser: Browser, facility: Facility) -> None:
    await browser.sign_in("s-earlier", "earlier")
    earlier = browser.cookie("sessionid")
    await browser.sign_in("s-earlier", "earlier")
    assert browser.cookie("sessionid") not in {"", earlier}
    assert await asyncio.to_thread(facility.api.backend.logins.find, earlier) is None


async def test_somebody_else_was_signed_in(browser: Browser, facility: Facility) -> None:
    name = await asyncio.to_thread(facility.api.add_user)
    await browser.go("/login/", "POST", json={"username": name, "password": PASSWORD})
    assert await browser.who() == name
    await browser.sign_in("s-after", "after")
    assert await browser.who() == "after"


async def test_many_first_sign_ins_of_one_person(facility: Facility) -> None:
    arrived = await asyncio.gather(*(arrive(facility, "s-many", "many") for _ in range(8)))
    assert [who for _, who in arrived] == ["many"] * 8


async def test_another_name_later_changes_nothing(facility: Facility) -> None:
    assert (await arrive(facility, "s-renamed", "before"))[1] == "before"
    assert (await arrive(facility, "s-renamed", "afterwards"))[1] == "before"


@pytest.mark.parametrize("name", ["contested", "CONTESTED"])
async def test_a_name_of_another_identity(facility: Facility, name: str) -> None:
    await arrive(facility, "s-first", "contested")
    page, who = await arrive(facility, "s-second", name)
    assert (page.status, who) == (403, "")
    assert "calipso users link" in page.text


async def test_a_new_account_has_no_role(facility: Facility) -> None:
    await arrive(facility, "s-plain", "plain")
    user = await asyncio.to_thread(lambda: facility.api.backend.dispatcher.state(USER, facility.api.user_id("plain")))
    assert user is not None
    assert user.roles == frozenset()


async def test_a_local_account_is_not_taken_over_but_linked(facility: Facility) -> None:
    name = await asyncio.to_thread(lambda: facility.api.add_user("boss", admin=True))
    page, who = await arrive(facility, "s-boss", name)
    assert (page.status, who) == (403, "")

    identity = ("--issuer", facility.issuer, "--subject", "s-boss")
    linked = await command(facility, "users", "link", name, *identity)
    assert (linked.status, linked.out.strip()) == (0, f"s-boss of {facility.issuer} signs in as boss")
    async with browsing(facility.api) as browser:
        await browser.sign_in("s-boss", "whatever")
        assert await browser.who() == name
        user = await asyncio.to_thread(lambda: facility.api.backend.dispatcher.state(USER, facility.api.user_id(name)))
        assert user is not None
        assert Role.ADMINISTRATOR in user.roles

        unlinked = await command(facility, "users", "unlink", name, *identity)
        assert unlinked.status == 0
        assert await browser.who() == ""  # at once
    page, who = await arrive(facility, "s-boss", name)
    assert (page.status, who) == (403, "")
    stored = await asyncio.to_thread(facility.api.backend.store.load, facility.api.user_id(name))
    assert stored[-1].event == IdentityUnlinked(
        user_id=facility.api.user_id(name), issuer=facility.issuer, subject="s-boss"
    )


async def test_an_identity_belongs_to_one_account(facility: Facility) -> None:
    await arrive(facility, "s-mine", "mine")
    name = await asyncio.to_thread(facility.api.add_user)
    identity = ("--issuer", facility.issuer, "--subject", "s-mine")
    ended = await command(facility, "users", "link", name, *identity)
    assert ended.status == 1
    assert "already exists" in ended.err
    assert (await command(facility, "users", "unlink", name, *identity)).status == 1
    assert (await command(facility, "users", "link", "mine", *identity)).status == 0  # as it is
    assert (await arrive(facility, "s-mine", "mine"))[1] == "mine"


async def test_a_subject_of_another_issuer_is_somebody_else(facility: Facility) -> None:
    name = await asyncio.to_thread(facility.api.add_user)
    identity = ("--issuer", "https://elsewhere.example.org", "--subject", "s-elsewhere")
    assert (await command(facility, "users", "link", name, *identity)).status == 0
    assert (await arrive(facility, "s-elsewhere", "elsewhere"))[1] == "elsewhere"
