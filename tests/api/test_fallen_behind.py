"""A subscriber that fell behind what the stream keeps finds the rest over HTTP, by position."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import aiohttp
import msgspec
import nats
from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from tests.api.conftest import Api, served
from tests.conftest import nats_server, wait_until

from calipso.backend import Backend
from calipso.bootstrap import relaying
from calipso.bus import POSITION, STREAM
from calipso.commands.user import RegisterUser

KEPT = 5


class Subscriber:
    """Follows events as `docs/events.md` says; `cursor` is all that it keeps between its visits."""

    def __init__(self, http: aiohttp.ClientSession, jetstream: JetStreamContext) -> None:
        self.cursor = 0
        self.payloads: list[bytes] = []
        self.asked = 0
        self._http = http
        self._jetstream = jetstream

    async def visit(self) -> None:
        """Deal with everything that is published."""
        state = (await self._jetstream.stream_info(STREAM)).state
        first = await self._jetstream.get_msg(STREAM, seq=state.first_seq)
        if self.cursor < int((first.headers or {})[POSITION]):
            await self._catch_up()
        for sequence in range(state.first_seq, state.last_seq + 1):
            message = await self._jetstream.get_msg(STREAM, seq=sequence)
            self._deal_with(message.data or b"")

    async def _catch_up(self) -> None:
        self.asked += 1
        while True:
            async with self._http.get(f"/events/?after={self.cursor}&limit=7") as answer:
                found = msgspec.json.decode(await answer.read(), type=list[msgspec.Raw])
            if not found:
                return
            for payload in found:
                self._deal_with(bytes(payload))

    def _deal_with(self, payload: bytes) -> None:
        position = int(msgspec.json.decode(payload)["position"])
        if position > self.cursor:
            self.payloads.append(payload)
            self.cursor = position


def register(api: Api) -> None:
    """Open an account, which is two events."""
    name = uuid4().hex
    api.obey(RegisterUser(user_id=uuid4(), name_id=api.backend.installation.naming.user_name(name), name=name))


async def relayed(api: Api) -> None:
    def is_relayed() -> bool:
        return api.backend.parts.position("relay") >= api.backend.store.head()

    await asyncio.to_thread(wait_until, is_relayed, "the relay to catch up")


async def test_a_subscriber_that_fell_behind_finds_the_rest(
    make_backend: Callable[..., Backend], tmp_path: Path, free_port: int
) -> None:
    url = f"nats://127.0.0.1:{free_port}"
    backend = make_backend(nats_url=url)
    with nats_server(free_port, tmp_path / "nats"), served(backend) as api:
        client = await nats.connect(url)
        jetstream = client.jetstream()
        config = StreamConfig(name=STREAM, subjects=["calipso.v1.calipso.>"], max_msgs=KEPT)
        await jetstream.add_stream(config)  # an operator's limit, which the relay leaves as it is
        relay = asyncio.create_task(relaying.relay(backend))
        service = api.add_user(admin=True)
        async with api.basic(service) as http:
            subscriber = Subscriber(http, jetstream)
            await relayed(api)
            await subscriber.visit()
            for _ in range(20):
                register(api)
            await relayed(api)
            await subscriber.visit()
            asked = subscriber.asked
            register(api)
            await relayed(api)
            await subscriber.visit()  # now the stream holds all that is new
            assert subscriber.asked == asked
            positions = [recorded.position for recorded in backend.store.read(after=0, limit=1000).events]
            assert [int(msgspec.json.decode(p)["position"]) for p in subscriber.payloads] == positions
            # the same bytes, whichever way they came
            state = (await jetstream.stream_info(STREAM)).state
            assert state.messages == KEPT
            last = [(await jetstream.get_msg(STREAM, seq=n)).data for n in range(state.first_seq, state.last_seq + 1)]
            async with http.get(f"/events/?after={positions[-KEPT] - 1}") as answer:
                found = msgspec.json.decode(await answer.read(), type=list[msgspec.Raw])
            assert [bytes(payload) for payload in found] == last
        relay.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await relay
        await client.close()
    backend.close()
