from uuid import UUID

import pytest
from sqlalchemy import Connection
from tests.builders import (
    ADA,
    record,
    role_granted,
    role_revoked,
    user_erased,
    user_logged_in,
    user_registered,
    uuid_of,
)
from tests.projections.rows import apply, rows_of, tell

from calipso.events.user import Role
from calipso.projections import users
from calipso.projections.users import UserRow

BOB, EVE = uuid_of("user bob"), uuid_of("user eve")


def test_an_account_is_known_by_its_name_in_whatever_case_and_by_its_uuid(connection: Connection) -> None:
    tell(connection, role_granted(BOB), user_registered(ADA, "Ada.Müller", 1000, 1001))
    expected = UserRow(
        id=2,
        user_id=ADA,
        name="Ada.Müller",
        uid=1000,
        gid=1001,
        is_administrator=False,
        is_auditor=False,
        last_login=None,
        erased=False,
    )
    assert users.by_name(connection, "aDA.MÜLLER") == expected
    assert users.by_id(connection, ADA) == expected
    assert users.by_name(connection, "ada") is None
    assert users.by_id(connection, BOB) is None


def test_roles_and_sign_ins_are_kept(connection: Connection) -> None:
    recorded = tell(
        connection,
        user_registered(),
        *(role_granted(role=role) for role in Role),
        role_revoked(role=Role.AUDITOR),
        user_logged_in(),
        user_logged_in(),
    )
    row = users.by_id(connection, ADA)
    assert row is not None
    assert (row.is_administrator, row.is_auditor, row.last_login) == (True, False, recorded[-1].time)


def test_what_is_told_of_unknown_accounts_is_ignored(connection: Connection) -> None:
    tell(connection, role_granted(), role_revoked(), user_logged_in(), user_erased())
    assert users.by_id(connection, ADA) is None


def test_erased_accounts_lose_their_name_and_are_listed_no_more(connection: Connection) -> None:
    tell(connection, user_registered(ADA, "ada"), user_registered(BOB, "bob"), user_erased(ADA), user_erased(BOB))
    row = users.by_id(connection, ADA)
    assert row is not None
    assert (row.name, row.uid, row.gid, row.erased) == ("(erased)", None, None, True)
    assert users.by_name(connection, "ada") is None
    assert users.by_name(connection, "(erased)") is None
    assert users.page(connection, page=1, page_size=10).count == 0


def test_a_replay_after_erasures_gives_the_same_rows(connection: Connection) -> None:
    live = record(user_registered(ADA, "ada"), user_registered(BOB, "bob"), user_erased(ADA), user_erased(BOB))
    # the events as they read once the keys are gone
    gone = record(
        user_registered(ADA, "(erased)", None, None),
        user_registered(BOB, "(erased)", None, None),
        user_erased(ADA),
        user_erased(BOB),
    )
    with connection.begin_nested() as nested:
        apply(users.Users(), connection, live)
        expected = rows_of(users.Users(), connection)
        nested.rollback()
    apply(users.Users(), connection, gone, cuts=(1, 2, 3))
    assert rows_of(users.Users(), connection) == expected


def test_a_text_that_postgresql_cannot_hold_stops_nothing(connection: Connection) -> None:
    tell(connection, user_registered(ADA, "a\0d\ud800a"))
    row = users.by_id(connection, ADA)
    assert row is not None
    assert row.name == "a\ufffdd?a"
    assert users.by_name(connection, "b\0") is None


def test_a_number_that_postgresql_cannot_hold_stops_nothing(connection: Connection) -> None:
    tell(connection, user_registered(ADA, "ada", 2**63, 2**100))
    row = users.by_id(connection, ADA)
    assert row is not None
    assert (row.uid, row.gid) == (2**63 - 1, 2**63 - 1)


@pytest.mark.parametrize(
    ("ordering", "expected"),
    [
        ("", "bAe"),
        ("id", "bAe"),
        ("-id", "eAb"),
        ("user__username", "Abe"),
        ("-user__username", "ebA"),
        ("password", "bAe"),
        ("password,-user__username", "ebA"),
    ],
)
def test_pages_have_the_order_that_was_asked_for(connection: Connection, ordering: str, expected: str) -> None:
    _register(connection, "bob", "Ada", "eve")
    page = users.page(connection, page=1, page_size=10, ordering=ordering)
    assert "".join(row.name[0] for row in page.rows) == expected


def test_pages_end_where_the_accounts_end(connection: Connection) -> None:
    _register(connection, "a", "b", "c", "d", "e")
    pages = [users.page(connection, page=number, page_size=2) for number in (0, 1, 2, 3, 4, 10**30)]
    assert {page.count for page in pages} == {5}
    assert ["".join(row.name for row in page.rows) for page in pages] == ["", "ab", "cd", "e", "", ""]


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("", ["Ada_1", "b%b", "Évé", "x/y\\z"]),
        ("DA", ["Ada_1"]),
        ("éVÉ", ["Évé"]),
        ("%", ["b%b"]),
        ("_", ["Ada_1"]),
        ("/", ["x/y\\z"]),
        ("\\", ["x/y\\z"]),
        ("1", ["Ada_1"]),
        ("3", ["Évé"]),
        ("a 1", ["Ada_1"]),
        ("a,2", []),
        ("\0", []),
        ("'; drop table", []),
    ],
)
def test_a_search_finds_names_and_ids(connection: Connection, search: str, expected: list[str]) -> None:
    _register(connection, "Ada_1", "b%b", "Évé", "x/y\\z")
    page = users.page(connection, page=1, page_size=10, search=search)
    assert [row.name for row in page.rows] == expected
    assert page.count == len(expected)


def _register(connection: Connection, *names: str) -> None:
    tell(connection, *(user_registered(_id(name), name) for name in names))


def _id(name: str) -> UUID:
    return uuid_of(f"user {name}")
