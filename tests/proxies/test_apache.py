"""Behind a real Apache."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from tests.api.conftest import Api
from tests.proxies.conftest import Browse, Certified
from tests.proxies.contract import Begin, FrontContract, upstream
from tests.proxies.fronts import SECRET, Front, apache
from yarl import URL

pytestmark = pytest.mark.proxies


@pytest.fixture(scope="module")
def front(api: Api, certified: Certified, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    port = URL(api.url).port
    assert port is not None
    with apache(tmp_path_factory.mktemp("apache"), port, certified.pair) as made:
        yield made


@pytest.fixture
def begin(certified: Certified, tmp_path: Path) -> Begin:
    def started(port: int) -> AbstractContextManager[Front]:
        return apache(tmp_path, port, certified.pair)

    return started


class TestApache(FrontContract):
    """The contract."""


@pytest.mark.parametrize("path", ["/umbrella/session/", "/umbrella/wuo/"])
async def test_whom_shibboleth_names(begin: Begin, browse: Browse, path: str) -> None:
    headers = {"X-Stand-In-Person": "ada", "EAAHash": "stolen", "uid": "somebody"}
    async with upstream() as behind:
        with begin(behind.port) as front:
            async with browse(headers=headers) as session, session.get(f"{front.url}{path}") as answer:
                assert answer.status == 200
    (asked,) = behind.asked
    assert asked.headers.getall("EAAHash") == ["hash-of-ada"]
    assert asked.headers.getall("uid") == ["ada"]
    assert asked.headers.getall("X-Calipso-Proxy-Secret") == [SECRET]


@pytest.mark.parametrize("path", ["/settings/", "/umbrellas/session/", "/umbrella"])
async def test_elsewhere_nobody_is_named(begin: Begin, browse: Browse, path: str) -> None:
    async with upstream() as behind:
        with begin(behind.port) as front:
            async with (
                browse(headers={"X-Stand-In-Person": "ada"}) as session,
                session.get(f"{front.url}{path}") as answer,
            ):
                assert answer.status == 200
    assert not {"EAAHash", "uid"} & set(behind.asked[0].headers)


async def test_addresses_of_shibboleth_are_not_for_the_api(begin: Begin, browse: Browse) -> None:
    async with upstream() as behind:
        with begin(behind.port) as front:
            async with browse() as session, session.get(f"{front.url}/Shibboleth.sso/Logout") as answer:
                assert answer.status == 404
    assert not behind.asked
