"""The frame of the console: signing in and out, who may see it, errors as pages, files, colours that can be read."""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from itertools import product
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from tests.api.conftest import PASSWORD, Api, served
from tests.api.pages import Page
from tests.api.visitors import Answer, People, Visitor, obey, people_of

from calipso.api.console.shell import FILES, NAVIGATION
from calipso.backend import Backend
from calipso.commands.user import GrantRole
from calipso.events.user import Role

READABLE, VISIBLE = 4.5, 3.0


@pytest.fixture(scope="module")
def people(api: Api) -> People:
    found = people_of(api)
    obey(api, GrantRole(user_id=found.bob.user_id, role=Role.AUDITOR))
    return found


async def asked(session: aiohttp.ClientSession, method: str, path: str, **form: str) -> Answer:
    """What a browser gets, before it follows anything."""
    headers = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"}
    data = {"data": form} if form else {}
    async with session.request(method, path, allow_redirects=False, headers=headers, **data) as answer:  # type: ignore[arg-type]  # a form
        return Answer(status=answer.status, body=await answer.read(), headers=dict(answer.headers))


@pytest.fixture
async def browser(api: Api) -> AsyncIterator[aiohttp.ClientSession]:
    async with api.anonymous() as session:
        yield session


def token_of(page: Page) -> str:
    return next(iter(page.root.all("input", name="csrfmiddlewaretoken"))).attributes["value"]


async def test_an_auditor_signs_in_goes_on_and_signs_out(browser: aiohttp.ClientSession, people: People) -> None:
    wanted = "/console/events/?kind=user&user=" + people.bob.name
    answer = await asked(browser, "GET", wanted)
    assert answer.status == 303
    place = urlsplit(answer.headers["Location"])
    assert (place.path, parse_qs(place.query)) == ("/console/sign-in/", {"next": [wanted]})

    form = Page(await asked(browser, "GET", answer.headers["Location"]))
    given = {"next": form.root.one("input", name="next").attributes["value"], "username": people.bob.name}
    wrong = Page(await asked(browser, "POST", "/console/sign-in/", **given, password="wrong"), status=401)
    assert wrong.wrong == "Not signed in. Invalid username/password."
    assert wrong.root.one("input", name="username").attributes["value"] == people.bob.name
    assert "value" not in wrong.root.one("input", name="password").attributes
    answer = await asked(browser, "POST", "/console/sign-in/", **given, password=PASSWORD)
    assert (answer.status, answer.headers["Location"]) == (303, wanted)

    page = Page(await asked(browser, "GET", wanted))
    assert page.title == "Timeline"
    async with browser.get("/authenticated/") as known:
        assert (await known.json())["username"] == people.bob.name
    # another site, which does not know the token, ends nothing
    Page(await asked(browser, "POST", "/console/sign-out/", csrfmiddlewaretoken="guess"), status=403)
    answer = await asked(browser, "POST", "/console/sign-out/", csrfmiddlewaretoken=token_of(page))
    assert (answer.status, answer.headers["Location"]) == (303, "/console/sign-in/")
    async with browser.get("/authenticated/") as known:
        assert known.status == 401


@pytest.mark.parametrize(
    "place", ["https://evil.example/console/", "//evil.example", "/console/../logout/\\", "/\\evil", "/logout/", ""]
)
async def test_nobody_is_led_elsewhere(browser: aiohttp.ClientSession, people: People, place: str) -> None:
    form = {"username": people.bob.name, "password": PASSWORD, "next": place}
    answer = await asked(browser, "POST", "/console/sign-in/", **form)
    assert (answer.status, answer.headers["Location"]) == (303, "/console/events/")


async def test_another_site_signs_nobody_in(browser: aiohttp.ClientSession, people: People) -> None:
    form = {"username": people.bob.name, "password": PASSWORD}
    headers = {"Sec-Fetch-Site": "cross-site"}
    async with browser.post("/console/sign-in/", data=form, headers=headers, allow_redirects=False) as answer:
        assert answer.status == 403
        assert "Set-Cookie" not in answer.headers


async def test_who_is_signed_in_needs_the_token_to_sign_in_anew(api: Api, people: People) -> None:
    async with api.signed_in(people.bob.name) as session:
        session.headers.pop("X-CSRFToken")
        form = {"username": people.ada.name, "password": PASSWORD}
        Page(await asked(session, "POST", "/console/sign-in/", **form), status=403)
        page = Page(await asked(session, "GET", "/console/sign-in/"))
        assert f"signed in as {people.bob.name}" in page.text
        answer = await asked(session, "POST", "/console/sign-in/", **form, csrfmiddlewaretoken=token_of(page))
        assert answer.status == 303


async def test_too_many_attempts_are_told(api: Api, browser: aiohttp.ClientSession) -> None:
    form = {"username": api.add_user(), "password": "wrong"}
    statuses = [(await asked(browser, "POST", "/console/sign-in/", **form)).status for _ in range(11)]
    assert statuses == [401] * 10 + [429]
    answer = await asked(browser, "POST", "/console/sign-in/", **form)
    assert int(answer.headers["Retry-After"]) > 0
    assert "too many attempts" in Page(answer, status=429).wrong.lower()


