"""What of the answers of the facility's provider becomes events, and what does not."""

import asyncio
from uuid import uuid4

import pytest
from tests.providers.conftest import (
    PAGE_SIZE,
    User,
    events_after,
    experiment,
    head_of,
    kinds_after,
    obey,
    session,
)

from calipso.commands.experiment import AddExperiment, AddMember, RemoveMember
from calipso.commands.handling import EXPERIMENT
from calipso.events.experiment import (
    PROVIDER,
    Experiment,
    ExperimentChanged,
    ExperimentDetails,
    MemberAdded,
    MemberRemoved,
    SessionChanged,
)

NEW = ["ExperimentAdded", "SessionAdded", "MemberAdded"]


def fresh() -> str:
    """The public number of an experiment that is not there."""
    return f"P-{uuid4().hex[:8]}"


def state(user: User, number: str) -> Experiment:
    """An experiment as its events tell it."""
    found = user.api.backend.dispatcher.state(EXPERIMENT, user.api.backend.installation.naming.experiment(number))
    assert found is not None
    return found


def grant(user: User, number: str) -> None:
    """Make the user a member as an operator does."""
    experiment_id, details = (
        user.api.backend.installation.naming.experiment(number),
        ExperimentDetails(title="", description="", beam_line=""),
    )
    obey(
        user.api,
        AddExperiment(experiment_id=experiment_id, proposal_id=number, details=details),
        AddMember(experiment_id=experiment_id, proposal_id=number, user_id=user.user_id, membership_id=uuid4()),
    )


async def test_the_same_answer_stores_nothing(user: User) -> None:
    numbers, head = sorted([fresh(), fresh()]), head_of(user.api)
    user.given(experiment(numbers[0]), experiment(numbers[1], session("1"), session("2")))
    await user.list()
    assert kinds_after(user.api, head) == [*NEW, "ExperimentAdded", "SessionAdded", "SessionAdded", "MemberAdded"]
    assert {event.source for event in events_after(user.api, head) if isinstance(event, MemberAdded)} == {PROVIDER}
    head, first = head_of(user.api), await user.list()
    assert await user.list() == first
    assert kinds_after(user.api, head) == []


async def test_events_name_the_provider_and_the_request(user: User) -> None:
    head = head_of(user.api)
    user.given(experiment(fresh()))
    answer = await user.get(f"/users/{user.name}/experiments/")
    stored = user.api.backend.store.read(after=head, limit=10).events
    assert {recorded.actor for recorded in stored} == {"service:provider"}
    assert {str(recorded.correlation_id) for recorded in stored} == {answer.headers["X-Request-ID"]}


async def test_what_changed_becomes_an_event(user: User) -> None:
    number = fresh()
    user.given(experiment(number, session("1"), session("2")))
    await user.list()
    head = head_of(user.api)
    user.given(experiment(number, session("1"), session("2", subject="Second visit"), subject="Fire", uid=None))
    [found] = (await user.list())["results"]
    assert (found["subject"], found["uid"]) == ("Fire", ".")
    assert [each["subject"] for each in found["sessions"]] == ["Visit", "Second visit"]
    changed, dated = events_after(user.api, head)
    assert isinstance(changed, ExperimentChanged)
    assert isinstance(dated, SessionChanged)
    assert (changed.details.title, dated.session.session_number) == ("Fire", "2")


@pytest.mark.parametrize(
    ("given", "same"),
    [
        ({"start_date": "2026-02-01T08:00:00Z"}, {"start_date": "2026-02-01T09:00:00+01:00"}),
        ({"start_date": "2026-02-01T08:00:00Z"}, {"start_date": "2026-02-01T08:00:00"}),
        ({"body": "two\nlines"}, {"body": " two\r\nlines\r\n"}),
        ({"subject": "a b"}, {"subject": "a\t b\x85"}),
        ({"body": ""}, {"body": None}),
        ({"data_set_path": "{}"}, {"data_set_path": ""}),
        (
            {"data_set_path": '{"/datasets/1": {"bind": "/raw", "mode": "ro"}}'},
            {"data_set_path": "{'/datasets/1': {'bind': '/raw', 'mode': 'ro'}}"},
        ),
    ],
)
async def test_the_same_in_other_words_stores_nothing(user: User, given: dict[str, str], same: dict[str, str]) -> None:
    number = fresh()
    user.given(experiment(number, session("1", **given)))
    await user.list()
    head = head_of(user.api)
    user.given(experiment(number, session("1", **same)))
    await user.list()
    assert kinds_after(user.api, head) == []


