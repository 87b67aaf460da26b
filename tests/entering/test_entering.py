"""Entering a desktop: the frontend's link and the call of new clients end in Guacamole, and no password does."""

import json
from base64 import b64encode, urlsafe_b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, quote
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.api.conftest import Api, make_backend, served, url_of  # noqa: F401 - fixtures
from tests.api.visitors import Answer, People, Visitor, obey, people_of
from tests.conftest import find_free_port, wait_until
from tests.entering.web_application import WebApplication, web_application
from tests.hurry import Hurry

from calipso import credentials
from calipso.api.entering import read_account
from calipso.backend import Backend
from calipso.commands.container import ClaimContainer, RecordContainerStarted, RecordContainerStopped, StopContainer
from calipso.commands.image import AddImage
from calipso.commands.request import RequestContainer, TargetOffered
from calipso.errors import Invalid
from calipso.events.naming import container_name
from calipso.events.values import ImageSpec, Placement, Protocol, Resources, Runtime
from calipso.projections.registry import GUACAMOLE

PUBLIC = "https://desktops.example.org/guacamole/"
RESOURCES = Resources(millicores=1, memory=1, disk=1)


@pytest.fixture(scope="module")
def database(make_database: Callable[[], str]) -> str:
    return make_database()


@pytest.fixture(scope="module")
def guacamole(database: str) -> Iterator[WebApplication]:
    with web_application(database) as made:
        yield made


@pytest.fixture(scope="module")
def api(make_backend: Callable[..., Backend], database: str, guacamole: WebApplication) -> Iterator[Api]:  # noqa: F811 - the fixture
    backend = make_backend(
        guacamole_database_url=url_of(database),
        guacamole_url=guacamole.url,
        guacamole_public_url=PUBLIC,
        outside_timeout=120,
        max_resources_per_user=100,
    )
    try:
        with served(backend) as made:
            yield made
    finally:
        backend.close()


@pytest.fixture(scope="module")
def people(api: Api) -> People:
    return people_of(api)


@pytest.fixture(autouse=True)
def _no_trouble(guacamole: WebApplication) -> Iterator[None]:
    yield
    guacamole.trouble = ""
    guacamole.wrong.clear()


@dataclass(frozen=True, kw_only=True)
class Desktop:
    """A container that runs, and its object as its owner sees it."""

    owner: Visitor
    container_id: UUID
    shown: dict[str, object]

    @property
    def account(self) -> tuple[str, str]:
        return str(self.shown["guacamole_username"]), str(self.shown["guacamole_password"])


async def start(owner: Visitor, *, protocol: Protocol = Protocol.VNC, link: str = "", running: bool = True) -> Desktop:
    api, name, container_id = owner.api, uuid4().hex, uuid4()
    naming = api.backend.installation.naming
    spec = ImageSpec(reference="desktop:12", runtime=Runtime.DOCKER, protocol=protocol, resources=RESOURCES)
    image = AddImage(image_id=naming.image(name), name=name, spec=spec)
    request = RequestContainer(
        container_id=container_id,
        user_id=owner.user_id,
        image_id=image.image_id,
        image_name=name,
        label=name,
        info=name,
        targets=(TargetOffered(target_id=naming.target("docker"), name="docker"),),
    )
    placement = Placement(runtime_id="9f86", name="calipso-9f86", host="10.0.0.7", port=5901, link=link)
    started = RecordContainerStarted(
        container_id=container_id, claimant="docker/0", placement=placement, image_digest="sha256:9f86"
    )
    claimed = ClaimContainer(container_id=container_id, claimant="docker/0")
    obey(api, image, request, *([claimed, started] if running else []))
    if api.backend.guacamole_engine:
        wait_until(lambda: _is_projected(api), "Guacamole's rows")
    found = next(each for each in (await owner.get("/containers/")).json() if each["public_name"] == name)
    return Desktop(owner=owner, container_id=container_id, shown=found)


def _is_projected(api: Api) -> bool:
    parts = {part.name: part.position for part in api.backend.parts.all()}
    return parts.get(GUACAMOLE, 0) >= api.backend.store.head()


def link(account: str, password: str) -> str:
    """What the frontend puts behind the address of Guacamole."""
    return "?t=" + b64encode(f"un={account}&up={password}".encode()).decode()


def content(answer: Answer) -> str:
    """The text of a page, which must load nothing and hold no password."""
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    return answer.body.decode()


