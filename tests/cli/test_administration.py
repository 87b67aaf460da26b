"""What an administrator does on the command line to containers, targets and dead letters."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import nats
import pytest
from tests.builders import image_spec
from tests.cli.conftest import Program
from tests.conftest import nats_server

from calipso.bootstrap.projecting import runners
from calipso.bus import connected
from calipso.bus.dead_letters import DeadLetters
from calipso.commands.dispatch import cause_of
from calipso.commands.image import AddImage
from calipso.commands.request import RequestContainer, TargetOffered
from calipso.commands.user import RegisterUser
from calipso.errors import Unavailable
from calipso.events.container import ContainerFailed
from calipso.events.naming import container_name, quota_stream
from calipso.events.quota import QuotaReleased
from calipso.events.target import TargetCordoned, TargetOpened
from calipso.events.values import FailureReason, Runtime
from calipso.runtimes.service import queues


def obey(program: Program, command: object) -> None:
    program.backend.dispatcher.dispatch(command, cause_of("service:test"))


def offered(program: Program) -> tuple[TargetOffered, ...]:
    naming = program.backend.installation.naming
    return tuple(
        TargetOffered(target_id=naming.target(target.name), name=target.name)
        for target in program.backend.settings.effective_targets()
    )


def project(program: Program) -> None:
    """Bring the read models up to date."""
    for runner in runners(program.backend, lambda _: None):
        runner.catch_up()


@pytest.fixture
def user_id(program: Program) -> UUID:
    user, naming = uuid4(), program.backend.installation.naming
    obey(program, RegisterUser(user_id=user, name_id=naming.user_name("ada"), name="ada"))
    spec = image_spec(runtime=Runtime.STATIC_LINK, reference="https://wiki.example/")
    obey(program, AddImage(image_id=naming.image("wiki"), name="wiki", spec=spec))
    return user


def request(program: Program, user_id: UUID) -> UUID:
    container_id = uuid4()
    obey(
        program,
        RequestContainer(
            container_id=container_id,
            user_id=user_id,
            image_id=program.backend.installation.naming.image("wiki"),
            image_name="wiki",
            label=container_id.hex,
            info="",
            targets=offered(program),
        ),
    )
    project(program)
    return container_id


def listed(program: Program, *arguments: str) -> list[dict[str, Any]]:
    ended = program.run(*arguments, "--json")
    assert (ended.status, ended.err) == (0, "")
    rows: list[dict[str, Any]] = json.loads(ended.out)
    return rows


def test_an_administrator_ends_a_container_and_its_quota_is_free(program: Program, user_id: UUID) -> None:
    container_id = request(program, user_id)
    (row,) = listed(program, "containers", "list")
    assert (row["name"], row["state"], row["user"]) == (container_name(container_id), "requested", str(user_id))
    assert row["deadline"] > row["created"]
    assert listed(program, "containers", "list", "--target", "docker") == []

    ended = program.run("containers", "end", row["name"], "--reason", "the rack is gone")
    assert (ended.status, ended.out) == (0, f"container {row['name']} is ended\n")
    (failed,) = program.stored(ContainerFailed)
    assert (failed.container_id, failed.reason, failed.detail) == (
        container_id,
        FailureReason.ENDED,
        "the rack is gone",
    )
    assert [event.container_id for event in program.stored(QuotaReleased)] == [container_id]
    stored = program.backend.store.load(container_id)[-1]
    assert stored.actor == "service:command-line"
    assert program.backend.store.load(quota_stream(user_id))[-1].correlation_id == stored.correlation_id

    again = program.run("containers", "end", str(row["id"]), "--reason", "once more")
    assert (again.status, again.out) == (0, f"container {row['id']} had ended before\n")
    project(program)
    assert listed(program, "containers", "list") == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("containers", "end", "calipso-0", "--reason", "x"), "container 'calipso-0' does not exist"),
        (("containers", "end", "7", "--reason", "x"), "container '7' does not exist"),
        (("targets", "cordon", "nowhere", "--reason", "x"), "target: 'nowhere' is none of docker, links"),
        (("targets", "cordon", "docker", "--reason", " "), "reason: must say why"),
        (("targets", "open", "nowhere"), "target: 'nowhere' is none of docker, links"),
    ],
)
def test_what_is_not_there_is_told(program: Program, arguments: tuple[str, ...], told: str) -> None:
    ended = program.run(*arguments)
    assert ended.status == 1
    assert told in ended.err


def test_a_cordoned_target_takes_no_new_containers_until_it_is_open(program: Program, user_id: UUID) -> None:
    first = program.run("targets", "cordon", "links", "--reason", "moved on Monday")
    assert (first.status, first.out) == (0, "target links takes no new containers\n")
    program.run("targets", "cordon", "links", "--reason", "moved on Monday")
    (cordoned,) = program.stored(TargetCordoned)
    assert (cordoned.name, cordoned.reason) == ("links", "moved on Monday")
    assert {row["name"]: row["cordoned"] for row in listed(program, "targets", "list")} == {
        "links": True,
        "docker": False,
    }
    with pytest.raises(Unavailable, match="open for this image"):
        request(program, user_id)
    assert program.run("targets", "open", "links").out == "target links takes new containers\n"
    assert len(program.stored(TargetOpened)) == 1
    request(program, user_id)


def test_targets_tell_what_their_provisioners_told(program: Program) -> None:
    program.backend.parts.report("target:docker", ok=False, detail="it is away")
    ended = program.run("targets", "list")
    lines = [line.split() for line in ended.out.splitlines()]
    assert lines[0] == ["NAME", "RUNTIME", "CORDONED", "HELD", "CAPACITY", "OK", "TOLD"]
    assert lines[1] == ["links", "static_link", "False", "0", "1000", "-", "-"]
    assert lines[2][:6] == ["docker", "docker_container", "False", "0", "1000", "False"]
    assert ended.out.splitlines()[2].endswith("Z it is away")


@contextmanager
def buried(url: str, *payloads: bytes) -> Iterator[None]:
    """Let messages that are none of ours be given up."""

    async def bury() -> None:
        client = await nats.connect(url)
        async with connected(url, "calipso", name="test") as bus:
            await bus.ensure_streams()
            for payload in payloads:
                await client.jetstream().publish("calipso.v1.calipso.container.ContainerRequested.docker", payload)
            dead, taken = DeadLetters(bus), 0
            async for delivery in bus.deliveries(queues("calipso", "docker")[0]):
                await dead.bury(delivery, "no message\nof ours: ü")
                await delivery.given_up()
                taken += 1
                if taken == len(payloads):
                    break
        await client.close()

    asyncio.run(bury())
    yield


def test_dead_letters_are_seen_dropped_and_tried_again(program: Program, tmp_path: Path, free_port: int) -> None:
    url = f"nats://127.0.0.1:{free_port}"
    there = Program(environment={**program.environment, "CALIPSO_NATS_URL": url}, backend=program.backend)
    with nats_server(free_port, tmp_path / "nats"), buried(url, b"1", b"2", b"3"):
        rows = listed(there, "deadletters", "list")
        assert [(row["number"], row["tries"], row["reason"]) for row in rows] == [
            (number, 1, "no message of ours: \\xfc") for number in (1, 2, 3)
        ]
        assert there.run("deadletters", "drop", "2").out == "dead letter 2 is dropped\n"
        assert there.run("deadletters", "retry", "1").out == "dead letter 1 is tried again\n"
        assert [row["number"] for row in listed(there, "deadletters", "list", "--after", "1")] == [3]
        missing = there.run("deadletters", "drop", "3", "2")
        assert (missing.status, missing.out) == (1, "dead letter 3 is dropped\n")
        assert "dead letter '2' does not exist" in missing.err
        assert there.run("deadletters", "list").out.split() == [
            "NUMBER", "TIME", "TRIES", "QUEUE", "SUBJECT", "POSITION", "CONTAINER", "REASON"
        ]  # fmt: skip


def test_without_nats_the_command_says_so(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calipso.cli.deadletters._PATIENCE_SECONDS", 0.2)
    ended = program.run("deadletters", "list")
    assert ended.status == 1
    assert "NATS is not available" in ended.err
