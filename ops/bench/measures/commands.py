"""Durable commands a second, beside a raw insert and commit with the same settings of the server."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from uuid import uuid4

import psycopg
from measures.facility import Facility, facility, register, request
from measures.results import Result, rate
from measures.slices import Slice, in_turn, one_slice

from calipso.commands.dispatch import cause_of
from calipso.events.user import Role, RoleGranted

CLIENTS = {1: (0.3, 0.15), 8: (0.45, 0.25), 32: (0.8, 0.4)}
_ROUNDS, _SECONDS = 7, 0.4
_USERS, _CONTAINERS = 4000, 5

_RAW_TABLE = """
CREATE TABLE raw_events (
    stream uuid, version bigint, topic text, state bytea, position bigserial PRIMARY KEY,
    recorded_at timestamptz DEFAULT now(), UNIQUE (stream, version)
)
"""
_RAW_INSERT = "INSERT INTO raw_events (stream, version, topic, state) VALUES (%s, %s, %s, %s)"
_RAW_STATE = b"x" * 200  # about what an event of one field takes


def measure(make_database: Callable[[], str], name: str) -> Result:
    """Measure `append/N` or `request/N`."""
    kind, clients = name.split("/")
    number = int(clients)
    with facility(url := make_database()) as made, raw(url, number) as insert:
        ours = partial(append, made) if kind == "append" else requests(made, number)
        limit, measured = in_turn([partial(_slice, work, number) for work in (insert, ours)], rounds=_ROUNDS)
    return rate(name, measured, limit, wanted=CLIENTS[number][kind == "request"])


def _slice(work: Callable[[int], object], clients: int) -> Slice:
    return one_slice(work, clients=clients, seconds=_SECONDS)


@contextmanager
def raw(url: str, clients: int) -> Iterator[Callable[[int], object]]:
    """What every store has to do at least: insert a row and commit, on a connection for each client."""
    with ExitStack() as stack:
        connections: Sequence[psycopg.Connection[tuple[object, ...]]] = [
            stack.enter_context(closing(psycopg.connect(url))) for _ in range(clients)
        ]
        connections[0].execute(_RAW_TABLE.encode())
        connections[0].commit()

        def insert(client: int) -> None:
            connections[client].execute(_RAW_INSERT, (uuid4(), 1, "calipso.user.RoleGranted", _RAW_STATE))
            connections[client].commit()

        yield insert


def append(made: Facility, _: int) -> None:
    """One event in a stream of its own."""
    user = uuid4()
    made.store.append([RoleGranted(user_id=user, role=Role.AUDITOR)], expected={user: 0}, cause=cause_of("bench"))


def requests(made: Facility, clients: int) -> Callable[[int], object]:
    """Whole requests for containers, read, decided and stored in two streams; each user asks for a few in a row."""
    users = register(made, _USERS)
    asking = [(user for user in users[client::clients] for _ in range(_CONTAINERS)) for client in range(clients)]

    def ask(client: int) -> None:
        made.dispatcher.dispatch(request(next(asking[client])), cause_of("bench"))

    return ask
