"""What containers used, as JSON objects with hours; the command line writes the same."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec
from sqlalchemy import Connection

from calipso.api.objects import Time
from calipso.errors import Invalid
from calipso.events.usage import By, Key, Usage
from calipso.projections import users
from calipso.projections.audit import names_of

_HOUR = 3_600_000_000
_CPU = 1000
_GIB = 2**30


class UsageRow(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What was used; only that by which usage is told apart is there, `experiment` is empty without one.

    `running` is from when a container was usable until it ended, `held` from its request on. The hours of processors
    and of GiB of memory are those times what the container was given.
    """

    day: str | msgspec.UnsetType = msgspec.UNSET
    user: str | msgspec.UnsetType = msgspec.UNSET
    user_id: UUID | msgspec.UnsetType = msgspec.UNSET
    experiment: str | msgspec.UnsetType = msgspec.UNSET
    image: str | msgspec.UnsetType = msgspec.UNSET
    runtime: str | msgspec.UnsetType = msgspec.UNSET
    containers: int
    running_hours: float
    running_cpu_hours: float
    running_memory_gib_hours: float
    held_hours: float
    held_cpu_hours: float
    held_memory_gib_hours: float


class UsageObject(msgspec.Struct, kw_only=True):
    """What was used within a period."""

    since: Time
    until: Time
    rows: list[UsageRow]


AMOUNTS = (
    "containers",
    "running_hours",
    "running_cpu_hours",
    "running_memory_gib_hours",
    "held_hours",
    "held_cpu_hours",
    "held_memory_gib_hours",
)
_COLUMNS: Mapping[By, tuple[str, ...]] = {
    By.DAY: ("day",),
    By.USER: ("user", "user_id"),
    By.EXPERIMENT: ("experiment",),
    By.IMAGE: ("image",),
    By.RUNTIME: ("runtime",),
}


def read_by(text: str) -> tuple[By, ...]:
    """What usage is told apart by, from words separated by commas.

    Raises:
        Invalid: one of them is unknown, or stands there twice.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    if unknown := [word for word in words if word not in set(By)]:
        raise Invalid("by", f"{unknown[0][:40]!r} is none of {', '.join(By)}")
    if len(set(words)) < len(words):
        raise Invalid("by", "names something twice")
    return tuple(By(word) for word in words)


def columns_of(by: Sequence[By]) -> tuple[str, ...]:
    """The columns of usage that is told apart so."""
    return (*(column for each in by for column in _COLUMNS[each]), *AMOUNTS)


def usage_rows(connection: Connection, found: Mapping[Key, Usage], by: Sequence[By]) -> list[UsageRow]:
    """The rows of usage, in the order of what it is told apart by, with names.

    Args:
        connection: of the read models' database, which knows the names.
        found: what was used.
        by: what its keys are.
    """
    ids = {part for key in found for part in key if isinstance(part, UUID)}
    accounts, things = users.named(connection, ids), names_of(connection, ids)

    def words(key: Key) -> dict[str, UUID | str]:
        told: dict[str, UUID | str] = {}
        for each, part in zip(by, key, strict=True):
            if each is By.USER and isinstance(part, UUID):
                row = accounts.get(part)
                told |= {"user": row.name if row else str(part), "user_id": part}
            elif each is By.EXPERIMENT:
                told["experiment"] = things.get(part, str(part)) if isinstance(part, UUID) else ""
            else:
                told[each.value] = str(part)
        return told

    rows = [(words(key), used) for key, used in found.items()]
    rows.sort(key=lambda row: [str(part) for part in row[0].values()])
    return [msgspec.convert({**told, **_hours(used)}, type=UsageRow) for told, used in rows]


def _hours(used: Usage) -> dict[str, int | float]:
    return {
        "containers": used.containers,
        "running_hours": used.running / _HOUR,
        "running_cpu_hours": used.running_cpu / _HOUR / _CPU,
        "running_memory_gib_hours": used.running_memory / _HOUR / _GIB,
        "held_hours": used.held / _HOUR,
        "held_cpu_hours": used.held_cpu / _HOUR / _CPU,
        "held_memory_gib_hours": used.held_memory / _HOUR / _GIB,
    }
