"""Targets as operators see them: what they are, what they hold, and what their provisioners told last."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from calipso.backend import Backend
from calipso.commands.handling import TARGET
from calipso.events.values import Runtime
from calipso.parts import Part
from calipso.projections.holdings import held_on
from calipso.runtimes.protocol import Target


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
    streams = {
        target: backend.installation.naming.target(target.name) for target in backend.settings.effective_targets()
    }
    states = backend.dispatcher.states(dict.fromkeys(streams.values(), TARGET))
    with backend.engine.connect() as connection:
        held = {target: held_on(connection, target.name) for target in streams}
    return [
        _described(
            target,
            cordoned=states[stream].cordoned,
            held=held[target],
            part=parts.get(f"target:{target.name}"),
        )
        for target, stream in streams.items()
    ]


def _described(target: Target, *, cordoned: bool, held: int, part: Part | None) -> DescribedTarget:
    return DescribedTarget(
        name=target.name,
        runtime=target.runtime,
        cordoned=cordoned,
        held=held,
        capacity=target.capacity,
        ok=part.ok if part else None,
        at=part.at if part else None,
        detail=part.detail if part else "",
    )
