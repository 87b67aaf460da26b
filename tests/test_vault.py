"""One contract for the keys of subjects, bound to memory and to PostgreSQL."""

import hmac
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest

from calipso.commands.dispatch import cause_of
from calipso.credentials import KEY_BYTES, MasterKeys
from calipso.database import Database
from calipso.events.naming import Naming, new_id
from calipso.vault import (
    SUBJECT_KEYS_DDL,
    MemorySubjectKeys,
    PostgresSubjectKeys,
    Sealer,
    SubjectKeys,
    unwrap,
    wrap,
)

MASTER = MasterKeys({1: b"\1" * KEY_BYTES})
ROTATED = MasterKeys({1: b"\1" * KEY_BYTES, 2: b"\2" * KEY_BYTES})


@pytest.fixture(scope="module")
def database(make_database: Callable[[], str]) -> Iterator[Database]:
    database = Database(make_database())
    with database.connect() as connection:
        connection.execute(SUBJECT_KEYS_DDL)
    yield database
    database.close()


@pytest.fixture(params=["memory", "postgres"])
def keys(request: pytest.FixtureRequest) -> SubjectKeys:
    if request.param == "memory":
        return MemorySubjectKeys()
    return PostgresSubjectKeys(request.getfixturevalue("database").connect, MASTER)


@pytest.fixture
def subject() -> UUID:
    return uuid4()


def test_a_key_is_made_once(keys: SubjectKeys, subject: UUID) -> None:
    assert keys.of(subject) is None
    made = keys.make(subject)
    assert made is not None
    assert len(made) == KEY_BYTES
    assert keys.make(subject) == keys.of(subject) == made
    assert keys.make(uuid4()) != made


def test_few_keys_are_kept_in_memory(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calipso.vault._CACHED_KEYS", 3)
    keys = PostgresSubjectKeys(database.connect, MASTER)
    made = {subject: keys.make(subject) for subject in (uuid4() for _ in range(10))}
    assert len(keys._cache) <= 3
    assert {subject: keys.of(subject) for subject in made} == made


def test_a_destroyed_key_is_gone_and_none_takes_its_place(keys: SubjectKeys, subject: UUID) -> None:
    keys.make(subject)
    keys.destroy(subject)
    assert keys.of(subject) is None
    assert keys.make(subject) is None
    assert keys.of(subject) is None


def test_a_subject_may_be_erased_before_it_has_a_key(keys: SubjectKeys, subject: UUID) -> None:
    keys.destroy(subject)
    assert keys.make(subject) is None


def test_eight_processes_make_one_key(database: Database, subject: UUID) -> None:
    processes = [PostgresSubjectKeys(database.connect, MASTER) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda keys: keys.make(subject), processes))) == 1


def test_keys_outlive_the_process_and_a_new_master_key(database: Database, subject: UUID) -> None:
    made = PostgresSubjectKeys(database.connect, MASTER).make(subject)
    assert PostgresSubjectKeys(database.connect, ROTATED).of(subject) == made


def test_the_table_holds_keys_only_wrapped(database: Database, subject: UUID) -> None:
    made = PostgresSubjectKeys(database.connect, ROTATED).make(subject)
    with database.connect() as connection:
        row = connection.execute("SELECT * FROM subject_keys WHERE subject = %s", (subject,)).fetchone()
    assert row is not None
    assert row["key_number"] == 2
    assert made is not None
    assert made not in bytes(row["wrapped"])


def test_nothing_of_a_destroyed_key_is_left_in_the_table(database: Database, subject: UUID) -> None:
    keys = PostgresSubjectKeys(database.connect, MASTER)
    keys.make(subject)
    keys.destroy(subject)
    with database.connect() as connection:
        row = connection.execute("SELECT wrapped FROM subject_keys WHERE subject = %s", (subject,)).fetchone()
    assert row is not None
    assert row["wrapped"] is None


def test_what_was_wrapped_is_unwrapped_for_its_purpose_and_owner_only(subject: UUID) -> None:
    wrapped = wrap(MASTER, 1, "naming key", subject, b"plain")
    assert unwrap(MASTER, 1, "naming key", subject, wrapped) == b"plain"
    for number, purpose, owner in ((2, "naming key", subject), (1, "subject key", subject), (1, "naming key", uuid4())):
        with pytest.raises(ValueError, match=f"cannot be unwrapped with master key {number}"):
            unwrap(ROTATED, number, purpose, owner, wrapped)
    with pytest.raises(KeyError):
        unwrap(MASTER, 2, "naming key", subject, wrapped)


def test_what_was_sealed_is_unsealed_in_its_place_only() -> None:
    key = b"\3" * KEY_BYTES
    box = Sealer(key).seal("user.name", {"text": "Ada"})
    assert Sealer(key).unseal("user.name", box) == {"text": "Ada"}
    assert Sealer(key).seal("user.name", {"text": "Ada"}) != box
    for other_key, place in ((key, "user.uid"), (b"\4" * KEY_BYTES, "user.name")):
        with pytest.raises(ValueError, match=f"{place} cannot be read"):
            Sealer(other_key).unseal(place, box)


def test_what_every_command_does_never_lets_go_of_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bytes:
        pytest.fail("a thread beside a busy one would wait for milliseconds")

    monkeypatch.setattr(os, "urandom", refuse)  # uuid4 asks it too
    monkeypatch.setattr(hmac, "digest", refuse)
    sealer, naming = Sealer(b"\1" * KEY_BYTES), Naming(b"\2" * KEY_BYTES)
    assert len({sealer.seal("label", "mine") for _ in range(100)}) == 100
    assert len({new_id() for _ in range(100)} | {cause_of("user").command_id for _ in range(100)}) == 200
    assert {each.version for each in (new_id(), naming.user_name("ada"))} == {4, 5}