async def test_a_number_that_is_given_twice_does_not_change_at_each_answer(user: User) -> None:
    number = fresh()
    user.given(
        experiment(number, session("1"), session("1", subject="Last")),
        experiment(number, session("1"), session("1", subject="Last"), subject="Last"),
    )
    [found] = (await user.list())["results"]
    assert (found["subject"], [each["subject"] for each in found["sessions"]]) == ("Last", ["Last"])
    head = head_of(user.api)
    await user.list()
    assert kinds_after(user.api, head) == []


async def test_two_lists_at_once_store_each_event_once(user: User) -> None:
    numbers, head = [fresh() for _ in range(PAGE_SIZE)], head_of(user.api)
    user.given(*map(experiment, numbers))
    pages = await asyncio.gather(*(user.numbers() for _ in range(6)))
    assert pages == [sorted(numbers)] * 6
    assert sorted(kinds_after(user.api, head)) == sorted(NEW * PAGE_SIZE)


async def test_two_lists_at_once_store_each_change_once(user: User) -> None:
    number = fresh()
    user.given(experiment(number))
    await user.list()
    head = head_of(user.api)
    user.given(experiment(number, session(f"{number}-1", body="new"), subject="new"))
    await asyncio.gather(*(user.list() for _ in range(6)))
    assert kinds_after(user.api, head) == ["ExperimentChanged", "SessionChanged"]


async def test_two_members_of_one_experiment(user: User) -> None:
    other = User(api=user.api, name=user.api.add_user(), provider=user.provider)
    obey(user.api)
    number, head = fresh(), head_of(user.api)
    for each in (user, other):
        each.given(experiment(number))
    links = [(await each.list())["results"][0]["id"] for each in (user, other)]
    assert kinds_after(user.api, head) == [*NEW, "MemberAdded"]
    assert len(set(links)) == 2
    user.given()
    assert await user.numbers() == []
    assert await other.numbers() == [number]
    assert state(user, number).members.keys() == {other.user_id}


async def test_a_complete_list_ends_what_is_not_in_it(user: User) -> None:
    kept, gone = sorted([fresh(), fresh()])
    user.given(experiment(kept), experiment(gone))
    await user.list()
    head = head_of(user.api)
    user.given(experiment(kept))
    assert await user.numbers() == [kept]
    assert [type(event) for event in events_after(user.api, head)] == [MemberRemoved]
    assert await user.numbers("?calipsouserexperiment__favorite=0") == [kept]
    head = head_of(user.api)
    await user.list()
    assert kinds_after(user.api, head) == []
    user.given(experiment(kept), experiment(gone))
    assert await user.numbers() == [kept, gone]
    assert kinds_after(user.api, head) == ["MemberAdded"]


async def test_a_mark_outlives_a_withdrawal(user: User) -> None:
    number = fresh()
    user.given(experiment(number))
    link = (await user.list())["results"][0]["id"]
    await user.ask("PUT", f"/favorite/{link}/", {"favorite": True})
    user.given()
    assert await user.numbers() == []
    assert (await user.ask("PUT", f"/favorite/{link}/", {"favorite": True})).status == 404
    user.given(experiment(number))
    assert [each["favorite"] for each in (await user.list())["results"]] == [True]


async def test_an_incomplete_list_ends_nothing(user: User) -> None:
    numbers = sorted(fresh() for _ in range(PAGE_SIZE + 2))
    user.given(*map(experiment, numbers))
    for page in (1, 2):
        await user.list(f"?page={page}")
    head = head_of(user.api)
    # the last is withdrawn, and what is left still takes two pages
    user.given(*map(experiment, numbers[:-1]))
    assert await user.numbers() == numbers[:PAGE_SIZE]
    assert await user.numbers("?page=2") == numbers[PAGE_SIZE:-1]
    assert await user.numbers(f"?search={numbers[0]}") == numbers[:1]
    assert kinds_after(user.api, head) == []


async def test_a_page_behind_the_last_ends_nothing(user: User) -> None:
    user.given(experiment(fresh()))
    await user.list()
    head = head_of(user.api)
    assert (await user.get(f"/users/{user.name}/experiments/?page=2")).detail() == (404, "Invalid page.")
    assert kinds_after(user.api, head) == []


