"""A database with all read models, and what tests do with their rows."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection, Engine
from tests.projections.rows import READ_MODELS, rolled_back

from calipso.database import Database
from calipso.engines import engine_of


@pytest.fixture(scope="session")
def read_models(make_database: Callable[[], str]) -> Iterator[Engine]:
    """An engine whose database has the empty tables of all read models; tests leave them empty."""
    database = Database(make_database())
    engine = engine_of(database)
    with engine.begin() as connection:
        for model in READ_MODELS:
            model.prepare(connection)
    yield engine
    engine.dispose()
    database.close()


@pytest.fixture
def connection(read_models: Engine) -> Iterator[Connection]:
    """A transaction that is rolled back after the test."""
    with rolled_back(read_models) as connection:
        yield connection
