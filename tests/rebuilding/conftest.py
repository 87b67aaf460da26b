"""An installation with a history that its read models and Guacamole's tables show."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from uuid import uuid4

import pytest
from sqlalchemy import text
from tests import builders
from tests.api.conftest import url_of
from tests.cli.conftest import Ended, Program

from calipso import credentials, settings
from calipso.backend import Backend
from calipso.bootstrap.databases import migrate
from calipso.bootstrap.projecting import runners
from calipso.commands.dispatch import cause_of
from calipso.events.container import ContainerRequested
from calipso.events.envelope import Event


@dataclass(frozen=True, kw_only=True)
class Office:
    """An installation whose tests store events and look at rows."""

    program: Program

    @property
    def backend(self) -> Backend:
        return self.program.backend

    def run(self, *arguments: object) -> Ended:
        return self.program.run(*map(str, arguments))

    def store(self, *events: Event) -> None:
        self.backend.store.append(events, expected={}, cause=cause_of("service:test"))

    def project(self) -> None:
        """Let every projection catch up."""
        for runner in runners(self.backend, lambda _: None):
            runner.catch_up()

    def sql(self, statement: str) -> Sequence[tuple[object, ...]]:
        """What somebody does, or looks at, by hand."""
        with self.backend.engine.begin() as connection:
            result = connection.execute(text(statement))
            return [tuple(row) for row in result] if result.returns_rows else []

    def add_visit(self, word: str) -> ContainerRequested:
        """A person with an experiment and a container that runs; gives its request."""
        user, number = builders.uuid_of(f"user {word}"), f"P-{word}"
        request = builders.container_requested(
            uuid4(), user, label="S1", info=number, session=builders.session_ref(number, "S1", user)
        )
        self.store(
            builders.user_registered(user, word),
            builders.experiment_added(number),
            builders.session_added(number),
            builders.member_added(number, user),
            builders.image_added(f"desktop-{word}"),
            builders.quota_assigned(user),
            builders.quota_reserved(request.container_id, user),
            request,
            builders.starting(request),
            builders.started(request),
        )
        return request


@pytest.fixture
def office(make_database: Callable[[], str]) -> Iterator[Office]:
    environment = {
        "CALIPSO_DATABASE_URL": make_database(),
        "CALIPSO_GUACAMOLE_DATABASE_URL": url_of(make_database()),
        "CALIPSO_NATS_URL": "nats://127.0.0.1:9",
        "CALIPSO_MASTER_KEYS": credentials.generate_key_line(),
    }
    given = {name.removeprefix("CALIPSO_").lower(): value for name, value in environment.items()}
    backend = Backend(settings.load(**given))
    migrate(backend, make_guacamole=True)
    office = Office(program=Program(environment=environment, backend=backend))
    for word in ("ada", "bob"):
        office.add_visit(word)
    office.project()
    yield office
    backend.close()
