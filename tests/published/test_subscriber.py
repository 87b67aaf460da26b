"""The subscriber of the guide, as it is shipped, on a real NATS server."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.builders import History, container_requested, started, user_logged_in, user_registered, uuid_of
from tests.conftest import nats_server
from tests.published.subscribing import PROGRAM, payloads, publish, subscriber


@pytest.fixture
def nats_url(tmp_path: Path, free_port: int) -> Iterator[str]:
    with nats_server(free_port, tmp_path / "nats"):
        yield f"nats://127.0.0.1:{free_port}"


@pytest.fixture
def history() -> History:
    history = History()
    request = container_requested(uuid_of("container"))
    history.record(user_registered(), user_logged_in(), request, started(request))
    return history


def test_all_events_come_as_they_were_published_and_once(nats_url: str, tmp_path: Path, history: History) -> None:
    publish(nats_url, history.events)
    with subscriber(tmp_path, nats_url) as printed:
        assert printed(4) == payloads(history.events)
        later = history.record(user_logged_in())
        publish(nats_url, later)
        assert printed(5)[4:] == payloads(later)
    missed = history.record(user_logged_in(), user_logged_in())
    publish(nats_url, missed)
    with subscriber(tmp_path, nats_url) as printed:
        assert printed(2) == payloads(missed)


def test_a_late_one_begins_at_a_time_and_takes_what_it_wants(nats_url: str, tmp_path: Path, history: History) -> None:
    publish(nats_url, history.events)
    with subscriber(tmp_path, nats_url, "--name", "starts", "--filter", "container.ContainerStarted.*") as printed:
        assert printed(1) == payloads(history.events[3:])
    since = datetime.now(UTC).isoformat()  # of the server that got the messages
    later = history.record(user_logged_in())
    publish(nats_url, later)
    with subscriber(tmp_path, nats_url, "--name", "late", "--since", since) as printed:
        assert printed(1) == payloads(later)


def test_what_came_twice_is_dealt_with_once(nats_url: str, tmp_path: Path, history: History) -> None:
    publish(nats_url, history.events)
    (tmp_path / "kept").write_text("2")
    with subscriber(tmp_path, nats_url) as printed:
        assert printed(2) == payloads(history.events[2:])


def test_a_time_without_zone_is_refused() -> None:
    told = subprocess.run(
        [sys.executable, str(PROGRAM), "--since", "2026-11-20T14:03:00"], capture_output=True, text=True, check=False
    )
    assert told.returncode == 2
    assert "has no time zone" in told.stderr
