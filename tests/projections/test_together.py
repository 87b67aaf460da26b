"""Projections of one database share a transaction for each batch, and no other's trouble."""

from collections.abc import Iterator, Sequence
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Column, Connection, Engine, Table, Uuid, event, insert, select, text

from calipso.codec import Codec
from calipso.commands.dispatch import cause_of
from calipso.database import Database
from calipso.engines import engine_of
from calipso.events.envelope import Recorded
from calipso.events.user import Role, RoleGranted, RoleRevoked
from calipso.projections.runner import Runner
from calipso.projections.shared_log import SharedLog
from calipso.projections.tables import ReadModel, read_model_metadata
from calipso.projections.together import Group
from calipso.store_memory import MemoryStore
from calipso.vault import MemorySubjectKeys


class Noted(ReadModel):
    """One row for each event that it hears of; one of `poison` cannot be applied."""

    poison: UUID | None = None

    @property
    def rows(self) -> Table:
        return self.metadata.tables[f"{self.metadata.schema}.rows"]

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        for recorded in events:
            if recorded.stream == self.poison:
                message = "poison"
                raise ValueError(message)
            connection.execute(insert(self.rows).values(event_id=recorded.id))


class Granted(Noted):
    name = "granted"
    topics = frozenset({RoleGranted.topic()})
    metadata = read_model_metadata("granted")


class Revoked(Noted):
    name = "revoked"
    topics = frozenset({RoleRevoked.topic()})
    metadata = read_model_metadata("revoked")


for _model in (Granted, Revoked):
    Table("rows", _model.metadata, Column("event_id", Uuid, primary_key=True))


class World:
    """A database, a store, both read models and the group that keeps them.

    Attributes:
        told: what the runners of the group reported.
        commits: grows with each transaction.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.store = MemoryStore(Codec(MemorySubjectKeys()))
        self.log = SharedLog(self.store)
        self.models = self.granted, self.revoked = Granted(), Revoked()
        with engine.begin() as connection:
            for model in self.models:
                model.prepare(connection)
        self.told: list[tuple[str, int, bool, str]] = []
        self.group = Group([self.runner(model) for model in self.models])
        self.commits: list[object] = []
        event.listen(engine, "commit", self.commits.append)

    def runner(self, model: Noted) -> Runner:
        def report(position: int, ok: bool, detail: str) -> None:
            self.told.append((model.name, position, ok, detail))

        return Runner(projection=model, engine=self.engine, log=self.log, report=report)

    def write(self, count: int = 1, user: UUID | None = None) -> None:
        """Grant and revoke, and ring."""
        user = user or uuid4()
        for _ in range(count):
            events = [RoleGranted(user_id=user, role=Role.AUDITOR), RoleRevoked(user_id=user, role=Role.AUDITOR)]
            self.store.append(events, expected={}, cause=cause_of("service:test"))
        self.log.renew()

    def catch_up(self, group: Group | None = None) -> None:
        while (group or self.group).advance():
            pass

    def begin(self) -> None:
        """Let the group know where it is; forget what happened until then."""
        self.catch_up()
        self.group.advance()  # after the first word that they live they read their positions again
        self.told.clear()
        self.commits.clear()

    def is_complete(self, *models: Noted) -> bool:
        """Whether each has all that is stored for it, each event once."""
        stored = self.store.read(after=0, limit=10_000).events
        with self.engine.connect() as connection:
            return all(
                {*connection.execute(select(model.rows.c.event_id)).scalars()}
                == {recorded.id for recorded in stored if recorded.topic in (model.topics or ())}
                for model in models
            )


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    database = Database(database_url)
    made = engine_of(database)
    yield World(made)
    made.dispose()
    database.close()


def test_a_batch_is_one_transaction_for_all(world: World) -> None:
    world.begin()
    world.write(3)
    world.catch_up()
    assert len(world.commits) == 1
    assert world.is_complete(*world.models)


def test_all_tell_how_far_they_are(world: World) -> None:
    world.begin()
    world.write(3)
    world.catch_up()
    assert world.told == [("granted", 6, True, ""), ("revoked", 6, True, "")]


def test_who_is_behind_catches_up_and_shares_again(world: World) -> None:
    world.write(700)
    world.runner(world.granted).advance()
    world.begin()
    assert world.is_complete(*world.models)
    world.write()
    world.catch_up()
    assert len(world.commits) == 1
    assert world.is_complete(*world.models)


def test_an_event_that_one_cannot_apply_stops_it_alone(world: World) -> None:
    world.write(2)
    world.granted.poison = uuid4()
    world.write(1, world.granted.poison)
    world.catch_up()
    assert ("granted", 0, False, "stopped before position 5: ValueError('poison')") in world.told
    world.told.clear()
    world.write(2)
    world.catch_up()
    assert world.is_complete(world.revoked)
    assert {name for name, *_ in world.told} == {"revoked"}
    with world.engine.begin() as connection:
        assert world.granted.lock_position(connection) == 3


def test_who_was_stopped_tries_again_and_goes_on_where_it_was(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calipso.projections.together._POISON_SECONDS", 0)
    world.granted.poison = uuid4()
    world.write(1, world.granted.poison)
    world.catch_up()
    assert not world.is_complete(world.granted)
    world.granted.poison = None
    world.write()
    world.catch_up()
    assert world.is_complete(*world.models)


def test_tables_that_one_misses_stop_it_alone(world: World) -> None:
    world.begin()
    with world.engine.begin() as connection:
        connection.execute(text("DROP TABLE rm_granted.rows"))
    world.write()
    world.catch_up()
    assert world.is_complete(world.revoked)
    assert [(name, ok) for name, _, ok, _ in world.told] == [("granted", False), ("revoked", True)]


def test_two_processes_apply_everything_once(world: World) -> None:
    other = Group([world.runner(model) for model in world.models])
    for group in (world.group, other, world.group):
        world.write(2)
        world.catch_up(group)
        assert world.is_complete(*world.models)


def test_who_was_overtaken_with_one_of_them_does_nothing_twice(world: World) -> None:
    world.begin()
    world.write(2)
    world.runner(world.revoked).catch_up()
    world.catch_up()
    assert world.is_complete(*world.models)
