"""An installation with some events that are chained, and what tampers with its tables by hand."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID, uuid4

import psycopg
import pytest
from tests.cli.conftest import Ended, Program

from calipso import credentials, settings
from calipso.backend import Backend
from calipso.bootstrap.databases import migrate
from calipso.commands.dispatch import cause_of
from calipso.events.user import Role, RoleGranted, RoleRevoked, UserRegistered
from calipso.proof.chain import Chain
from calipso.proof.verifying import Finding, findings


@dataclass(frozen=True, kw_only=True)
class Log:
    """The events of an installation."""

    program: Program

    @property
    def backend(self) -> Backend:
        return self.program.backend

    @property
    def chain(self) -> Chain:
        return Chain(self.backend.database)

    def write(self, count: int) -> UUID:
        """Store events of one stream."""
        user = uuid4()
        events = [UserRegistered(user_id=user, name=f"ada-{user}")] + [
            (RoleGranted if number % 2 else RoleRevoked)(user_id=user, role=Role.AUDITOR) for number in range(1, count)
        ]
        self.backend.store.append(events, expected={}, cause=cause_of("service:test"))
        return user

    def tamper(self, *statements: str) -> None:
        """What somebody does who has the database's password."""
        with psycopg.connect(self.program.environment["CALIPSO_DATABASE_URL"]) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def found(self) -> list[Finding]:
        """What a verification of all finds, without a checkpoint."""
        last = self.chain.last().position
        return list(findings(self.backend.database, after=0, upto=last, marks=[]))

    def run(self, *arguments: object) -> Ended:
        return self.program.run(*map(str, arguments))


@pytest.fixture
def make_log(make_database: Callable[[], str]) -> Iterator[Callable[[], Log]]:
    made: list[Backend] = []

    def make() -> Log:
        environment = {
            "CALIPSO_DATABASE_URL": make_database(),
            "CALIPSO_NATS_URL": "nats://127.0.0.1:9",
            "CALIPSO_MASTER_KEYS": credentials.generate_key_line(),
        }
        given = {name.removeprefix("CALIPSO_").lower(): value for name, value in environment.items()}
        backend = Backend(settings.load(**given))
        made.append(backend)
        migrate(backend, make_guacamole=False)
        return Log(program=Program(environment=environment, backend=backend))

    yield make
    for backend in made:
        backend.close()


@pytest.fixture
def log(make_log: Callable[[], Log]) -> Log:
    """Twenty events in positions 1 to 20, all chained."""
    log = make_log()
    for _ in range(4):
        log.write(5)
    log.chain.complete()
    return log
