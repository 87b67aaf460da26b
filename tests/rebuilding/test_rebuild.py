"""Projections are made anew from their events while everything runs, and are what the live ones are."""

import threading

import pytest
from sqlalchemy import Connection
from tests import builders
from tests.rebuilding.conftest import Office

from calipso.bootstrap.projecting import runners
from calipso.cli import rebuilding as cli
from calipso.events.envelope import Recorded
from calipso.projections import rebuilding, runner
from calipso.projections.containers import Containers
from calipso.projections.quotas import Quotas
from calipso.projections.rebuilding import Rebuild
from calipso.projections.registry import read_models
from calipso.projections.users import Users

NAMES = [model.name for model in read_models()]
SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'rm!_%' ESCAPE '!' ORDER BY 1"


def schemas(office: Office) -> set[str]:
    return {str(row[0]) for row in office.sql(SCHEMAS)}


def test_all_are_what_their_events_say_also_after_an_erasure(office: Office) -> None:
    request = office.add_visit("eve")
    office.project()
    office.store(builders.stopped(request), builders.quota_released(request.container_id, request.user_id))
    office.backend.subject_keys.destroy(request.user_id)
    office.store(builders.user_erased(request.user_id))
    office.project()
    told = office.run("rebuild", "--all", "--check")
    assert (told.status, told.err) == (0, ""), told.out
    for name in NAMES:
        assert f"{name}: the same as the live one at position " in told.out
    assert "guacamole: the same as its events at position " in told.out
    assert schemas(office) == {f"rm_{name}" for name in NAMES}


def test_what_was_changed_by_hand_is_found_and_mended(office: Office) -> None:
    office.sql(
        "UPDATE rm_containers.containers SET state = 'lost' WHERE id = (SELECT min(id) FROM rm_containers.containers)"
    )
    told = office.run("rebuild", "containers", "quotas", "--check")
    assert told.status == 1
    assert "containers: DIFFERS from the live one" in told.out
    assert "  containers: 1 rows only live, 1 only rebuilt" in told.out
    assert "quotas: the same as" in told.out
    mended = office.run("rebuild", "containers")
    assert mended.status == 0
    assert "containers: in place at position" in mended.out
    assert office.run("rebuild", "containers", "--check").status == 0
    assert office.sql("SELECT count(*) FROM rm_containers.containers WHERE state = 'lost'") == [(0,)]


def test_one_that_stands_still_is_not_the_same(office: Office) -> None:
    office.project()
    assert office.run("rebuild", "users", "--check").status == 0
    office.store(builders.user_registered(builders.uuid_of("user late"), "late"))
    told = office.run("rebuild", "users", "images", "--check")
    assert told.status == 1
    assert f"users: the live one is BEHIND: position {office.backend.store.head()} is not in it" in told.out
    assert "images: the live one is BEHIND" not in told.out


def test_the_projector_goes_on_with_the_new_one(office: Office) -> None:
    following = {r.projection.name: r for r in runners(office.backend, lambda _: None)}
    for each in following.values():
        each.catch_up()
    assert office.run("rebuild", "--all").status == 0
    office.add_visit("eve")
    for each in following.values():
        each.catch_up()
    assert office.sql("SELECT count(*) FROM rm_users.users") == [(3,)]
    assert office.run("rebuild", "--all", "--check").status == 0


def test_nothing_is_lost_or_doubled_while_others_write_project_and_read(office: Office) -> None:
    done = threading.Event()
    failures: list[BaseException] = []
    counts: list[int] = []

    def write() -> None:
        number = 0
        while not done.is_set():
            office.add_visit(f"w{number}")
            number += 1

    def project() -> None:
        following = list(runners(office.backend, lambda _: None))
        while not done.is_set():
            for each in following:
                each.catch_up()

    def read() -> None:
        with office.backend.reading_engine.connect() as connection:
            while not done.is_set():
                counts.append(connection.exec_driver_sql("SELECT count(*) FROM rm_users.users").scalar_one())

    def guarded(work: object) -> None:
        try:
            work()  # type: ignore[operator]
        except BaseException as error:  # noqa: BLE001 - told at the end of the test
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in (write, project, project, read)]
    for thread in threads:
        thread.start()
    try:
        told = [office.run("rebuild", "users", "quotas", "containers") for _ in range(3)]
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not failures
    assert all(each.status == 0 and "DIFFERS" not in each.out for each in told)
    assert counts == sorted(counts), "readers never see less than before"
    office.project()
    assert office.run("rebuild", "--all", "--check").status == 0


