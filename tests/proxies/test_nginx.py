"""Behind a real nginx."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from tests.api.conftest import Api
from tests.proxies.conftest import Certified
from tests.proxies.contract import Begin, FrontContract
from tests.proxies.fronts import Front, nginx
from yarl import URL

pytestmark = pytest.mark.proxies


@pytest.fixture(scope="module")
def front(api: Api, certified: Certified, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    port = URL(api.url).port
    assert port is not None
    with nginx(tmp_path_factory.mktemp("nginx"), port, certified.pair) as made:
        yield made


@pytest.fixture
def begin(certified: Certified, tmp_path: Path) -> Begin:
    def started(port: int) -> AbstractContextManager[Front]:
        return nginx(tmp_path, port, certified.pair)

    return started


class TestNginx(FrontContract):
    """The contract."""