def check_place(place: str, desktop: Desktop, guacamole: WebApplication) -> None:
    """Check that an address opens this desktop, and tells no password."""
    client, _, query = place.removeprefix(f"{PUBLIC}#/client/").partition("?")
    number, kind, source = urlsafe_b64decode(client + "=" * (-len(client) % 4)).decode().split("\0")
    assert (kind, source) == ("c", "postgresql")
    with desktop.owner.api.backend.guacamole_engine.connect() as connection:  # type: ignore[union-attr]  # it is set
        named = connection.exec_driver_sql(
            f"SELECT connection_name FROM guacamole_connection WHERE connection_id = {int(number)}"  # noqa: S608 - a number
        ).scalar_one()
    assert named == container_name(desktop.container_id)
    given = parse_qs(query)
    assert list(given) == ["token"]
    assert given["token"][0] in guacamole.tokens
    assert desktop.account[1] not in place


async def test_the_frontends_link_ends_in_the_desktop(people: People, guacamole: WebApplication) -> None:
    desktop = await start(people.ada)
    answer = await people.nobody.get(f"/enter/{link(*desktop.account)}")
    assert answer.status == 302
    check_place(answer.headers["Location"], desktop, guacamole)
    assert (answer.headers["Cache-Control"], answer.headers["Referrer-Policy"]) == ("no-store", "no-referrer")
    assert answer.body == b""


async def test_the_link_without_its_slash_is_sent_on(people: People) -> None:
    answer = await people.nobody.get("/enter?t=abc")
    assert (answer.status, answer.headers["Location"]) == (301, "/enter/?t=abc")


async def test_the_owner_gets_the_address_with_a_token(people: People, guacamole: WebApplication) -> None:
    desktop = await start(people.ada)
    answer = await people.ada.ask("POST", f"/containers/{desktop.shown['id']}/enter")
    assert answer.status == 200
    check_place(answer.json()["url"], desktop, guacamole)


async def test_guacamole_is_told_who_asks(people: People, guacamole: WebApplication) -> None:
    desktop = await start(people.ada)
    guacamole.asked_for.clear()
    await people.nobody.get(f"/enter/{link(*desktop.account)}")
    assert guacamole.asked_for == {"127.0.0.1": 1}


async def test_nobody_else_gets_an_address(people: People, guacamole: WebApplication) -> None:
    desktop = await start(people.ada)
    path, before = f"/containers/{desktop.shown['id']}/enter", len(guacamole.tokens)
    assert (await people.bob.ask("POST", path)).status == 404
    assert (await people.nobody.ask("POST", path)).status == 403
    assert (await people.admin.ask("POST", path)).status == 403
    assert (await people.ada.get(path)).status == 405
    assert (await people.ada.ask("POST", "/containers/one/enter")).status == 404
    assert len(guacamole.tokens) == before


async def test_a_login_by_cookie_needs_its_token(api: Api, people: People) -> None:
    desktop = await start(people.ada)
    async with api.signed_in(people.ada.name) as session:
        async with session.post(f"/containers/{desktop.shown['id']}/enter") as answer:
            assert answer.status == 200
        del session.headers["X-CSRFToken"]
        async with session.post(f"/containers/{desktop.shown['id']}/enter") as answer:
            assert answer.status == 403


async def test_what_does_not_run_is_not_entered(people: People) -> None:
    waiting = await start(people.ada, running=False)
    answer = await people.ada.ask("POST", f"/containers/{waiting.shown['id']}/enter")
    assert (answer.status, "requested" in json.loads(answer.body)["error"]) == (409, True)
    page = await people.nobody.get(f"/enter/{link(*waiting.account)}")
    assert (page.status, "has ended" in content(page)) == (404, True)


@pytest.mark.parametrize(
    ("protocol", "place"), [(Protocol.HTTP, "{api}/web/{container}/"), (Protocol.NONE, "http://10.0.0.7:8888/")]
)
async def test_what_has_a_link_is_opened_by_it(people: People, protocol: Protocol, place: str) -> None:
    notebook = await start(people.bob, protocol=protocol, link="http://10.0.0.7:8888/?token=abc")
    answer = await people.bob.ask("POST", f"/containers/{notebook.shown['id']}/enter")
    address = place.format(api=people.bob.api.url, container=notebook.container_id)
    assert (answer.status, answer.json()) == (200, {"url": f"{address}?token=abc"})


async def test_what_has_neither_link_nor_connection_is_told(people: People) -> None:
    plain = await start(people.bob, protocol=Protocol.NONE)
    assert (await people.bob.ask("POST", f"/containers/{plain.shown['id']}/enter")).status == 409


async def test_an_ended_desktop_is_told(people: People) -> None:
    desktop = await start(people.bob)
    stop = StopContainer(container_id=desktop.container_id)
    obey(people.bob.api, stop, RecordContainerStopped(container_id=desktop.container_id))
    page = await people.nobody.get(f"/enter/{link(*desktop.account)}")
    assert (page.status, "has ended" in content(page)) == (404, True)