async def test_what_operators_gave_stays(user: User) -> None:
    given, own = sorted([fresh(), fresh()])
    grant(user, own)
    user.given(experiment(given))
    assert await user.numbers() == [given]
    user.given()
    head = head_of(user.api)
    assert await user.numbers() == []
    assert [type(event) for event in events_after(user.api, head)] == [MemberRemoved]
    assert user.user_id in state(user, own).members
    assert await user.numbers("?calipsouserexperiment__favorite=0") == [own]


async def test_what_an_operator_gave_and_the_provider_too_stays(user: User) -> None:
    number = fresh()
    grant(user, number)
    user.given(experiment(number))
    head = head_of(user.api)
    assert await user.numbers() == [number]
    assert kinds_after(user.api, head) == ["ExperimentChanged", "SessionAdded"]
    user.given()
    assert await user.numbers() == []
    assert user.user_id in state(user, number).members


async def test_what_an_operator_took_comes_back_while_the_provider_gives_it(user: User) -> None:
    number = fresh()
    user.given(experiment(number))
    await user.list()
    known = state(user, number)
    obey(
        user.api,
        RemoveMember(experiment_id=known.experiment_id, proposal_id=number, user_id=user.user_id),
    )
    assert await user.numbers() == [number]
    assert user.user_id in state(user, number).provided


@pytest.mark.parametrize(
    "changes",
    [
        {"data_set_path": '{"/etc": {"bind": "/raw", "mode": "ro"}}'},
        {"data_set_path": '{"/datasets/../etc": {"bind": "/raw", "mode": "ro"}}'},
        {"data_set_path": '{"/datasets/1": {"bind": "/raw", "mode": "rw"}}'},
        {"data_set_path": '{"/datasets/1\\n": {"bind": "/raw", "mode": "ro"}}'},
        {"data_set_path": "no JSON"},
        {"data_set_path": "[" * 100_000},
        {"session_number": "x" * 300_000},
        {"session_number": "a/b"},
        {"session_number": "a\x00b"},
        {"session_number": "a~b"},
        {"session_number": " "},
        {"subject": "x" * 3000},
        {"start_date": "2026-02-04T00:00:00Z"},
    ],
)
async def test_a_session_that_cannot_be_is_left_out_alone(user: User, changes: dict[str, str]) -> None:
    number = fresh()
    user.given(experiment(number, session("1"), session("2", **changes), session("3")))
    [found] = (await user.list())["results"]
    assert [each["session_number"] for each in found["sessions"]] == ["1", "3"]
    head = head_of(user.api)
    await user.list()
    assert kinds_after(user.api, head) == []


async def test_control_characters_do_not_get_in(user: User) -> None:
    number, text = fresh(), "a\x00b\x1b[2J\x7fc\x9bd"
    user.given(experiment(number, session("1", subject=text, body=text), subject=text, body=text, beam_line=text))
    [found] = (await user.list())["results"]
    assert {found["subject"], found["body"], found["beam_line"]} == {"a b [2J c d"}
    assert (found["sessions"][0]["subject"], found["sessions"][0]["body"]) == ("a b [2J c d", "a b [2J c d")


async def test_the_end_of_a_long_text_is_cut(user: User) -> None:
    number = fresh()
    user.given(experiment(number, session("1", body="y" * 50_000), body="x" * 2001))
    [found] = (await user.list())["results"]
    assert found["body"] == "x" * 1999 + "…"
    assert found["sessions"][0]["body"] == "y" * 1999 + "…"


@pytest.mark.parametrize(
    "changes",
    [
        {"proposal_id": "a/b"},
        {"proposal_id": "a~b"},
        {"proposal_id": "x" * 201},
        {"proposal_id": ""},
        {"proposal_id": "a\nb"},
        {"subject": "x" * 2001},
        {"uid": "0"},
        {"gid": 0},
        {"uid": -1},
        {"uid": 2**40},
    ],
)
async def test_an_experiment_that_cannot_be_is_left_out_alone(user: User, changes: dict[str, object]) -> None:
    number = fresh()
    user.given(experiment(number), experiment(fresh(), session("1")) | changes)
    assert await user.numbers() == [number]
    head = head_of(user.api)
    assert await user.numbers() == [number]
    assert kinds_after(user.api, head) == []


async def test_an_experiment_that_cannot_be_any_more_stays_as_it_was(user: User) -> None:
    number = fresh()
    user.given(experiment(number, uid=5001))
    await user.list()
    head = head_of(user.api)
    user.given(experiment(number, uid=0, subject="Fire"))
    [found] = (await user.list())["results"]
    assert (found["uid"], found["subject"]) == ("5001", f"Ice {number}")
    assert kinds_after(user.api, head) == []
