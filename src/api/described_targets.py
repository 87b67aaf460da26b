"""Targets as operators see them: what they are, what they hold, and what their provisioners told last."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from calipso.backend import Backend
from calipso.commands.handling import TARGET
from calipso.events.values import Runtime
from calipso.projections.holdings import held_on


@dataclass(frozen=True, kw_only=True)
class DescribedTarget:
    """A target: `held` is the number of containers that take room there, `capacity` the most that may.

    `ok` and `detail` are what its provisioners told at the time `at` (UTC), None when they never did.
    """

    name: str
    runtime: Runtime
    cordoned: bool
    held: int
    capacity: int
    ok: bool | None
    at: datetime | None
    detail: str


def describe_targets(backend: Backend) -> Sequence[DescribedTarget]:
    """The targets of the settings, in their order.

    Raises:
        Unavailable: the store or the read models do not answer.
    """
    parts = {part.name: part for part in backend.parts.all()}
    found = []
    with backend.engine.connect() as connection:
        for target in backend.settings.effective_targets():
            part = parts.get(f"target:{target.name}")
            state = backend.dispatcher.state(TARGET, backend.installation.naming.target(target.name))
            found.append(
                DescribedTarget(
                    name=target.name,
                    runtime=target.runtime,
                    cordoned=state.cordoned,
                    held=held_on(connection, target.name),
                    capacity=target.capacity,
                    ok=part.ok if part else None,
                    at=part.at if part else None,
                    detail=part.detail if part else "",
                )
            )
    return found
