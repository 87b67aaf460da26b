"""Targets: taking them out of service, and what was cleared away on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from calipso.commands.handling import TARGET, Circumstances, Reader, handles
from calipso.commands.texts import check_reason
from calipso.events import target as facts
from calipso.events.envelope import Event
from calipso.events.target import Target


@dataclass(frozen=True, kw_only=True)
class TargetCommand:
    """A command about one target; `target_id` is the keyed hash of its name."""

    target_id: UUID
    name: str


@dataclass(frozen=True, kw_only=True)
class CordonTarget(TargetCommand):
    """Let it take no new containers."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class OpenTarget(TargetCommand):
    """Let it take new containers again."""


@dataclass(frozen=True, kw_only=True)
class RecordOrphanRemoved(TargetCommand):
    """Something of ours was there whose record had ended, and is gone now."""

    container_id: UUID
    runtime_id: str
    reason: str


@handles(CordonTarget)
@handles(OpenTarget)
@handles(RecordOrphanRemoved)
def handle(command: TargetCommand, read: Reader, _: Circumstances) -> Sequence[Event]:
    """Decide on the target as it is."""
    return decide(command, read(TARGET, command.target_id))


def decide(command: TargetCommand, target: Target) -> Sequence[Event]:
    """What follows for the target; nothing when the command is achieved.

    Raises:
        Invalid: nobody said why it is cordoned.
    """
    match command:
        case CordonTarget() if not target.cordoned:
            check_reason(command.reason)
            return [facts.TargetCordoned(target_id=command.target_id, name=command.name, reason=command.reason)]
        case OpenTarget() if target.cordoned:
            return [facts.TargetOpened(target_id=command.target_id, name=command.name)]
        case RecordOrphanRemoved():
            return [
                facts.OrphanRemoved(
                    target_id=command.target_id,
                    name=command.name,
                    container_id=command.container_id,
                    runtime_id=command.runtime_id,
                    reason=command.reason,
                )
            ]
        case _:
            return []
