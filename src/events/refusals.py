"""What users were refused, with the inputs of each decision."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from calipso.events.envelope import Event, formerly_plain, personal
from calipso.events.naming import refusals_stream
from calipso.events.values import Limits, Resources


class RefusalReason(StrEnum):
    """The rule that a request broke; the order is that in which the rules are asked."""

    NOT_A_MEMBER = "not_a_member"
    ALREADY_LAUNCHED = "already_launched"
    MACHINES = "machines"
    CPUS = "cpus"
    MEMORY = "memory"
    HDD = "hdd"


@dataclass(frozen=True, kw_only=True)
class ContainerRequestRefused(Event):
    """A request for a container was refused: what was asked, what was used, and what the limits were.

    `experiment_id` is that of the session whose data was asked for, None without one.
    """

    kind: ClassVar[str] = "refusals"
    schema_version: ClassVar[int] = 2
    user_id: UUID
    image_name: str
    label: str = personal("user_id")
    info: str = personal("user_id")
    reason: RefusalReason
    requested: Resources
    used_containers: int
    used: Resources
    limits: Limits
    experiment_id: UUID | None = None

    @staticmethod
    def upcast_v1(data: dict[str, Any]) -> dict[str, Any]:
        """What users call their containers was not known to be personal."""
        return formerly_plain(data, "label", "info")

    @property
    def stream(self) -> UUID:
        """The stream of what the user was refused."""
        return refusals_stream(self.user_id)
