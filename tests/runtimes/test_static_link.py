"""A link is usable at once, and nothing of it is kept anywhere."""

import threading
from datetime import timedelta

from tests.conftest import PATIENCE
from tests.runtimes.binding import Ear, usable
from tests.runtimes.orders import image, order

from calipso.events.values import Protocol, Runtime
from calipso.runtimes.protocol import ContainerRuntime, Status, Target
from calipso.runtimes.static_link import StaticLinkRuntime

WANTED = order(image("https://example.org/x", Protocol.NONE, runtime=Runtime.STATIC_LINK))


def links() -> ContainerRuntime:
    return StaticLinkRuntime(Target(name="links", runtime=Runtime.STATIC_LINK))


def test_a_link_is_usable_at_once() -> None:
    assert links().start(WANTED).status is Status.RUNNING
    placement = usable(links(), WANTED, seconds=1)
    assert placement.link == "https://example.org/x"
    assert (placement.name, placement.runtime_id) == (WANTED.name, WANTED.request.container_id.hex)
    assert (placement.host, placement.port) == ("", 0)


def test_nothing_is_kept_so_absence_proves_nothing() -> None:
    runtime, container_id = links(), WANTED.request.container_id
    runtime.start(WANTED)
    runtime.stop(container_id, grace=timedelta())
    runtime.remove(container_id)
    assert not runtime.keeps_containers
    assert runtime.observe(container_id) is None
    assert runtime.list() == {}
    assert runtime.logs(container_id, lines=1) == ()
    assert runtime.ping()


def test_a_watch_hears_nothing_until_it_is_ended() -> None:
    ear = Ear(links())
    assert threading.active_count() > 1
    assert ear.close() < PATIENCE / 10
    assert not ear.heard
