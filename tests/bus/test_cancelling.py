"""A cancellation that comes together with an answer of NATS is not lost."""

import asyncio

import pytest
from tests.bus.conftest import Line

from calipso.runtimes.service import queues


@pytest.mark.parametrize("call", ["add_stream", "add_consumer", "pull_subscribe_bind"])
async def test_what_is_cancelled_in_the_moment_of_an_answer_ends(
    line: Line, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    answered, asked = asyncio.get_running_loop().create_future(), asyncio.Event()
    real = getattr(line.bus.jetstream, call)

    async def together(*given: object, **named: object) -> object:
        found = await real(*given, **named)
        asked.set()
        await asyncio.wait_for(asyncio.shield(answered), 60)  # as the library waits for an answer
        return found

    async def take() -> None:
        async for delivery in line.bus.deliveries(queues("fac", "here")[0]):
            await delivery.done()

    monkeypatch.setattr(line.bus.jetstream, call, together)
    task = asyncio.create_task(take())
    await asked.wait()
    await asyncio.sleep(0)  # it waits now
    answered.set_result(None)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=10)
    assert done == {task}
    assert task.cancelled()
