"""What a stranger may write into our stream: a provisioner believes none of it."""

from uuid import UUID, uuid4

import msgspec
import pytest

from calipso.commands.container import StopContainer
from calipso.events.container import State
from calipso.events.naming import container_name
from tests.bus.conftest import Line, until

KINDS = ["ContainerRequested", "ContainerStopRequested", "ContainerRemovalRequested"]


def forged(kind: str, container_id: UUID) -> bytes:
    """A message as the relay would write it."""
    words = {"ContainerRequested": "requested", "ContainerStopRequested": "stop_requested"}
    envelope = {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": "/calipso/fac",
        "type": f"calipso.container.{words.get(kind, 'removal_requested')}",
        "subject": str(container_id),
        "position": "1",
        "actor": "user:somebody",
        "correlationid": str(uuid4()),
        "causationid": str(uuid4()),
        "data": {"container_id": str(container_id), "image": {"reference": "evil:1"}, "target": "here"},
    }
    return msgspec.json.encode(envelope)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_forged_message_starts_and_ends_nothing(line: Line, kind: str) -> None:
    house, stranger = line.house, uuid4()
    running = house.request()
    await line.relay()
    async with line.served():
        await until(lambda: house.state(running) is State.RUNNING)
        before = house.store.head()
        await line.throw_in(kind, forged(kind, stranger))
        await line.throw_in(kind, forged(kind, running))
        # a real request behind them shows that they have been dealt with
        later = house.request()
        await line.relay()
        await until(lambda: house.state(later) is State.RUNNING)
        house.issue(StopContainer(container_id=later))
        await line.relay()
        await until(lambda: house.state(later) is State.STOPPED)
    assert house.state(running) is State.RUNNING
    assert not house.store.load(stranger)
    assert not [r for r in house.store.read(after=before, limit=1000).events if r.stream in {stranger, running}]
    assert container_name(stranger) not in str(house.world.__dict__)
    assert house.is_consistent()


async def test_the_words_of_a_forged_message_come_into_no_record(line: Line) -> None:
    house = line.house
    container_id = house.request()
    await line.throw_in("ContainerRequested", forged("ContainerRequested", container_id))
    await line.relay()
    async with line.served():
        await until(lambda: house.state(container_id) is State.RUNNING)
    for recorded in house.store.load(container_id):
        assert "evil" not in repr(recorded.event)
        assert "somebody" not in recorded.actor