async def test_guesses_never_reach_guacamole_and_are_throttled(people: People, guacamole: WebApplication) -> None:
    desktop = await start(people.bob)
    account, password = desktop.account
    for number in range(10):
        page = await people.nobody.get(f"/enter/{link(account, f'guess{number}')}")
        assert (page.status, "lawful" in content(page)) == (403, True)
    page = await people.nobody.get(f"/enter/{link(account, password)}")
    assert (page.status, int(page.headers["Retry-After"]) > 0) == (429, True)
    assert not guacamole.wrong
    # the owner is not hindered by guesses of others
    assert (await people.bob.ask("POST", f"/containers/{desktop.shown['id']}/enter")).status == 200


@pytest.mark.parametrize(
    "given",
    ["", "?t=", "?t=!!!", "?t=" + "A" * 10_000, "?t=" + quote(b64encode(b"\xff\xfe").decode()), link("x", "y")]
    + ["?t=" + b64encode(text).decode() for text in (b"un=a", b"up=a", b"un=&up=", b"a" * 900, b"un=a&up=b&un=c")],
)
async def test_links_of_another_form_are_refused(people: People, given: str) -> None:
    answer = await people.nobody.get(f"/enter/{given}")
    assert (answer.status, "t: must be base64" in content(answer)) == (400, True)


@pytest.mark.parametrize(("given", "status"), [("?t=%00", 400), ("?t=" + "A" * 100_000, 413)])
async def test_links_that_no_browser_sends_are_refused(people: People, given: str, status: int) -> None:
    assert (await people.nobody.get(f"/enter/{given}")).status == status


@pytest.mark.parametrize("trouble", ["hang", "html", "strange", "403", "404", "500", "503"])
async def test_guacamole_in_trouble_is_told_without_its_words(
    people: People, guacamole: WebApplication, hurry: Hurry, trouble: str
) -> None:
    desktop = await start(people.ada)
    guacamole.trouble = trouble
    hurry(trouble)
    page = await people.nobody.get(f"/enter/{link(*desktop.account)}")
    assert (page.status, "Guacamole does not answer as it should" in content(page)) == (503, True)
    answer = await people.ada.ask("POST", f"/containers/{desktop.shown['id']}/enter")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert json.loads(answer.body)["error"].startswith("Guacamole is not available: ")
    for told in (page.body, answer.body):
        assert desktop.account[1].encode() not in told
        assert b"stack trace" not in told
    guacamole.trouble = ""
    hurry("")
    assert (await people.nobody.get(f"/enter/{link(*desktop.account)}")).status == 302


async def test_rows_that_somebody_removed_are_told(people: People, api: Api) -> None:
    desktop = await start(people.bob)
    assert api.backend.guacamole_engine is not None
    with api.backend.guacamole_engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM guacamole_connection_permission")
    page = await people.nobody.get(f"/enter/{link(*desktop.account)}")
    assert (page.status, "does not answer as it should" in content(page)) == (503, True)


async def test_a_guacamole_that_is_away_is_told(
    make_backend: Callable[..., Backend],  # noqa: F811 - the fixture
) -> None:
    backend = make_backend(guacamole_url=f"http://127.0.0.1:{find_free_port()}/guacamole", outside_timeout=120)
    try:
        with served(backend) as api:
            desktop = await start(people_of(api).ada)
            page = await Visitor(api=api).get(f"/enter/{link(*desktop.account)}")
            assert (page.status, "does not answer as it should" in content(page)) == (503, True)
    finally:
        backend.close()


async def test_without_a_guacamole_there_is_nothing_to_enter(
    make_backend: Callable[..., Backend],  # noqa: F811 - the fixture
) -> None:
    backend = make_backend()
    try:
        with served(backend) as api:
            desktop = await start(people_of(api).ada)
            page = await Visitor(api=api).get(f"/enter/{link(*desktop.account)}")
            assert (page.status, "CALIPSO_GUACAMOLE_URL" in content(page)) == (404, True)
            answer = await desktop.owner.ask("POST", f"/containers/{desktop.shown['id']}/enter")
            assert answer.status == 404
    finally:
        backend.close()


@given(st.uuids())
def test_every_account_passes_through_a_link(container_id: UUID) -> None:
    keys = credentials.parse_master_keys("1:" + b64encode(b"k" * 32).decode())
    account = credentials.guacamole_username(container_id)
    password = credentials.guacamole_password(keys, 1, container_id)
    text = link(account, password).removeprefix("?t=")
    for sent in (text, text.rstrip("="), text.replace("+", " "), text.replace("+", "-").replace("/", "_")):
        assert read_account(sent) == (account, password)


@given(st.text(max_size=2000))
def test_no_other_text_is_taken_for_an_account(text: str) -> None:
    with pytest.raises(Invalid):
        read_account(text)
