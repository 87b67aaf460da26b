"""What handlers need of the backend: queries and commands in threads, and who is calling."""

import asyncio
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeVar, cast
from uuid import UUID

from sanic import Request
from sqlalchemy import Connection
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from calipso.api.load import Held
from calipso.api.memory import Memory
from calipso.api.metrics import Metrics
from calipso.api.outside.http import Outside
from calipso.api.together import Together
from calipso.api.waiting import Waiting
from calipso.backend import Backend
from calipso.commands.dispatch import cause_of
from calipso.commands.handling import IMAGE, USER, USER_NAME, Fold
from calipso.commands.request import TargetOffered
from calipso.commands.store import Cause
from calipso.database import SHOWN, STORED
from calipso.errors import CalipsoError, NotPermitted, Unavailable
from calipso.events.envelope import Recorded
from calipso.events.user import Role, User
from calipso.projections import containers
from calipso.projections.containers import ContainerRow

T = TypeVar("T")

_ANSWERS = 1000
_ANSWERS_SECONDS = 5.0
_REMEMBERED = (IMAGE, USER, USER_NAME)  # named as the kinds of their events
_STATES = 10_000
_STATES_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Caller:
    """The account on whose behalf a request comes; `login_key` and `csrf_token` are set when it came by cookie."""

    user_id: UUID
    name: str
    is_administrator: bool
    is_auditor: bool = False
    login_key: str = ""
    csrf_token: str = ""

    @classmethod
    def of(cls, user: User, *, login_key: str = "", csrf_token: str = "") -> "Caller":
        """The caller whose account this is."""
        return cls(
            user_id=user.user_id,
            name=user.name,
            is_administrator=Role.ADMINISTRATOR in user.roles,
            is_auditor=Role.AUDITOR in user.roles,
            login_key=login_key,
            csrf_token=csrf_token,
        )


class Context:
    """The backend as handlers use it; one per process, at `request.app.ctx.calipso`.

    Args:
        backend: the bound parts.
        waiting: lets a request wait for projections and for the outcome of a container.
        metrics: what this process counts.
    """

    def __init__(self, backend: Backend, waiting: Waiting, metrics: Metrics) -> None:
        self.backend = backend
        self.outside = Outside(backend.settings.outside_timeout)
        self.waiting = waiting
        self.metrics = metrics
        self.runs = Held(backend.settings, metrics.held.labels("run"))
        self.ends = Held(backend.settings, metrics.held.labels("end"))
        self.follows = Held(backend.settings, metrics.held.labels("follow"))
        self.containers = Together(self._containers)
        self.states = {fold.name: _memory_of(fold) for fold in _REMEMBERED}
        self._looks = {fold.name: Together(partial(self._states, fold)) for fold in _REMEMBERED}
        self.answers: Memory[tuple[object]] = Memory(_concerns_answers, size=_ANSWERS, seconds=_ANSWERS_SECONDS)

    @cached_property
    def targets(self) -> tuple[TargetOffered, ...]:
        """All targets of the facility."""
        naming, named = self.backend.installation.naming, self.backend.settings.effective_targets()
        return tuple(TargetOffered(target_id=naming.target(target.name), name=target.name) for target in named)

    async def query(self, ask: Callable[[Connection], T]) -> T:
        """Ask the read models, in a thread; not again before a projection shows something new.

        Args:
            ask: a query of a read model with all arguments but the connection bound; its answer is never changed.

        Raises:
            Unavailable: the database of the read models does not answer.
        """
        question = _question_of(ask)
        if question is None:
            return await asyncio.to_thread(self._ask, ask)

        async def look() -> tuple[T]:
            return (await asyncio.to_thread(self._ask, ask),)

        return cast("tuple[T]", await self.answers.find(question, look))[0]

    async def look(self, ask: Callable[[Connection], T]) -> T:
        """Ask the read models, in a thread, each time anew: for answers that are large or not the read models' alone.

        Raises:
            Unavailable: the database of the read models does not answer.
        """
        return await asyncio.to_thread(self._ask, ask)

    async def work(self, work: Callable[[], T]) -> T:
        """Do something with the read models in a thread.

        Raises:
            Unavailable: the database of the read models does not answer.
        """
        return await asyncio.to_thread(_telling_outages, work)

    async def state(self, fold: Fold[T | None], stream: UUID) -> T | None:
        """The state of an image, of a user or of a name, in a thread; not again before anything like it is stored.

        What is decided on it is decided on what holds then: this is for those who must look before they can ask.

        Raises:
            Unavailable: the store does not answer.
        """
        look = partial(self._looks[fold.name].find, stream)
        found: T | None = await self.states[fold.name].find(stream, look)
        return found

    async def _states(self, fold: Fold[Any], streams: frozenset[UUID]) -> Mapping[UUID, Any]:
        return await asyncio.to_thread(self.backend.dispatcher.states, dict.fromkeys(streams, fold))

    async def _containers(self, container_ids: frozenset[UUID]) -> Mapping[UUID, ContainerRow]:
        return await self.look(partial(containers.by_uuids, container_ids=container_ids))

    def _ask(self, ask: Callable[[Connection], T]) -> T:
        return _telling_outages(partial(self._answer, ask))

    def _answer(self, ask: Callable[[Connection], T]) -> T:
        try:
            with self.backend.reading_engine.connect() as connection:
                return ask(connection)
        except (OperationalError, InterfaceError) as error:
            if not error.connection_invalidated:
                raise
        # a connection of before a restart of the database; the pool has dropped all that are as old
        with self.backend.reading_engine.connect() as connection:
            return ask(connection)

    async def dispatch(
        self, command: object, request: Request, *, shown_by: tuple[str, ...] = ()
    ) -> Sequence[Recorded]:
        """Obey a command of the caller, and wait until the named projections show what it stored.

        Raises:
            CalipsoError: what the decision says against it.
            NotVisibleYet: stored, but not shown in time.
        """
        cause = cause_of(actor_of(request), correlation_id=request.ctx.correlation_id)
        stored = await self._dispatch(command, cause)
        if stored:
            await self.waiting.until_shown(shown_by, stored[-1].position, str(stored[-1].id))
        return stored

    async def _dispatch(self, command: object, cause: Cause) -> Sequence[Recorded]:
        began, outcome = time.perf_counter(), "failed"
        try:
            stored = await self.backend.dispatcher.dispatched(command, cause)
            outcome = "stored" if stored else "achieved"
        except CalipsoError as error:
            outcome = type(error).__name__
            raise
        else:
            return stored
        finally:
            self.metrics.command(type(command).__name__, outcome, time.perf_counter() - began)


