"""The links of the harness do to traffic what they say."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from tests.conftest import PATIENCE
from tests.faults.network import Link, Network


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that sends back what it gets."""
    loop = asyncio.new_event_loop()
    writers = set[asyncio.StreamWriter]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        with contextlib.suppress(OSError):
            while data := await reader.read(100):
                writer.write(data)
        writer.close()

    async def end() -> None:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)

    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield server.sockets[0].getsockname()[1]
    asyncio.run_coroutine_threadsafe(end(), loop).result(PATIENCE)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def link(echo: int) -> Iterator[Link]:
    with contextlib.closing(Network()) as network:
        yield network.link("a link", ("127.0.0.1", echo))


@pytest.fixture
def connection(link: Link) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", link.port), timeout=PATIENCE) as made:
        assert said(made, b"hello") == b"hello"
        yield made


def said(connection: socket.socket, word: bytes) -> bytes:
    connection.sendall(word)
    return connection.recv(100)


def test_a_cut_resets_and_refuses_until_mended(link: Link, connection: socket.socket) -> None:
    link.cut()
    with pytest.raises(ConnectionError):
        connection.recv(1)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", link.port), timeout=PATIENCE)
    link.mend()
    with socket.create_connection(("127.0.0.1", link.port), timeout=PATIENCE) as again:
        assert said(again, b"again") == b"again"


def test_what_is_stalled_goes_on_when_mended(link: Link, connection: socket.socket) -> None:
    link.stall()
    connection.settimeout(0.1)
    with pytest.raises(TimeoutError):
        said(connection, b"held")
    connection.settimeout(PATIENCE)
    link.mend()
    assert connection.recv(100) == b"held"


def test_what_is_swallowed_never_comes_and_the_connection_is_reset(link: Link, connection: socket.socket) -> None:
    link.swallow()
    connection.settimeout(0.1)
    with pytest.raises(TimeoutError):
        said(connection, b"lost")
    connection.settimeout(PATIENCE)
    link.mend()
    with pytest.raises(ConnectionResetError):
        connection.recv(1)


def test_a_slow_link_takes_its_time(link: Link, connection: socket.socket) -> None:
    link.slow(0.1)
    began = time.monotonic()
    assert said(connection, b"slow") == b"slow"
    assert time.monotonic() - began >= 0.2


def test_what_is_forgotten_stays_silent_while_new_connections_work(link: Link, connection: socket.socket) -> None:
    link.forget()
    connection.settimeout(0.1)
    with pytest.raises(TimeoutError):
        said(connection, b"lost")
    with socket.create_connection(("127.0.0.1", link.port), timeout=PATIENCE) as again:
        assert said(again, b"again") == b"again"
