"""The quota of a user: its limits, and what each container holds of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, ClassVar
from uuid import UUID

from calipso.events.envelope import Event, formerly_plain, personal
from calipso.events.naming import quota_stream
from calipso.events.values import Limits, Resources


@dataclass(frozen=True, kw_only=True)
class QuotaEvent(Event, is_base=True):
    """An event of a user's quota."""

    kind: ClassVar[str] = "quota"
    user_id: UUID

    @property
    def stream(self) -> UUID:
        """The stream of the user's quota."""
        return quota_stream(self.user_id)


@dataclass(frozen=True, kw_only=True)
class QuotaAssigned(QuotaEvent):
    """The user got limits of their own."""

    limits: Limits


@dataclass(frozen=True, kw_only=True)
class QuotaReserved(QuotaEvent):
    """A container took its part, under the limits that were in force."""

    schema_version: ClassVar[int] = 2
    container_id: UUID
    label: str = personal("user_id")
    resources: Resources
    limits: Limits

    @staticmethod
    def upcast_v1(data: dict[str, Any]) -> dict[str, Any]:
        """What users call their containers was not known to be personal."""
        return formerly_plain(data, "label")


@dataclass(frozen=True, kw_only=True)
class QuotaReleased(QuotaEvent):
    """A container ended and gave back its part."""

    container_id: UUID


@dataclass(frozen=True, kw_only=True)
class Reservation:
    """What one active container holds; `label` is its session, or the user's own word for it."""

    label: str
    resources: Resources


@dataclass(frozen=True, kw_only=True)
class Quota:
    """A user's quota as its events tell it; without limits of their own the facility's defaults hold."""

    limits: Limits | None = None
    reservations: Mapping[UUID, Reservation] = field(default_factory=lambda: MappingProxyType({}))

    def used(self) -> Resources:
        """What all active containers hold together."""
        return sum((r.resources for r in self.reservations.values()), Resources())


def evolve(state: Quota, event: Event) -> Quota:
    """The quota after one more event."""
    match event:
        case QuotaAssigned():
            return replace(state, limits=event.limits)
        case QuotaReserved():
            reservation = Reservation(label=event.label, resources=event.resources)
            return replace(state, reservations={**state.reservations, event.container_id: reservation})
        case QuotaReleased():
            return replace(state, reservations={k: v for k, v in state.reservations.items() if k != event.container_id})
        case _:
            return state
