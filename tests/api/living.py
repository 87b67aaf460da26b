"""Containers that live without a target, and clients that follow them."""

import asyncio
from uuid import UUID, uuid4, uuid5

import aiohttp
import msgspec
from tests.api.conftest import Api
from tests.builders import image_spec
from tests.conftest import PATIENCE

from calipso.commands.container import (
    ClaimContainer,
    RecordContainerRemoved,
    RecordContainerStarted,
    RecordContainerStopped,
    RemoveContainer,
    StopContainer,
)
from calipso.commands.image import AddImage
from calipso.commands.request import RequestContainer, TargetOffered
from calipso.events.values import Placement

SSE = {"Accept": "text/event-stream"}


def request(api: Api, name: str, image: str, label: str) -> UUID:
    """Ask for a container of somebody, which no target starts."""
    naming, container_id = api.backend.installation.naming, uuid4()
    api.obey(
        RequestContainer(
            container_id=container_id,
            user_id=api.user_id(name),
            image_id=naming.image(image),
            image_name=image,
            label=label,
            info=label,
            session=None,
            targets=(TargetOffered(target_id=naming.target("docker"), name="docker"),),
        )
    )
    return container_id


def live(api: Api, container_id: UUID) -> None:
    """Start, stop and remove a container."""
    placement = Placement(runtime_id="9f", name="c")
    for command in (
        ClaimContainer(container_id=container_id, claimant="docker/0"),
        RecordContainerStarted(container_id=container_id, claimant="docker/0", placement=placement, image_digest=""),
        StopContainer(container_id=container_id),
        RecordContainerStopped(container_id=container_id),
        RemoveContainer(container_id=container_id),
        RecordContainerRemoved(container_id=container_id),
    ):
        api.obey(command)


def add_image(api: Api) -> str:
    """Put a new image into the catalogue; gives its name."""
    name = f"image-{uuid4().hex[:8]}"
    api.obey(AddImage(image_id=api.backend.installation.naming.image(name), name=name, spec=image_spec()))
    return name


async def told(answer: aiohttp.ClientResponse, number: int) -> list[dict[str, object]]:
    """The next states that a stream tells."""
    found: list[dict[str, object]] = []
    async with asyncio.timeout(PATIENCE):
        while len(found) < number:
            line = await answer.content.readline()
            assert line, found
            if line.startswith(b"data: "):
                found.append(msgspec.json.decode(line.removeprefix(b"data: ")))
    return found


def write_newer(api: Api, stream: UUID) -> tuple[int, UUID]:
    """Store the last event of a stream again, as a program with newer versions of all events would have.

    Gives its position and its id.
    """
    with api.backend.database.connect() as connection:
        row = connection.execute(
            "INSERT INTO stored_events (originator_id, originator_version, topic, state, recorded_at, command_id, "
            "command_index) SELECT originator_id, originator_version + 1, topic, "
            "convert_to(replace(convert_from(state, 'UTF8'), '\"schema\":', '\"schema\":9'), 'UTF8'), recorded_at, "
            "gen_random_uuid(), 0 FROM stored_events WHERE originator_id = %s ORDER BY originator_version DESC LIMIT 1 "
            "RETURNING notification_id, command_id",
            (stream,),
        ).fetchone()
        assert row is not None
        connection.execute("SELECT pg_notify('calipso_stored', '')")
    return row["notification_id"], uuid5(row["command_id"], "0")
