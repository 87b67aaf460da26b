"""People are erased, their names released, and what is held of them is given, by the command line."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from tests.builders import (
    container_requested,
    experiment_added,
    image_added,
    member_added,
    quota_reserved,
    session_added,
    user_logged_in,
)
from tests.cli.conftest import Program

from calipso.bootstrap.projecting import runners
from calipso.commands.dispatch import cause_of
from calipso.commands.handling import USER, USER_NAME
from calipso.erasing import erase
from calipso.erasures import Erasures
from calipso.errors import Invalid, Unavailable
from calipso.events.envelope import Event
from calipso.events.user import UserErased, UserNameReleased


@pytest.fixture
def office(program: Program, tmp_path: Path) -> Program:
    """An installation with a folder for backups, and ada."""
    office = replace(
        program,
        environment={**program.environment, "CALIPSO_BACKUPS": str(tmp_path / "backups")},
    )
    assert office.run("users", "add", "ada", "--uid", "4711").status == 0
    assert office.run("users", "link", "ada", "--issuer", "umbrella", "--subject", "aldonza").status == 0
    return office


def id_of(program: Program, name: str) -> UUID:
    found = program.backend.dispatcher.state(USER_NAME, program.backend.installation.naming.user_name(name))
    assert found is not None
    return found


def store(program: Program, *events: Event) -> None:
    program.backend.store.append(events, expected={}, cause=cause_of("service:test"))


def project(program: Program) -> None:
    for runner in runners(program.backend, lambda _: None):
        runner.catch_up()


def test_an_erasure_is_listed_and_repeated_without_harm(office: Program, tmp_path: Path) -> None:
    ada = id_of(office, "ada")
    office.backend.passwords.set(ada, "secret")
    key, _ = office.backend.logins.open(ada)
    for _ in range(2):
        ended = office.run("users", "erase", "ada", "--yes")
        assert (ended.status, ended.err) == (0, "")
    assert office.stored(UserErased) == [UserErased(user_id=ada)]
    assert Erasures(tmp_path / "backups").read() == [ada]
    assert not office.backend.passwords.exists(ada)
    assert office.backend.logins.find(key) is None
    assert not office.backend.subject_keys._stored([ada])


def test_what_is_not_calipsos_to_remove_is_told(office: Program) -> None:
    told = office.run("users", "erase", "ada", "--yes").out
    assert "ada is erased" in told
    assert "/tmp/results/ada" in told


def test_nobody_is_erased_by_mistake(office: Program) -> None:
    asked = office.run("users", "erase", "ada")
    assert asked.status != 0
    assert "--yes" in asked.err
    assert office.run("users", "erase", "bob", "--yes").err == "error: user 'bob' does not exist\n"
    assert office.run("users", "erase").status != 0
    assert office.stored(UserErased) == []


def test_nobody_is_erased_under_active_containers(office: Program) -> None:
    ada, container = id_of(office, "ada"), uuid4()
    store(office, quota_reserved(container, ada), container_requested(container, ada))
    ended = office.run("users", "erase", "ada", "--yes")
    assert ended.status == 1
    assert f"calipso-{container.hex}" in ended.err
    assert office.stored(UserErased) == []


def test_erasures_need_a_place_for_their_list(program: Program) -> None:
    program.run("users", "add", "ada")
    ended = program.run("users", "erase", "ada", "--yes")
    assert ended.status == 78
    assert "CALIPSO_BACKUPS must name the folder" in ended.err
    assert program.stored(UserErased) == []


def test_nothing_is_erased_that_cannot_be_listed(office: Program, tmp_path: Path) -> None:
    (tmp_path / "backups").write_text("a file where the folder should be")
    assert "the list of erasures is not available" in office.run("users", "erase", "ada", "--yes").err
    assert office.stored(UserErased) == []


def test_a_damaged_list_is_told_with_its_line(tmp_path: Path) -> None:
    erasures = Erasures(tmp_path)
    erasures.note(uuid4())
    with erasures.file.open("a") as file:
        file.write("2026-01-01T00:00:00+00:00 ada\n")
    with pytest.raises(Invalid, match="line 2: must be a time and the uuid"):
        erasures.read()
    erasures.file.unlink()
    erasures.file.mkdir()
    with pytest.raises(Unavailable, match="the list of erasures"):
        erasures.read()


def test_a_name_is_free_only_when_it_was_released(office: Program) -> None:
    assert office.run("users", "release", "ada").status == 1
    office.run("users", "erase", "ada", "--yes")
    assert "already exists" in office.run("users", "add", "ada").out
    assert office.run("users", "release", "ada").status == 0
    assert office.run("users", "add", "ada").status == 0
    assert len(office.stored(UserNameReleased)) == 1
    # the identity was let go with the account, and may belong to the new one
    assert office.run("users", "link", "ada", "--issuer", "umbrella", "--subject", "aldonza").status == 0


def test_the_new_bearer_of_a_name_has_nothing_of_the_old(office: Program) -> None:
    old = id_of(office, "ada")
    office.run("users", "erase", "ada", "--yes")
    office.run("users", "release", "ada")
    office.run("users", "add", "ada")
    new = id_of(office, "ada")
    assert new != old
    user = office.backend.dispatcher.state(USER, new)
    assert user is not None
    assert (user.name, user.uid, user.erased) == ("ada", None, False)


def test_all_that_is_held_of_a_person_is_given_to_them(office: Program, tmp_path: Path) -> None:
    ada, bob, container = id_of(office, "ada"), uuid4(), uuid4()
    office.backend.passwords.set(ada, "secret")
    office.backend.logins.open(ada)
    store(office, image_added(), container_requested(container, ada, label="my notes", workdir="/output/ada"))
    office.backend.store.append(
        [container_requested(uuid4(), bob, label="bobs own")], expected={}, cause=cause_of(f"user:{ada}")
    )
    project(office)
    file = tmp_path / "ada.json"
    assert office.run("users", "export", "ada", "--output", file).status == 0
    assert file.stat().st_mode & 0o777 == 0o600
    held = json.loads(file.read_text())
    assert held["account"]["name"] == "ada"
    assert held["identities"] == [{"issuer": "umbrella", "subject": "aldonza"}]
    assert held["sign_in"]["has_local_password"] is True
    assert len(held["sign_in"]["open_logins_until"]) == 1
    assert [row["label"] for row in held["containers"]] == ["my notes"]
    types = [event["type"] for event in held["events"]]
    assert types == [
        "calipso.user_name.UserNameClaimed",
        "calipso.user.UserRegistered",
        "calipso.identity.IdentityClaimed",
        "calipso.user.IdentityLinked",
        "calipso.container.ContainerRequested",
    ]
    assert held["events"][1]["data"]["uid"] == 4711
    assert held["events"][-1]["data"]["workdir"] == "/output/ada"
    assert [event["type"] for event in held["events_caused"]] == ["calipso.container.ContainerRequested"]
    text = file.read_text()
    assert "bobs own" not in text
    assert "argon2" not in text
    again = office.run("users", "export", "ada", "--output", file)
    assert (again.status, "File exists" in again.err) == (1, True)
    assert json.loads(office.run("users", "export", "ada").out)["account"] == held["account"]


def age(program: Program, days: int) -> None:
    """Let all that is stored by now have happened earlier."""
    with program.backend.database.connect() as connection:
        connection.execute("UPDATE stored_events SET recorded_at = recorded_at - %s", (timedelta(days=days),))


def test_accounts_that_nobody_used_are_erased_after_the_retention(office: Program) -> None:
    office = replace(office, environment={**office.environment, "CALIPSO_RETENTION_DAYS": "30"})
    for name in ("used", "asked", "joined", "visits", "visited"):
        office.run("users", "add", name)
    office.run("users", "add", "root", "--admin")
    for number in ("P1", "P2", "P3"):
        store(office, experiment_added(number))
    store(office, member_added("P2", id_of(office, "visits")), member_added("P3", id_of(office, "visited")))
    now = datetime.now(UTC)
    store(office, session_added("P2", end=now), session_added("P3", end=now - timedelta(days=31)))
    age(office, 40)
    office.run("users", "add", "new")
    store(office, user_logged_in(id_of(office, "used")))
    store(office, container_requested(uuid4(), id_of(office, "asked")))
    store(office, member_added("P1", id_of(office, "joined")))
    project(office)
    expected = [UserErased(user_id=id_of(office, name)) for name in ("ada", "visited")]
    ended = office.run("users", "erase", "--expired", "--yes")
    assert (ended.status, ended.out[:17]) == (0, "erased 2 accounts")
    assert office.stored(UserErased) == expected
    project(office)
    assert "erased 0 accounts" in office.run("users", "erase", "--expired", "--yes").out


def test_without_a_retention_nobody_is_erased_for_their_age(office: Program) -> None:
    age(office, 40)
    ended = office.run("users", "erase", "--expired", "--yes")
    assert (ended.status, "CALIPSO_RETENTION_DAYS" in ended.err) == (78, True)
    assert office.stored(UserErased) == []


def test_an_erasure_that_was_cut_short_is_completed(office: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = id_of(office, "ada")
    office.backend.settings.__dict__["backups"] = Path(office.environment["CALIPSO_BACKUPS"])
    with monkeypatch.context() as broken:
        broken.setattr(office.backend.subject_keys, "destroy", _no_power)
        with pytest.raises(KeyboardInterrupt):
            erase(office.backend, ada, "service:test")
    assert office.backend.subject_keys._stored([ada])
    assert office.run("users", "erase", "ada", "--yes").status == 0
    assert not office.backend.subject_keys._stored([ada])


def _no_power(_: UUID) -> None:
    raise KeyboardInterrupt
