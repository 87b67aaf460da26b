"""All that is known of one container, for operators."""

from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import typer

from calipso.backend import Backend
from calipso.bootstrap.guacamole import guacamole_of
from calipso.bootstrap.targets import runtime_of, target_named
from calipso.cli.common import Data, running
from calipso.cli.containers import container_id_of
from calipso.commands.handling import CONTAINER
from calipso.errors import CalipsoError, NotFound
from calipso.events.container import Container, State
from calipso.events.envelope import Recorded, personal_fields
from calipso.runtimes.verdict import deadline_of

_LOG_LINES = 10
_ALREADY_TOLD = {"container_id", "user_id", "target"}


def explain(
    container: Annotated[str, typer.Argument(help="Its name (calipso-...), its uuid, or its integer id.")],
    data: Data = None,
) -> None:
    """Tell all of one container: its events, what the target says, its Guacamole rows, its log, the next deadline."""
    with running(data) as backend:
        container_id = container_id_of(backend, container)
        state = backend.dispatcher.state(CONTAINER, container_id)
        if state is None:
            raise NotFound("container", container)
        for line in _lines(backend, container_id, state):
            print(line)


def _lines(backend: Backend, container_id: UUID, container: Container) -> Iterator[str]:
    yield f"container {container_id}: {container.state} on target {container.request.target}"
    yield f"  asked for {container.request.image_name} ({container.request.image.reference})"
    yield "events"
    for recorded in backend.store.load(container_id):
        yield f"  {_event(recorded)}"
    yield "target"
    yield from (f"  {line}" for line in _target(backend, container_id, container))
    yield "guacamole"
    yield f"  {_guacamole(backend, container_id)}"
    yield "next deadline"
    yield f"  {_deadline(container)}"


def _event(recorded: Recorded) -> str:
    event = recorded.event
    hidden = _ALREADY_TOLD | set(personal_fields(event.topic()))
    shown = {f.name: getattr(event, f.name) for f in fields(event) if f.name not in hidden}
    told = ", ".join(f"{name}={value}" for name, value in shown.items())
    return (
        f"{recorded.position} {recorded.time:%Y-%m-%dT%H:%M:%S.%fZ} {type(event).__name__} by {recorded.actor}: {told}"
    )


def _target(backend: Backend, container_id: UUID, container: Container) -> Iterator[str]:
    try:
        runtime = runtime_of(backend, target_named(backend.settings, container.request.target))
        observation = runtime.observe(container_id)
        yield f"{observation.status}: {observation}" if observation else "has nothing of it"
        yield from ("log: " + line for line in runtime.logs(container_id, lines=_LOG_LINES))
    except CalipsoError as error:
        yield f"does not tell: {error}"
    if container.failure:
        yield f"failed: {container.failure.reason}: {container.failure.detail}"
        yield from ("log kept: " + line for line in container.failure.log[-_LOG_LINES:])


def _guacamole(backend: Backend, container_id: UUID) -> str:
    engine = backend.guacamole_engine
    if engine is None:
        return "there is no Guacamole database"
    with engine.connect() as connection:
        rows = guacamole_of(backend).rows_of(connection, container_id)
    return str(rows) if rows else "no rows"


def _deadline(container: Container) -> str:
    deadline = deadline_of(container)
    if deadline is None:
        return "none"
    left = (deadline - datetime.now(UTC)).total_seconds()
    outcome = "removed by force" if container.state is State.STOPPING else "usable by then, or failed"
    return f"{deadline.isoformat()} (in {left:.0f} s): {outcome}"
