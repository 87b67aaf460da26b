"""An installation as attackers find it: the API, people with accounts, and a web service as containers have one."""

from collections.abc import Callable, Iterator

import pytest

from calipso.backend import Backend
from tests.api.conftest import Api, make_backend, served  # noqa: F401 - fixtures
from tests.api.visitors import People, people_of
from tests.bus.conftest import house, line, nats_url  # noqa: F401 - fixtures
from tests.portal import service


@pytest.fixture(scope="module")
def api(make_backend: Callable[..., Backend]) -> Iterator[Api]:  # noqa: F811 - the fixture
    """A served installation, with no proxy that is trusted."""
    backend = make_backend(cors_origin_whitelist="https://portal.example.org", max_resources_per_user=100)
    try:
        with served(backend) as made:
            yield made
    finally:
        backend.close()


@pytest.fixture(scope="module")
def people(api: Api) -> People:
    """An administrator, two ordinary users, and nobody."""
    return people_of(api)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A web service as a container has one."""
    with service.serving() as found:
        yield found
