"""Limits of a user's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from calipso.commands.handling import QUOTA, USER, Circumstances, Reader, handles
from calipso.errors import Invalid, NotFound
from calipso.events.envelope import Event
from calipso.events.naming import quota_stream
from calipso.events.quota import Quota, QuotaAssigned
from calipso.events.values import Limits


@dataclass(frozen=True, kw_only=True)
class AssignQuota:
    """Give a user limits of their own; lowering them stops nothing that runs."""

    user_id: UUID
    limits: Limits


@handles(AssignQuota)
def handle(command: AssignQuota, read: Reader, _: Circumstances) -> Sequence[Event]:
    """Decide for a user that exists."""
    user = read(USER, command.user_id)
    if user is None or user.erased:
        raise NotFound("user", str(command.user_id))
    return decide(command, read(QUOTA, quota_stream(command.user_id)))


def decide(command: AssignQuota, quota: Quota) -> Sequence[Event]:
    """What follows for the quota; nothing when the limits are these already.

    Raises:
        Invalid: a limit is negative.
    """
    most = command.limits.resources
    if min(command.limits.containers, most.millicores, most.memory, most.disk) < 0:
        raise Invalid("max_simultaneous, cpu, memory, hdd", "must not be negative")
    if quota.limits == command.limits:
        return []
    return [QuotaAssigned(user_id=command.user_id, limits=command.limits)]