def _telling_outages(work: Callable[[], T]) -> T:
    try:
        return work()
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        raise Unavailable("the read models", str(error.__cause__ or error).strip()) from error


def _memory_of(fold: Fold[Any]) -> Memory[Any]:
    """Keeps states of one kind until an event of this kind is stored."""

    def concerns(channel: str, payload: str) -> bool:
        return channel == STORED and fold.name in payload.split(",")

    return Memory(concerns, size=_STATES, seconds=_STATES_SECONDS)


def _concerns_answers(channel: str, payload: str) -> bool:
    del payload
    return channel == SHOWN


def _question_of(ask: Callable[[Connection], object]) -> Hashable | None:
    """What two queries with the same answer have in common, None when that cannot be told."""
    if not isinstance(ask, partial):
        return ask
    question = ask.func, ask.args, tuple(sorted(ask.keywords.items()))
    try:
        hash(question)
    except TypeError:
        return None
    return question


def context_of(request: Request) -> Context:
    """The backend behind a request."""
    context: Context = request.app.ctx.calipso
    return context


def caller_of(request: Request) -> Caller:
    """Who is calling; only for handlers behind authentication."""
    caller: Caller = request.ctx.caller
    return caller


def actor_of(request: Request) -> str:
    """The actor that events of this request name: a uuid, never a name."""
    caller: Caller | None = getattr(request.ctx, "caller", None)
    return f"user:{caller.user_id}" if caller else "service:api"


def require_self_or_administrator(request: Request, username: str) -> None:
    """Refuse callers who name somebody else, unless they administrate.

    Raises:
        NotPermitted: the caller is neither the named user nor an administrator.
    """
    caller = caller_of(request)
    if caller.name.casefold() != username.casefold() and not caller.is_administrator:
        raise NotPermitted


def require_administrator(request: Request) -> None:
    """Refuse callers who do not administrate.

    Raises:
        NotPermitted: the caller is no administrator.
    """
    if not caller_of(request).is_administrator:
        raise NotPermitted


def require_auditor(request: Request) -> None:
    """Refuse callers who neither administrate nor audit.

    Raises:
        NotPermitted: the caller does neither.
    """
    caller = caller_of(request)
    if not (caller.is_administrator or caller.is_auditor):
        raise NotPermitted
