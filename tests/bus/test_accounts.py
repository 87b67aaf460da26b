"""The configuration of ops/nats: TLS on both sides, and users that may do what they must and nothing else."""

import asyncio
import os
import secrets
import subprocess
import sys
import sysconfig
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import nats
import nats.errors
import nats.js.errors
import pytest
from nats.aio.client import Client
from nats.js.api import ConsumerConfig
from tests.conftest import PATIENCE, find_free_port, wait_until
from tests.runtimes.certificates import Authority, Pair

from calipso.bus import STREAM, Bus, Message, connected
from calipso.bus.access import Access
from calipso.bus.dead_letters import DeadLetters
from calipso.bus.queue import Queue
from calipso.bus.renewal import empty
from calipso.errors import Invalid, Unavailable

CONFIGURATION = Path(__file__).parents[2] / "ops" / "nats" / "calipso.conf"
USERS = ("relay", "provision-docker", "operator", "keeper", "accounting")
REQUESTED = "calipso.v1.calipso.container.ContainerRequested.docker"
QUEUE = Queue(durable="provision-docker", stream=STREAM, subjects=(REQUESTED,))


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server with that configuration."""

    port: int
    authority: Authority
    client: Pair
    passwords: dict[str, str]

    @property
    def access(self) -> Access:
        return Access(authority=self.authority.file, certificate=self.client.certificate, key=self.client.key)

    def url(self, user: str) -> str:
        return f"tls://{user}:{self.passwords[user]}@127.0.0.1:{self.port}"

    @asynccontextmanager
    async def bus(self, user: str) -> AsyncIterator[Bus]:
        async with connected(self.url(user), "calipso", name=user, patience=5, access=self.access) as bus:
            yield bus

    @asynccontextmanager
    async def client_of(self, user: str) -> AsyncIterator[tuple[Client, list[str]]]:
        """A client as anybody may write it, and what the server complains of."""
        complaints: list[str] = []

        async def told(error: Exception) -> None:
            complaints.append(str(error))

        client = await nats.connect(self.url(user), error_cb=told, **self.access.options(self.url(user)))
        try:
            yield client, complaints
        finally:
            await client.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("nats")
    authority, port = Authority(folder, "authority"), find_free_port()
    own = authority.sign("server")
    passwords = {user: f"p{secrets.token_hex(12)}" for user in USERS}
    environment = {
        "CALIPSO_NATS_LISTEN": f"127.0.0.1:{port}",
        "CALIPSO_NATS_STORE": str(folder / "store"),
        "CALIPSO_NATS_CA": str(authority.file),
        "CALIPSO_NATS_CERTIFICATE": str(own.certificate),
        "CALIPSO_NATS_KEY": str(own.key),
        **{f"CALIPSO_NATS_{user.upper().replace('-', '_')}": password for user, password in passwords.items()},
    }
    program = Path(sysconfig.get_path("scripts")) / "nats-server"
    log = folder / "log"
    process = subprocess.Popen([program, "-c", CONFIGURATION, "-l", log], env={**os.environ, **environment})
    try:
        wait_until(lambda: log.exists() and "Server is ready" in log.read_text(), "nats-server to be ready")
        yield Server(port=port, authority=authority, client=authority.sign("client"), passwords=passwords)
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
async def published(server: Server) -> Message:
    """An event that the relay has published."""
    message = Message(subject=REQUESTED, event_id=str(uuid4()), position=7, payload=b"{}")
    async with server.bus("relay") as bus:
        await bus.ensure_streams()
        tail = await bus.tail()
        assert await bus.publish([message], after=tail.sequence) == tail.sequence + 1
        assert (await bus.tail()).position == 7
    return message


async def first(bus: Bus, queue: Queue = QUEUE) -> bytes:
    deliveries = bus.deliveries(queue)
    async for delivery in deliveries:
        await delivery.done()
        return delivery.raw[1]
    raise AssertionError


async def test_the_relay_publishes_and_the_provisioner_consumes(server: Server, published: Message) -> None:
    async with server.bus("provision-docker") as bus:
        assert await first(bus) == published.payload


async def test_a_dead_letter_is_the_operators(server: Server, published: Message) -> None:
    del published
    async with server.bus("provision-docker") as bus:
        async for delivery in bus.deliveries(QUEUE):
            await DeadLetters(bus).bury(delivery, "no reason")
            await delivery.given_up()
            break
    async with server.bus("operator") as bus:
        dead = DeadLetters(bus)
        letters = await dead.read()
        assert await dead.number() == len(letters) > 0
        await dead.retry(letters[0].number)
    async with server.bus("provision-docker") as bus:
        queue = Queue(durable="retry-docker", stream="CALIPSO_RETRY", subjects=("calipso.retry.calipso.*.*.docker",))
        assert await first(bus, queue) == b"{}"


async def test_a_subscriber_reads_from_any_position(server: Server, published: Message) -> None:
    async with server.client_of("accounting") as (client, complaints):
        context = client.jetstream(timeout=PATIENCE)
        everything = "calipso.v1.calipso.container.>"
        config = ConsumerConfig(name="accounting", filter_subject=everything, inactive_threshold=60)
        await context.add_consumer(STREAM, config)
        subscription = await context.pull_subscribe_bind(consumer="accounting", stream=STREAM)
        (message, *_) = await subscription.fetch(1, timeout=PATIENCE)
        await message.ack_sync(timeout=PATIENCE)
        assert (message.subject, message.data) == (published.subject, published.payload)
        assert complaints == []


async def test_the_stream_begins_anew_by_its_keeper(server: Server, published: Message) -> None:
    del published
    async with server.bus("keeper") as bus:
        await bus.ensure_streams()
        await empty(bus)
        assert (await bus.tail()).position is None


FORBIDDEN = [
    # nobody but the relay writes events; not even requests that a provisioner would obey
    *((user, "publish", REQUESTED) for user in USERS if user != "relay"),
    *((user, "publish", "$JS.API.STREAM.DELETE.CALIPSO") for user in USERS),
    *(
        (user, "publish", f"$JS.API.STREAM.{act}.CALIPSO")
        for user in USERS
        for act in ("PURGE", "UPDATE")
        if user != "keeper"
    ),
    *((user, "publish", "$JS.API.STREAM.MSG.DELETE.CALIPSO") for user in USERS),
    # what concerns persons, though without personal data, is not for the subscriber
    ("accounting", "subscribe", "calipso.v1.calipso.user.>"),
    ("accounting", "subscribe", "calipso.v1.>"),
    ("accounting", "subscribe", ">"),
    ("accounting", "publish", "$JS.API.STREAM.MSG.GET.CALIPSO"),
    ("accounting", "publish", "$JS.API.DIRECT.GET.CALIPSO"),
    ("accounting", "publish", "$JS.API.CONSUMER.CREATE.CALIPSO.accounting.calipso.v1.calipso.>"),
    ("accounting", "publish", "$JS.API.CONSUMER.CREATE.CALIPSO.accounting"),
    ("accounting", "publish", "$JS.API.CONSUMER.DURABLE.CREATE.CALIPSO.accounting"),
    ("accounting", "publish", "calipso.dead.calipso.x"),
    ("accounting", "publish", "calipso.retry.calipso.x"),
    # a provisioner has its own target's queues
    ("provision-docker", "publish", "$JS.API.CONSUMER.MSG.NEXT.CALIPSO.provision-cluster"),
    ("provision-docker", "publish", "$JS.API.CONSUMER.DELETE.CALIPSO.provision-docker"),
    ("provision-docker", "publish", "calipso.retry.calipso.x"),
    ("provision-docker", "subscribe", "calipso.v1.>"),
    ("accounting", "publish", "$JS.API.CONSUMER.MSG.NEXT.CALIPSO.provision-docker"),
    ("accounting", "publish", "$JS.ACK.CALIPSO.provision-docker.1.1.1.1.1"),
    ("relay", "publish", "calipso.dead.calipso.x"),
    ("operator", "publish", "$JS.API.STREAM.MSG.GET.CALIPSO"),
    # answers to one user are not heard by another
    *((user, "subscribe", "_INBOX.>") for user in USERS),
    ("accounting", "subscribe", "_INBOX.relay.>"),
    *((user, "subscribe", "$JS.EVENT.>") for user in USERS),
]


@pytest.mark.parametrize("user", USERS)
async def test_nothing_else_is_permitted(server: Server, published: Message, user: str) -> None:
    del published
    forbidden = [(act, subject) for who, act, subject in FORBIDDEN if who == user]
    async with server.client_of(user) as (client, complaints):
        for act, subject in forbidden:
            if act == "publish":
                await client.publish(subject, b"{}")
            else:
                await client.subscribe(subject)
        async with asyncio.timeout(PATIENCE):
            while len(complaints) < len(forbidden):  # noqa: ASYNC110 - the client's own callback
                await asyncio.sleep(0.02)
        for act, subject in forbidden:
            word = "publish to" if act == "publish" else "subscription to"
            said = f'{word} "{subject}"'.lower()
            assert any(said in complaint.lower() for complaint in complaints), (act, subject, complaints)
        assert len(complaints) == len(forbidden)


async def test_a_wider_filter_than_permitted_is_refused(server: Server, published: Message) -> None:
    """The filter stands in the subject, where permissions look, and must be that of the body."""
    del published
    async with server.client_of("accounting") as (client, _):
        subject = "$JS.API.CONSUMER.CREATE.CALIPSO.accounting.calipso.v1.calipso.container.>"
        config = '{"name": "accounting", "filter_subject": "calipso.v1.>"}'
        answer = await client.request(
            subject, f'{{"stream_name": "CALIPSO", "config": {config}}}'.encode(), timeout=PATIENCE
        )
        assert b'"error"' in answer.data


@pytest.mark.parametrize(
    "kind", ["who does not know the authority", "without certificate", "of another authority", "wrong password"]
)
async def test_strangers_are_not_let_in(server: Server, tmp_path: Path, kind: str) -> None:
    url, access = server.url("relay"), server.access
    if kind == "who does not know the authority":
        access = Access()
    elif kind == "without certificate":
        access = Access(authority=server.authority.file)
    elif kind == "of another authority":
        pair = Authority(tmp_path, "other").sign("stranger")
        access = Access(authority=server.authority.file, certificate=pair.certificate, key=pair.key)
    else:
        url = url.replace(server.passwords["relay"], "guessed")
    with pytest.raises(Unavailable):
        async with connected(url, "calipso", name="stranger", patience=1.5, access=access):
            pass


async def test_a_server_of_another_authority_is_not_trusted(server: Server, tmp_path: Path) -> None:
    access = Access(authority=Authority(tmp_path, "other").file)
    with pytest.raises(Unavailable):
        async with connected(server.url("relay"), "calipso", name="relay", patience=1, access=access):
            pass


async def test_files_that_cannot_be_used_are_named(server: Server, tmp_path: Path) -> None:
    for access in (Access(authority=tmp_path / "absent"), Access(credentials=tmp_path / "absent")):
        with pytest.raises(Invalid, match="CALIPSO_NATS_"):
            async with connected(server.url("relay"), "calipso", name="relay", patience=1, access=access):
                pass


def test_the_subscriber_of_the_guide_needs_no_more(server: Server, published: Message, tmp_path: Path) -> None:
    """It ends with an error as soon as something is forbidden; the message that it is given here is no event."""
    assert published.payload == b"{}"
    program = Path(__file__).parents[2] / "ops" / "demo" / "subscriber"
    options = {
        "--tls-ca": server.authority.file,
        "--tls-cert": server.client.certificate,
        "--tls-key": server.client.key,
        "--kept": tmp_path / "kept",
        "--name": "accounting",
        "--filter": "container.>",
    }
    ended = subprocess.run(
        [sys.executable, program, *(str(each) for option in options.items() for each in option)],
        env={**os.environ, "CALIPSO_DEMO_NATS": server.url("accounting")},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert "KeyError: 'position'" in ended.stderr
