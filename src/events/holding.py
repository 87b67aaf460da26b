"""What users hold as time passes, and the most that all of them held on each day."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from uuid import UUID

from calipso.events.values import Resources

_DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Peak:
    """The most that was held at one time, by all users together."""

    containers: int = 0
    resources: Resources = field(default_factory=Resources)

    def with_(self, held: "Peak") -> "Peak":
        """The peak of both."""
        a, b = self.resources, held.resources
        return Peak(
            containers=max(self.containers, held.containers),
            resources=Resources(
                millicores=max(a.millicores, b.millicores), memory=max(a.memory, b.memory), disk=max(a.disk, b.disk)
            ),
        )


@dataclass(frozen=True, kw_only=True)
class Held:
    """What one container holds; `label` must be unique among those of its user."""

    label: str
    resources: Resources


class World:
    """What is held, by users and altogether, and the peaks of that.

    Args:
        since: when peaks begin to count (UTC).
    """

    def __init__(self, since: datetime) -> None:
        self.held: dict[UUID, dict[UUID, Held]] = defaultdict(dict)
        self.owners: dict[UUID, UUID] = {}
        self.peaks: dict[str, Peak] = {}
        self._since = since
        self._now = Peak()
        self._day: date | None = None

    def reach(self, moment: datetime) -> None:
        """Let the time pass; what is held over midnight counts for the next day, too."""
        if moment < self._since:
            return
        if self._day is None:
            self._day = self._since.date()
            self._note(self._day)
        while self._day < moment.date():
            self._day += _DAY
            self._note(self._day)

    def hold(self, container_id: UUID, user_id: UUID, held: Held) -> None:
        """Let a container hold something."""
        self.held[user_id][container_id] = held
        self.owners[container_id] = user_id
        self._change(1, held.resources)

    def release(self, container_id: UUID) -> None:
        """Let it hold nothing any more, if it did."""
        user_id = self.owners.pop(container_id, None)
        if user_id is not None:
            resources = self.held[user_id].pop(container_id).resources
            minus = Resources(millicores=-resources.millicores, memory=-resources.memory, disk=-resources.disk)
            self._change(-1, minus)

    def used(self, user_id: UUID) -> Resources:
        """What the containers of a user hold together."""
        return sum((held.resources for held in self.held[user_id].values()), Resources())

    def _change(self, containers: int, resources: Resources) -> None:
        self._now = Peak(containers=self._now.containers + containers, resources=self._now.resources + resources)
        if self._day:
            self._note(self._day)

    def _note(self, day: date) -> None:
        self.peaks[day.isoformat()] = self.peaks.get(day.isoformat(), Peak()).with_(self._now)
