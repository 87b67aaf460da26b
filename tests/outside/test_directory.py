"""Numeric accounts from the facility's directory, when a container is asked for."""

from collections.abc import Callable, Iterator

import pytest
from tests.api.conftest import Api, make_backend, served  # noqa: F401 - fixtures
from tests.api.visitors import Answer, Visitor, obey
from tests.hurry import Hurry
from tests.outside.conftest import ACCOUNT_PASSWORD, NUMBERS, Office

from calipso.backend import Backend
from calipso.commands.handling import CONTAINER
from calipso.commands.image import AddImage
from calipso.events.values import ImageSpec, Protocol, Resources, Runtime
from calipso.projections import containers

DEFAULT = 3000


@pytest.fixture(scope="module")
def api(office: Office, make_backend: Callable[..., Backend]) -> Iterator[Api]:  # noqa: F811 - the fixture
    backend = make_backend(
        api_url_for_uid_and_gid=f"{office.url}/accounts/$USERNAME",
        default_uid=DEFAULT,
        default_gid=DEFAULT,
        local_access_username="calipso",
        local_access_password=ACCOUNT_PASSWORD,
        outside_timeout=120,
        run_limit=0.1,
    )
    try:
        with served(backend) as made:
            image_id = made.backend.installation.naming.image("desktop")
            spec = ImageSpec(
                reference="desktop:12", runtime=Runtime.DOCKER, protocol=Protocol.VNC, resources=Resources(memory=1)
            )
            made.obey(AddImage(image_id=image_id, name="desktop", spec=spec))
            yield made
    finally:
        backend.close()


async def run(api: Api, name: str) -> Answer:
    """Ask for a container, which nobody starts."""
    api.add_user(name)
    obey(api)
    return await Visitor(api=api, name=name).ask("POST", f"/resource/run/{name}/word/desktop/")


def numbers(api: Api, name: str) -> list[tuple[int, int]]:
    """The numeric accounts of the containers that a user asked for."""
    obey(api)
    with api.backend.engine.connect() as connection:
        found = containers.every_of(connection, api.user_id(name))
    states = [api.backend.dispatcher.state(CONTAINER, each.container_id) for each in found]
    return [(state.request.identity.uid, state.request.identity.gid) for state in states if state]


async def test_a_container_has_the_account_of_the_directory(api: Api) -> None:
    assert (await run(api, "Ada")).status == 504
    assert numbers(api, "Ada") == [NUMBERS["ada"]]


async def test_somebody_whom_the_directory_does_not_know_has_the_default(api: Api) -> None:
    assert (await run(api, "bob")).status == 504
    assert numbers(api, "bob") == [(DEFAULT, DEFAULT)]


async def test_root_of_the_directory_is_refused(api: Api) -> None:
    assert (await run(api, "eve")).status == 403
    assert numbers(api, "eve") == []


@pytest.mark.parametrize("trouble", ["hang", "html", "redirect", "huge", "error", "close"])
async def test_a_directory_in_trouble_starts_nothing(api: Api, office: Office, hurry: Hurry, trouble: str) -> None:
    office.trouble(trouble)
    hurry(trouble)
    answer = await run(api, f"grace-{trouble}")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert b"the directory of numeric accounts" in answer.body
    assert numbers(api, f"grace-{trouble}") == []
