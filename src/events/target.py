"""Targets: the named instances of a runtime."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from calipso.events.envelope import Event, private


@dataclass(frozen=True, kw_only=True)
class TargetEvent(Event, is_base=True):
    """An event of one target."""

    kind: ClassVar[str] = "target"
    target_id: UUID
    name: str

    @property
    def stream(self) -> UUID:
        """The target's stream, a keyed hash of its name."""
        return self.target_id


@dataclass(frozen=True, kw_only=True)
class OrphanRemoved(TargetEvent):
    """Something with our labels was found whose record had ended, and was removed."""

    container_id: UUID
    runtime_id: str = private()
    reason: str


@dataclass(frozen=True, kw_only=True)
class TargetCordoned(TargetEvent):
    """The target takes no new containers; what runs there runs on."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class TargetOpened(TargetEvent):
    """The target takes new containers again."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A target as its events tell it."""

    cordoned: bool = False


def evolve(state: Target, event: Event) -> Target:
    """The target after one more event."""
    match event:
        case TargetCordoned():
            return Target(cordoned=True)
        case TargetOpened():
            return Target(cordoned=False)
        case _:
            return state
