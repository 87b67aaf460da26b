"""What if another quota or catalogue had held: the requests of a period, decided again. Pure, over events alone.

What is assumed:

* Whatever was asked for would have been asked for all the same, at the same time, and in the same order.
* A request that would have been refused holds nothing, also none of what it really held.
* A request that would have been granted, and really was, holds its part as long as it really did.
* One that was really refused, and would have been granted, holds its part as long as half of the containers of its
  image in the period did (the median); if there were none, for no time. Of refusals the log keeps at most ten a minute
  of each user.
* Whether somebody was a member of an experiment is what it was.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from statistics import median_low
from uuid import UUID

from calipso.events.container import ContainerRequested
from calipso.events.envelope import Recorded
from calipso.events.holding import Held, Peak, World
from calipso.events.quota import QuotaAssigned, QuotaReleased
from calipso.events.refusals import ContainerRequestRefused, RefusalReason
from calipso.events.values import Limits, Resources

Request = ContainerRequested | ContainerRequestRefused

NOT_OFFERED = "not_offered"


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What is to hold instead; what is None or not named stays as it was.

    `containers`, `millicores`, `memory` and `disk` take the place of these limits of everybody, also of users with
    limits of their own. `sizes` are other resources of images, `withdrawn` are images that are not offered.
    """

    containers: int | None = None
    millicores: int | None = None
    memory: int | None = None
    disk: int | None = None
    sizes: Mapping[str, Resources] = field(default_factory=dict)
    withdrawn: frozenset[str] = frozenset()

    def limits(self, real: Limits) -> Limits:
        """The limits that hold instead of the real ones."""
        most = real.resources
        return Limits(
            containers=_first(self.containers, real.containers),
            resources=Resources(
                millicores=_first(self.millicores, most.millicores),
                memory=_first(self.memory, most.memory),
                disk=_first(self.disk, most.disk),
            ),
        )


