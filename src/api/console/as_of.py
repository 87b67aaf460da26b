"""What was at a moment: containers, quotas and experiments, with a slider along the whole history."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from sanic import Blueprint, HTTPResponse, Request
from sqlalchemy import Connection

from calipso.api import past
from calipso.api.audit import until_audited
from calipso.api.console.shell import Wrong, for_auditors, render, see
from calipso.api.console.words import iso
from calipso.api.context import Context, context_of
from calipso.api.readings import readings_of
from calipso.api.wire import read_id
from calipso.errors import Invalid, NotFound
from calipso.events.envelope import History
from calipso.events.values import Limits, Resources
from calipso.moments import format_time
from calipso.projections import containers, experiments, quotas, users
from calipso.projections.audit.question import user_of
from calipso.projections.audit.selection import neighbours
from calipso.projections.containers import ContainerRow
from calipso.projections.experiments import ExperimentRow
from calipso.projections.past import active_at, experiments_of, quota_of
from calipso.projections.users import UserRow

blueprint = Blueprint("console_as_of")

_SLIDER_STEPS = 1000
_EXPERIMENTS = 200


@dataclass(frozen=True, kw_only=True)
class Slider:
    """Seconds since the epoch along the history: its ends, where it stands (`word`), and how far it moves at once."""

    least: int
    most: int
    value: int
    word: str
    step: int


@dataclass(frozen=True, kw_only=True)
class Person:
    """What a user had: `limits` None where those of the facility held; their number of containers, what they held."""

    name: str
    limits: Limits | None
    default: Limits
    count: int
    used: Resources
    experiments: Sequence[ExperimentRow]


@dataclass(frozen=True, kw_only=True)
class Then:
    """What was at a moment, after the event at `position`; the events before and after it were at these times."""

    moment: datetime
    position: int
    before: datetime | None
    after: datetime | None
    containers: Sequence[ContainerRow]
    accounts: Mapping[UUID, UserRow]
    person: Person | None

    def name(self, user_id: UUID) -> str:
        """What an account is called; one that was erased by its uuid."""
        row = self.accounts.get(user_id)
        return row.name if row and not row.erased else str(user_id)

    def sums(self) -> Sequence[tuple[str, int, Resources]]:
        """What the containers of each user held together, by name."""
        held = defaultdict[str, list[Resources]](list)
        for row in self.containers:
            held[self.name(row.user_id)].append(row.resources)
        return [(name, len(each), sum(each, Resources())) for name, each in sorted(held.items())]


@blueprint.get("/console/as-of/")
@for_auditors
async def as_of(request: Request) -> HTTPResponse:
    """Containers, quotas and experiments as they were at a moment, of everybody or of one user."""
    context, text = context_of(request), (request.args.get("user") or "").strip()
    if second := request.args.get("second"):
        return see(request, "/console/as-of/", at=_of_second(second), user=text)
    await until_audited(context)
    store = context.backend.store
    first = await context.look(lambda connection: _time_after(connection, store, 0))
    moment, then, wrong = datetime.now(UTC), None, None
    try:
        # the field may be left empty
        moment = (past.moment_of(request) if request.args.get("at") else None) or moment
        user_id = await context.look(lambda connection: user_of(connection, text)) if text else None
        await readings_of(request).record(request, "as-of", user_id, {"at": format_time(moment)})
        then = await _then(request, moment, user_id)
    except (Invalid, NotFound) as error:
        wrong = Wrong.of(error)
    return render(
        request,
        "as_of.html",
        status=wrong.status if wrong else 200,
        wrong=wrong,
        at=request.args.get("at") or iso(moment.replace(microsecond=0)),
        user=text,
        then=then,
        slider=_slider(first or moment, moment),
    )


def _of_second(text: str) -> str:
    """The moment of a place of the slider."""
    try:
        return iso(datetime.fromtimestamp(min(read_id("second", text), int(datetime.now(UTC).timestamp())), UTC))
    except NotFound as error:
        raise Invalid("second", "must be a number of seconds since 1970") from error


def _time_after(connection: Connection, store: History, position: int) -> datetime | None:
    """The time of the event that follows a position, None when none does."""
    _, after = neighbours(connection, position)
    return store.at([after])[0].time if after else None


def _time_before(store: History, position: int) -> datetime | None:
    """The last time before that of an event at which there was one, None when there was none."""
    if not position:
        return None
    earlier = store.position_at(store.at([position])[0].time - datetime.resolution)
    return store.at([earlier])[0].time if earlier else None


def _slider(first: datetime, moment: datetime) -> Slider:
    least, most = int(first.timestamp()), int(datetime.now(UTC).timestamp())
    value = min(max(int(moment.timestamp()), least), most)
    word = iso(moment.replace(microsecond=0))
    return Slider(least=least, most=most, value=value, word=word, step=max((most - least) // _SLIDER_STEPS, 1))


async def _then(request: Request, moment: datetime, user_id: UUID | None) -> Then:
    context = context_of(request)
    store = context.backend.store
    rows = await past.as_it_was(
        request, partial(containers.active_of, user_id=user_id), active_at(moment, user_id), moment
    )
    position = await asyncio.to_thread(store.position_at, moment)
    ids = {row.user_id for row in rows}
    return Then(
        moment=moment,
        position=position,
        before=await asyncio.to_thread(_time_before, store, position),
        after=await context.look(lambda connection: _time_after(connection, store, position)),
        containers=rows,
        accounts=await context.look(lambda connection: users.named(connection, ids)),
        person=await _person(request, context, user_id, moment) if user_id else None,
    )


async def _person(request: Request, context: Context, user_id: UUID, moment: datetime) -> Person:
    def quota(connection: Connection) -> tuple[Limits | None, tuple[int, Resources]]:
        return quotas.limits_of(connection, user_id), quotas.used_by(connection, user_id)

    limits, (count, used) = await past.as_it_was(request, quota, quota_of(user_id), moment)
    ask = partial(experiments.page, user_id=user_id, page=1, page_size=_EXPERIMENTS)
    found = await past.as_it_was(request, ask, experiments_of(user_id), moment)
    row = await context.look(lambda connection: users.by_id(connection, user_id))
    return Person(
        name=row.name if row and not row.erased else str(user_id),
        limits=limits,
        default=context.backend.settings.limits(),
        count=count,
        used=used,
        experiments=found.rows,
    )