class Poisoned(Quotas):
    """Quotas of a program with a fault."""

    is_mended = False

    def apply(self, connection: Connection, events: list[Recorded]) -> None:  # type: ignore[override]
        if not self.is_mended and any(recorded.position > 12 for recorded in events):
            message = "a fault in the program"
            raise ValueError(message)
        super().apply(connection, events)


def test_one_that_fails_on_an_event_is_named_and_goes_on_there(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    poisoned = Poisoned()
    monkeypatch.setitem(cli._MODELS, "quotas", poisoned)
    told = office.run("rebuild", "users", "quotas", "containers")
    assert told.status == 1
    assert "quotas: stopped before position 16: ValueError('a fault in the program')" in told.out
    assert "users: in place" in told.out
    assert "containers: in place" in told.out
    assert "rm_quotas_next" in schemas(office)
    poisoned.is_mended = True
    again = office.run("rebuild", "quotas")
    assert again.status == 0
    assert "the same as the live one at position" in again.out
    assert "from position 0 " not in again.out
    assert schemas(office) == {f"rm_{name}" for name in NAMES}


def test_what_another_program_left_is_not_used(office: Office) -> None:
    made = Rebuild(Users(), office.backend.engine, office.backend.store)
    assert made.begin(anew=False) == 0
    made.catch_up(5)
    assert made.begin(anew=False) == 5
    assert made.begin(anew=True) == 0
    made.catch_up(5)
    office.sql("COMMENT ON SCHEMA rm_users_next IS 'of before'")
    assert made.begin(anew=False) == 0


def test_a_live_one_that_stands_still_is_overtaken(office: Office) -> None:
    office.sql("UPDATE rm_users.position SET position = 3")
    office.sql("DELETE FROM rm_users.users")
    made = Rebuild(Users(), office.backend.engine, office.backend.store)
    made.begin(anew=False)
    made.catch_up(10)
    assert made.compare() is None
    assert made.swap() == 10
    office.project()
    assert office.run("rebuild", "users", "--check").status == 0


def test_two_rebuilds_of_one_do_not_meet(office: Office) -> None:
    made = Rebuild(Containers(), office.backend.engine, office.backend.store)
    with made.alone():
        assert "containers: it is being rebuilt already" in office.run("rebuild", "containers").out.replace(
            "containers: containers", "containers"
        )
    assert office.run("rebuild", "containers").status == 0


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "BATCH", 3)
    monkeypatch.setattr(rebuilding, "BATCH", 3)


@pytest.mark.usefixtures("small_pages")
def test_batches_do_not_matter(office: Office) -> None:
    assert office.run("rebuild", "--all", "--check").status == 0


def test_guacamole_is_mended_in_place(office: Office) -> None:
    engine = office.backend.guacamole_engine
    assert engine is not None
    with engine.begin() as connection:
        before = connection.exec_driver_sql("SELECT connection_id FROM guacamole_connection ORDER BY 1").all()
        connection.exec_driver_sql(
            "UPDATE guacamole_connection_parameter SET parameter_value = 'x' WHERE parameter_name = 'hostname'"
        )
    told = office.run("rebuild", "guacamole", "--check")
    assert told.status == 1
    assert "guacamole: DIFFERS from its events" in told.out
    assert "guacamole_connection_parameter: 2 rows only live, 2 only rebuilt" in told.out
    assert "mended" in office.run("rebuild", "guacamole").out
    assert office.run("rebuild", "guacamole", "--check").status == 0
    with engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT connection_id FROM guacamole_connection ORDER BY 1").all() == before


def test_wrong_questions_are_told(office: Office) -> None:
    assert "give --all, or some of" in office.run("rebuild").err
    assert "'nothing' does not exist" in office.run("rebuild", "nothing").err
    assert "needs --into" in office.run("rebuild", "users", "--until", "7").err
