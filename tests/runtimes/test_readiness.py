"""A container counts as usable when its service greets in its protocol and its log matches, and no earlier."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any

import pytest
from tests.conftest import PATIENCE
from tests.runtimes.orders import image, order

from calipso.events.values import FailureReason, Placement, Protocol, Runtime
from calipso.runtimes import readiness
from calipso.runtimes.memory import MemoryRuntime, MemoryWorld
from calipso.runtimes.protocol import Order, RuntimeFailed, Target
from calipso.runtimes.readiness import probe, search, wait_until_usable

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]
RDP_CONFIRM = bytes.fromhex("030000130ed000001234000200080000000000")


def says(greeting: bytes, *, when_asked: bool = False) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if when_asked:
            await reader.read(1000)
        for byte in greeting:  # one by one, as a slow network may bring them
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        writer.close()

    return serve


async def stays_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


@asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[int]:
    conversations: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversations.add(asyncio.ensure_future(serve(reader, writer)))

    serving = await asyncio.start_server(converse, "127.0.0.1", 0)
    async with serving:
        yield serving.sockets[0].getsockname()[1]
        if conversations:
            await asyncio.wait(conversations)


@pytest.mark.parametrize(
    ("protocol", "serve", "answer"),
    [
        (Protocol.VNC, says(b"RFB 003.008\n"), True),
        (Protocol.VNC, says(b"RFB 004.000\n"), False),
        (Protocol.VNC, says(b"HTTP/1.1 200 OK\r\n\r\n"), False),
        (Protocol.VNC, says(b""), False),
        (Protocol.SSH, says(b"SSH-2.0-x\r\n"), True),
        (Protocol.SSH, says(b"RFB 003.008\n"), False),
        (Protocol.RDP, says(RDP_CONFIRM, when_asked=True), True),
        (Protocol.RDP, says(b"HTTP/1.1 400 Bad Request\r\n", when_asked=True), False),
        (Protocol.HTTP, says(b"HTTP/1.1 200 OK\r\n\r\n", when_asked=True), True),
        (Protocol.HTTP, says(b"HTTP/1.0 503 Wait\r\n\r\n", when_asked=True), True),
        (Protocol.HTTP, says(b"RFB 003.008\n"), False),
        (Protocol.NONE, says(b"HTTP/1.1 302 Found\r\n\r\n", when_asked=True), True),
        (Protocol.HTTP, stays_silent, False),
        (Protocol.VNC, stays_silent, False),
    ],
)
async def test_a_service_must_greet_in_its_protocol(protocol: Protocol, serve: Serve, answer: bool) -> None:
    async with server(serve) as port:
        limit = 0.3 if serve is stays_silent else PATIENCE
        assert await probe(protocol, "127.0.0.1", port, timeout=limit) is answer


async def test_a_closed_port_and_no_port_are_no_greeting() -> None:
    async with server(stays_silent) as port:
        pass
    assert not await probe(Protocol.HTTP, "127.0.0.1", port)
    assert not await probe(Protocol.HTTP, "", 0)


async def test_a_search_gives_what_matched() -> None:
    assert await search("token=[0-9a-f]+", "a\nhttp://x/?token=0a1b more") == "token=0a1b"
    assert await search("nothing", "like it\ud800") is None


async def test_a_pattern_that_explodes_hinders_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "_SEARCH_SECONDS", 0.5)
    searching = asyncio.create_task(search("(a+)+$", "a" * 60 + "!"))
    turns = 0
    while not searching.done():
        await asyncio.sleep(0.01)
        turns += 1
    with pytest.raises(RuntimeFailed, match=r"took more than") as caught:
        searching.result()
    assert caught.value.reason is FailureReason.REJECTED
    assert turns > 5  # others had theirs all the while


async def test_a_search_that_is_cut_short_ends_its_process() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await search("(a+)+$", "a" * 60 + "!")


@contextmanager
def memory() -> Iterator[tuple[MemoryWorld, MemoryRuntime]]:
    world = MemoryWorld()
    try:
        yield world, MemoryRuntime(world, Target(name="here", runtime=Runtime.DOCKER), "ours")
    finally:
        world.close()


async def placed(reference: str, protocol: Protocol, logs_er: str = "") -> Placement:
    wanted = order(image(reference, protocol, logs_er=logs_er))
    with memory() as (_, runtime):
        async with asyncio.timeout(PATIENCE):
            return await wait_until_usable(runtime, wanted, runtime.start(wanted))


@pytest.mark.parametrize(
    ("protocol", "logs_er", "link"),
    [
        (Protocol.HTTP, "", "/"),
        (Protocol.NONE, "", ""),
        (Protocol.HTTP, "token=[0-9a-f]+", "/?token=0a1b"),
        (Protocol.NONE, "token=.+", "/?token=0a1b"),
        (Protocol.HTTP, "token=0a1b", ""),
        (Protocol.HTTP, "http.*", "/?http://127.0.0.1/?token=0a1b"),
        (Protocol.HTTP, "(started)\\s", "/?started%0A"),
        (Protocol.VNC, "token=.+", ""),
        (Protocol.RDP, "", ""),
        (Protocol.SSH, "", ""),
    ],
)
async def test_the_link_follows_the_protocol_and_the_match(protocol: Protocol, logs_er: str, link: str) -> None:
    placement = await placed("memory/x?token=0a1b", protocol, logs_er)
    assert placement.port
    assert placement.link == (f"http://127.0.0.1:{placement.port}{link}" if link else "")


async def test_an_address_of_version_6_is_written_in_brackets() -> None:
    wanted = order(image("memory/x", Protocol.HTTP))
    with memory() as (_, runtime):
        seen = replace(runtime.start(wanted), host="::ffff:127.0.0.1")
        async with asyncio.timeout(PATIENCE):
            placement = await wait_until_usable(runtime, wanted, seen)
    assert placement.link == f"http://[::ffff:127.0.0.1]:{seen.port}/"


async def test_what_is_not_a_pattern_is_refused() -> None:
    with pytest.raises(RuntimeFailed, match="not a regular expression") as caught:
        await placed("memory/x", Protocol.HTTP, "token=(")
    assert caught.value.reason is FailureReason.REJECTED


async def never_usable(wanted: Order, runtime: MemoryRuntime) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await wait_until_usable(runtime, wanted, runtime.start(wanted))


async def test_a_log_that_never_matches_is_waited_for() -> None:
    with memory() as (_, runtime):
        await never_usable(order(image("memory/x", Protocol.HTTP, logs_er="never")), runtime)


async def test_a_target_that_is_away_for_a_while_is_waited_for() -> None:
    wanted = order(image("memory/x?token=1", Protocol.HTTP, logs_er="token=1"))
    with memory() as (world, runtime):
        seen = runtime.start(wanted)
        world.away.add("here")
        waiting = asyncio.create_task(wait_until_usable(runtime, wanted, seen))
        await asyncio.sleep(0.5)
        assert not waiting.done()
        world.away.clear()
        async with asyncio.timeout(PATIENCE):
            assert (await waiting).port == seen.port


@pytest.mark.parametrize("seconds", [0.0, 0.3, 3.0])
async def test_little_is_lost_over_the_service_itself(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    pauses = [0.0]

    async def pause(pause: float) -> None:
        pauses.append(pause)

    async def greets(*_: object) -> bool:
        return sum(pauses) >= seconds

    monkeypatch.setattr(asyncio, "sleep", pause)
    monkeypatch.setattr(readiness, "probe", greets)
    wanted = order(image("memory/x", Protocol.VNC))
    with memory() as (_, runtime):
        await wait_until_usable(runtime, wanted, runtime.start(wanted))
    assert seconds <= sum(pauses) < seconds * 1.15 + 0.15