@dataclass(frozen=True, kw_only=True)
class Decided:
    """A request, decided again; the reasons are empty where it is granted."""

    position: int
    time: datetime
    user_id: UUID
    image_name: str
    resources: Resources
    was: str
    would_be: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What would have been: each request, and the peaks of each day (UTC), as they were and as they would be."""

    requests: Sequence[Decided]
    peaks_were: Mapping[str, Peak]
    peaks_would_be: Mapping[str, Peak]


def what_if(
    events: Iterable[Recorded],
    policy: Policy,
    *,
    defaults: Limits,
    usual: Mapping[str, timedelta],
    since: datetime,
    until: datetime,
) -> Outcome:
    """Decide the requests of a period again.

    Args:
        events: in order: those of the period, and before them those that tell of limits of users' own and of containers
            that held something at its beginning. Only requests, refusals, releases and limits count.
        policy: what is to hold instead.
        defaults: the limits of users without own ones.
        usual: how long containers of each image hold their part; see `usual_times`.
        since: when the period begins (UTC); requests before it are taken as they were.
        until: when it ends (UTC).
    """
    return _Replay(policy, defaults, usual, since).all(events, until)


class _Replay:
    def __init__(self, policy: Policy, defaults: Limits, usual: Mapping[str, timedelta], since: datetime) -> None:
        self._policy, self._defaults, self._usual, self._since = policy, defaults, usual, since
        self._real, self._other = World(since), World(since)
        self._limits: dict[UUID, Limits] = {}
        self._decided: list[Decided] = []
        self._ends: list[tuple[datetime, int, UUID]] = []
        self._numbers = count()

    def all(self, events: Iterable[Recorded], until: datetime) -> Outcome:
        for recorded in events:
            self._pass(recorded.time)
            self._step(recorded)
        self._pass(until)
        return Outcome(requests=self._decided, peaks_were=self._real.peaks, peaks_would_be=self._other.peaks)

    def _pass(self, moment: datetime) -> None:
        while self._ends and self._ends[0][0] <= moment:
            end, _, container_id = heapq.heappop(self._ends)
            self._other.reach(end)
            self._other.release(container_id)
        for world in (self._real, self._other):
            world.reach(moment)

    def _step(self, recorded: Recorded) -> None:
        match recorded.event:
            case QuotaAssigned(user_id=user_id, limits=limits):
                self._limits[user_id] = limits
            case QuotaReleased(container_id=container_id):
                self._real.release(container_id)
                self._other.release(container_id)
            case ContainerRequested() as event:
                self._real.hold(event.container_id, event.user_id, Held(label=_label(event), resources=event.resources))
                self._decide(recorded, event, "", event.resources)
            case ContainerRequestRefused() as event:
                self._decide(recorded, event, event.reason.value, event.requested)
            case _:
                pass

    def _decide(self, recorded: Recorded, event: Request, was: str, real: Resources) -> None:
        resources = self._policy.sizes.get(event.image_name, real)
        held = Held(label=_label(event), resources=resources)
        if recorded.time < self._since:
            if isinstance(event, ContainerRequested):
                self._other.hold(event.container_id, event.user_id, held)
            return
        would_be = self._refusal(event, held, was)
        self._decided.append(
            Decided(
                position=recorded.position,
                time=recorded.time,
                user_id=event.user_id,
                image_name=event.image_name,
                resources=resources,
                was=was,
                would_be=would_be,
            )
        )
        if would_be:
            return
        if isinstance(event, ContainerRequested):
            self._other.hold(event.container_id, event.user_id, held)
        elif lasts := self._usual.get(event.image_name):
            self._other.hold(recorded.id, event.user_id, held)
            heapq.heappush(self._ends, (recorded.time + lasts, next(self._numbers), recorded.id))

    def _refusal(self, event: Request, wanted: Held, was: str) -> str:
        """The first rule that the request would break; in the order in which they are asked."""
        if event.image_name in self._policy.withdrawn:
            return NOT_OFFERED
        if was == RefusalReason.NOT_A_MEMBER:
            return was
        limits = self._policy.limits(self._limits.get(event.user_id, self._defaults))
        held, most = self._other.held[event.user_id], limits.resources
        total = self._other.used(event.user_id) + wanted.resources
        rules = (
            # an erasure leaves no labels
            (
                RefusalReason.ALREADY_LAUNCHED,
                wanted.label and any(each.label == wanted.label for each in held.values()),
            ),
            (RefusalReason.MACHINES, len(held) + 1 > limits.containers),
            (RefusalReason.CPUS, total.millicores > most.millicores),
            (RefusalReason.MEMORY, total.memory > most.memory),
            (RefusalReason.HDD, total.disk > most.disk),
        )
        return next((reason.value for reason, broken in rules if broken), "")


def _label(event: Request) -> str:
    """What must be unique among the containers that a user holds."""
    has_session = (
        event.session is not None if isinstance(event, ContainerRequested) else event.experiment_id is not None
    )
    return f"{event.info}~{event.label}" if has_session and event.label else event.label


def usual_times(events: Iterable[Recorded]) -> Mapping[str, timedelta]:
    """How long half of the containers of each image held their part."""
    begun: dict[UUID, tuple[str, datetime]] = {}
    lasted: dict[str, list[timedelta]] = defaultdict(list)
    for recorded in events:
        match recorded.event:
            case ContainerRequested(container_id=container_id, image_name=name):
                begun[container_id] = (name, recorded.time)
            case QuotaReleased(container_id=container_id) if container_id in begun:
                name, begin = begun.pop(container_id)
                lasted[name].append(recorded.time - begin)
            case _:
                pass
    return {name: median_low(times) for name, times in lasted.items()}


def _first(*numbers: int | None) -> int:
    return next((number for number in numbers if number is not None), 0)


def refused_users(outcome: Outcome) -> Mapping[UUID, Counter[str]]:
    """Who would have been refused what was really granted, how often and why."""
    found: dict[UUID, Counter[str]] = defaultdict(Counter)
    for each in outcome.requests:
        if each.would_be and not each.was:
            found[each.user_id][each.would_be] += 1
    return found