async def test_who_has_no_role_is_told_how_to_get_it(people: People) -> None:
    for section in NAVIGATION:
        page = Page(await people.ada.get(section.path), status=403)
        assert page.title == "The role of an auditor is missing"
        assert page.root.one("pre").text == f"calipso users grant {people.ada.name} auditor"
        assert page.root.all("nav") == []


@pytest.mark.parametrize("section", NAVIGATION, ids=lambda section: section.word)
async def test_every_section_is_a_page_that_can_be_used(people: People, section: object) -> None:
    # nobody keeps messages here, and a page of them says so
    status = 503 if section.path == "/console/dead-letters/" else 200  # type: ignore[attr-defined]  # a section
    page = Page(await people.admin.get(section.path), status=status)  # type: ignore[attr-defined]  # a section
    assert [e.text for e in page.root.one("nav").all("a", **{"aria-current": "page"})] == [section.word]  # type: ignore[attr-defined]  # a section


async def test_errors_are_pages_there_and_problems_elsewhere(people: People) -> None:
    page = Page(await people.admin.get("/console/nothing/"), status=404)
    assert page.wrong == "there is nothing at /console/nothing/"
    page = Page(await people.admin.ask("DELETE", "/console/events/"), status=405)
    assert 'Method "DELETE" not allowed' in page.wrong
    answer = await people.nobody.get("/console")
    assert (answer.status, answer.headers["Location"]) == (301, "/console/")
    answer = await people.nobody.get("/console/")
    assert (answer.status, answer.headers["Location"]) == (303, "/console/events/")
    assert (await people.admin.get("/nothing/")).json()["detail"] == "Not found."


async def test_files_are_kept_by_browsers_until_they_change(people: People) -> None:
    page = Page(await people.nobody.get("/console/sign-in/"))
    addresses = {e.attributes["href"] for e in page.root.all("link")}
    assert {address.rpartition("/")[2].partition("?")[0] for address in addresses} == {"console.css", "icon.svg"}
    for address in addresses:
        answer = await people.nobody.get(address)
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "public, max-age=31536000, immutable")
        assert answer.body
        plain = await people.nobody.get(address.partition("?")[0])
        assert plain.headers["Cache-Control"] == "no-cache"
        async with aiohttp.ClientSession(people.nobody.api.url) as session:
            asked_again = session.get(address, headers={"If-None-Match": answer.headers["Etag"]})
            async with asked_again as unchanged:
                assert unchanged.status == 304
    assert page.root.all("script") == []
    for name in ("..%2Fshell.py", "none.css", "base.html"):
        assert (await people.nobody.get(f"/console/static/{name}")).status == 404


async def test_below_a_prefix_every_link_leads_below_it(make_backend: Callable[..., Backend]) -> None:
    backend = make_backend(
        base_path="/calipsoplus-services/", oidc_enabled="1", oidc_op_issuer="http://127.0.0.1:9/realm",
        oidc_rp_client_id="calipso", umbrella_login="https://umbrella.example.org/",
    )  # fmt: skip
    try:
        with served(backend) as api:
            page = Page(await Visitor(api=api).get("/calipsoplus-services/console/sign-in/"))
    finally:
        backend.close()
    told = [*page.links(), *(e.attributes["action"] for e in page.root.all("form"))]
    assert [place for place in told if not place.startswith(("/calipsoplus-services/", "#"))] == []
    assert {"/calipsoplus-services/oidc/authenticate/?after=console", "/calipsoplus-services/umbrella/login/"} <= set(
        told
    )


# colours


def schemes() -> Mapping[str, Mapping[str, str]]:
    """The colours of the style by day and by night."""
    style = (FILES / "console.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    light, dark = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block)) for block in blocks]
    assert light.keys() == dark.keys()
    return {"light": light, "dark": dark}


def luminance(colour: str) -> float:
    """The relative luminance of WCAG 2."""
    shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


STATES = ("requested", "starting", "running", "stopping", "stopped", "removed", "failed", "lost")
TEXTS = [
    *product(("text", "muted", "accent"), ("page", "surface", "raised", "marked")),
    *product((*STATES, "good", "wrong", "limit", "used"), ("surface", "raised")),
    ("accent-text", "accent"),
    ("wrong", "wrong-surface"),
]
SHAPES = [("border", "surface"), ("border", "page"), ("used", "used-surface")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out(scheme: str) -> None:
    colours = schemes()[scheme]
    assert contrast("#000000", "#ffffff") == 21
    for pairs, least in ((TEXTS, READABLE), (SHAPES, VISIBLE)):
        faint = {pair: round(found, 2) for pair in pairs if (found := contrast(*map(colours.get, pair))) < least}  # type: ignore[arg-type]  # all are there
        assert faint == {}
    named = {name for pair in (*TEXTS, *SHAPES) for name in pair}
    assert set(colours) - named == {"line"}, "a colour that nobody looked at"


def test_no_colour_stands_outside_of_the_names() -> None:
    style = (FILES / "console.css").read_text(encoding="utf-8")
    rest = re.sub(r":root \{.*?\}", "", style, flags=re.DOTALL)
    assert re.findall(r"#[0-9a-f]{3,6}\b|rgb|hsl", rest) == []
    assert "url(" not in style
    assert "@import" not in style
