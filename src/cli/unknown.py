"""What lies on targets that the record does not know, as after a restore from a backup."""

from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

import typer

from calipso.backend import Backend
from calipso.bootstrap.targets import runtime_of, target_named
from calipso.cli.common import Data, confirm, dispatch, running
from calipso.commands.handling import CONTAINER
from calipso.commands.target import RecordOrphanRemoved
from calipso.runtimes.protocol import ContainerRuntime, Observation


def unknown(
    target: Annotated[str, typer.Argument(help="The name of a target of the settings, such as `docker`.")],
    remove: Annotated[bool, typer.Option("--remove", help="Remove them, with all that is in them.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data: Data = None,
) -> None:
    """List the containers of this installation that its record does not know: after a restore, those begun since.

    Nothing removes them by itself, for people may be at work in them.
    """
    with running(data) as backend:
        runtime = runtime_of(backend, target_named(backend.settings, target))
        found = _unknown(backend, runtime)
        for observation in found.values():
            print(f"{observation.name}: {observation.status}")
        if not found:
            print(f"{target} has no containers that the record does not know")
        elif remove:
            confirm(f"Remove these {len(found)} containers from {target}?", yes=yes)
            for container_id, observation in found.items():
                _remove(backend, runtime, target, container_id, observation)
            print(f"removed {len(found)} containers from {target}")


def _unknown(backend: Backend, runtime: ContainerRuntime) -> Mapping[UUID, Observation]:
    # listed first: what is in the record by then can only be known
    found = runtime.list()
    return {key: each for key, each in found.items() if backend.dispatcher.state(CONTAINER, key) is None}


def _remove(
    backend: Backend, runtime: ContainerRuntime, target: str, container_id: UUID, observation: Observation
) -> None:
    runtime.remove(container_id)
    command = RecordOrphanRemoved(
        target_id=backend.installation.naming.target(target),
        name=target,
        container_id=container_id,
        runtime_id=observation.runtime_id,
        reason="the record does not know it, and an operator wanted it gone",
    )
    dispatch(backend, command)
