"""What targets hold, as the rows of containers tell it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TypeVar
from uuid import UUID

from sqlalchemy import Connection, Engine, and_, func, or_, select
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from calipso.errors import Unavailable
from calipso.events.container import State
from calipso.projections.containers import IS_ACTIVE, KEPT, containers

T = TypeVar("T")


def open_on(connection: Connection, target: str) -> Mapping[UUID, State]:
    """The containers of a target that are active, or stopped and waiting for their removal, the oldest first."""
    is_open = or_(IS_ACTIVE, containers.c.removal_requested)
    query = select(containers.c.container_id, containers.c.state).where(containers.c.target == target, KEPT, is_open)
    rows = connection.execute(query.order_by(containers.c.id)).all()
    return {container_id: State(state) for container_id, state in rows}


def held_on(connection: Connection, target: str) -> int:
    """The number of containers that take room on a target: begun, and not removed."""
    is_begun = containers.c.state != State.REQUESTED
    query = select(func.count()).where(containers.c.target == target, KEPT, is_begun)
    return connection.execute(query).scalar_one()


def stopped_on(connection: Connection, target: str, before: datetime) -> Sequence[UUID]:
    """The containers of a target that stopped before a time, and that nobody has asked to remove, the oldest first."""
    is_stopped = containers.c.state == State.STOPPED
    is_left = and_(is_stopped, ~containers.c.removal_requested, containers.c.ended < before)
    query = select(containers.c.container_id).where(containers.c.target == target, KEPT, is_left)
    return connection.execute(query.order_by(containers.c.id)).scalars().all()


class RecordedHoldings:
    """What the read model says that targets hold; every method raises `Unavailable` when it does not answer.

    Args:
        engine: the read models' engine.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def open_on(self, target: str) -> Mapping[UUID, State]:
        """The containers that want something done, or that run there."""
        return self._ask(partial(open_on, target=target))

    def held_on(self, target: str) -> int:
        """The number of containers that take room there."""
        return self._ask(partial(held_on, target=target))

    def stopped_on(self, target: str, *, before: datetime) -> Sequence[UUID]:
        """The containers that stopped there before a time, and that nobody has asked to remove."""
        return self._ask(partial(stopped_on, target=target, before=before))

    def _ask(self, question: Callable[[Connection], T]) -> T:
        try:
            with self._engine.connect() as connection:
                return question(connection)
        except (OperationalError, InterfaceError, PoolTimeout) as error:
            raise Unavailable("the read models", str(error.__cause__ or error).strip()) from error
