"""The past is shown as it was shown then, whatever happened since."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, text
from tests.builders import ADA, container_requested, image_added, started, stopped, user_registered
from tests.projections.recorded import stored
from tests.projections.rows import READ_MODELS, apply, rolled_back
from tests.projections.test_lawful import BEGIN, CONTAINERS, LISTS, USERS, obey

from calipso.database import Database
from calipso.engines import engine_of
from calipso.errors import Unavailable
from calipso.events.container import State
from calipso.events.envelope import Unreadable
from calipso.projections import audit, containers, experiments, images, past, quotas
from calipso.projections.past import View
from calipso.store_memory import MemoryStore

Ask = Callable[[Connection], Any]


@pytest.fixture(scope="module")
def live(make_database: Callable[[], str]) -> Iterator[Engine]:
    """A database whose read models are really filled, for others to see."""
    database = Database(make_database())
    engine = engine_of(database)
    with engine.begin() as connection:
        for model in READ_MODELS:
            model.prepare(connection)
    yield engine
    engine.dispose()
    database.close()


def fill(engine: Engine, store: MemoryStore) -> None:
    """Let the read models show what is in the store, and nothing else."""
    with engine.begin() as connection:
        for model in READ_MODELS:
            for table in model.metadata.sorted_tables:
                if table.name != "position":
                    connection.execute(text(f"TRUNCATE {table.schema}.{table.name}"))
            apply(model, connection, store.read(after=0, limit=10_000).events)


def questions(moment: datetime) -> list[tuple[View, Ask]]:
    """What is asked of the past, each with the part of it that is needed."""
    asked: list[tuple[View, Ask]] = [
        (past.CATALOGUE, images.every),
        (past.containers_of(None), partial(containers.every_of, user_id=None)),
        (past.active_at(moment, None), partial(containers.active_of, user_id=None)),
    ]
    for user_id in USERS:
        asked += [
            (past.containers_of(user_id), partial(containers.every_of, user_id=user_id)),
            (past.active_at(moment, user_id), partial(containers.active_of, user_id=user_id)),
            (past.quota_of(user_id), partial(quotas.limits_of, user_id=user_id)),
            (past.quota_of(user_id), partial(quotas.used_by, user_id=user_id)),
            (past.experiments_of(user_id), partial(experiments.page, user_id=user_id, page=1, page_size=9)),
        ]
    return asked


@settings(max_examples=15, deadline=None)
@given(commands=LISTS, share=st.floats(0, 1))
def test_the_past_is_as_it_was(live: Engine, read_models: Engine, commands: list[object], share: float) -> None:
    _, store = obey([*BEGIN, *commands])
    position = len(BEGIN) + int(share * (store.head() - len(BEGIN)))
    moment = store.at([position])[0].time
    then = store.read(after=0, limit=position).events
    asked = questions(moment)
    with rolled_back(read_models) as connection:
        for model in READ_MODELS:
            apply(model, connection, then)
        shown = [ask(connection) for _, ask in asked]
    fill(live, store)
    assert [past.look(live, store, position, view, ask) for view, ask in asked] == shown


def test_one_container_at_every_step_of_its_life(live: Engine) -> None:
    request = container_requested(CONTAINERS[0])
    store = stored(user_registered(), image_added(), request, started(request), stopped(request))
    fill(live, store)
    rows = [past.look(live, store, n, past.container(3), partial(containers.by_id, id=3)) for n in range(1, 6)]
    assert [row and row.state for row in rows] == [None, None, State.REQUESTED, State.RUNNING, State.STOPPED]
    assert rows[4] is not None
    assert (rows[4].image_wire_id, rows[4].user_wire_id, rows[4].started) == (2, 1, store.at([4])[0].time)


def test_nothing_of_a_look_back_stays(live: Engine) -> None:
    store = stored(user_registered(), image_added())
    fill(live, store)
    assert len(past.look(live, store, 2, past.CATALOGUE, images.every)) == 1
    assert past.look(live, store, 1, past.CATALOGUE, images.every) == []
    with live.connect() as connection:
        assert len(images.every(connection)) == 1


@pytest.mark.parametrize("topic", ["calipso.image.ImageAdded", "calipso.image.ImageDreamed"])
def test_a_past_that_cannot_be_read_is_not_guessed(live: Engine, topic: str) -> None:
    store = stored(user_registered(ADA), image_added(), image_added("wiki"))
    event = Unreadable(stored_topic=topic, reason="a newer program wrote it", data={})
    store._log[2] = replace(store._log[2], event=event)
    with live.begin() as connection:
        connection.execute(text("TRUNCATE rm_audit.entries"))
        apply(audit.Audit(), connection, store.read(after=0, limit=10).events)
    assert len(past.look(live, store, 2, past.CATALOGUE, images.every)) == 1
    with pytest.raises(Unavailable, match="the state at position 3 is not available: a newer program wrote it"):
        past.look(live, store, 3, past.CATALOGUE, images.every)
