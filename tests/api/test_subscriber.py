"""The subscriber of the guide closes what the stream has lost, over HTTP."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.api.conftest import PASSWORD, Api
from tests.conftest import nats_server
from tests.published.subscribing import payloads, publish, subscriber

from calipso.events.envelope import Recorded


@pytest.fixture
def nats_url(tmp_path: Path, free_port: int) -> Iterator[str]:
    with nats_server(free_port, tmp_path / "nats"):
        yield f"nats://127.0.0.1:{free_port}"


def stored(api: Api, after: int = 0) -> list[Recorded]:
    found: list[Recorded] = []
    while events := api.backend.store.read(after=after, limit=500).events:
        found += events
        after = events[-1].position
    return found


def test_what_the_stream_has_lost_comes_over_http(api: Api, administrator: str, nats_url: str, tmp_path: Path) -> None:
    api.add_user()
    before = stored(api)
    publish(nats_url, before[-1:])
    account = {"CALIPSO_DEMO_USER": administrator, "CALIPSO_DEMO_PASSWORD": PASSWORD}
    with subscriber(tmp_path, nats_url, "--http", f"{api.url}/", **account) as printed:
        assert printed(len(before)) == payloads(before)
        api.add_user()
        later = stored(api, before[-1].position)
        publish(nats_url, later)
        assert printed(len(before) + len(later))[len(before) :] == payloads(later)
