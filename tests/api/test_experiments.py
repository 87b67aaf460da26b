"""Experiments of users over HTTP, and the marks on them."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from uuid import uuid4

import pytest
from tests.api.conftest import Api, served
from tests.api.visitors import People, Visitor, obey, people_of

from calipso.backend import Backend
from calipso.commands.experiment import AddExperiment, AddMember, AddSession, RemoveMember
from calipso.events.experiment import ExperimentDetails, SessionDetails
from calipso.events.values import Mode, Volume

FORBIDDEN = (403, "You do not have permission to perform this action.")
FILTER = "calipsouserexperiment__favorite"


@pytest.fixture(scope="module")
def api(make_backend: Callable[..., Backend]) -> Iterator[Api]:
    """An installation with small pages."""
    backend = make_backend(page_size_experiments=2)
    try:
        with served(backend) as made:
            yield made
    finally:
        backend.close()


@pytest.fixture(scope="module")
def people(api: Api) -> People:
    return people_of(api)


def new_member(api: Api) -> Visitor:
    return Visitor(api=api, name=api.add_user())


def add(
    api: Api,
    *members: Visitor,
    proposal: str = "",
    title: str = "Tin",
    body: str = "Cold",
    beam_line: str = "BL01",
    uid: int | None = None,
) -> str:
    """Add an experiment with members; gives its proposal id."""
    proposal = proposal or f"P{uuid4().hex}"
    experiment_id = api.backend.installation.naming.experiment(proposal)
    details = ExperimentDetails(title=title, description=body, beam_line=beam_line, uid=uid, gid=uid)
    obey(
        api,
        AddExperiment(experiment_id=experiment_id, proposal_id=proposal, details=details),
        *(
            AddMember(experiment_id=experiment_id, proposal_id=proposal, user_id=m.user_id, membership_id=uuid4())
            for m in members
        ),
    )
    return proposal


def leave(api: Api, member: Visitor, proposal: str) -> None:
    experiment_id = api.backend.installation.naming.experiment(proposal)
    obey(api, RemoveMember(experiment_id=experiment_id, proposal_id=proposal, user_id=member.user_id))


def add_session(api: Api, proposal: str, number: str, start: datetime | None, *volumes: Volume) -> None:
    session = SessionDetails(
        session_number=number,
        start=start,
        end=start and start + timedelta(hours=8),
        subject=f"Visit {number}",
        body="On site",
        volumes=volumes,
    )
    experiment_id = api.backend.installation.naming.experiment(proposal)
    obey(api, AddSession(experiment_id=experiment_id, proposal_id=proposal, session=session))


async def titles(visitor: Visitor, query: str = "") -> list[str]:
    """The titles on a page of the visitor's experiments."""
    answer = await visitor.get(f"/users/{visitor.name}/experiments/?{query}")
    assert answer.status == 200, answer.body
    return [experiment["subject"] for experiment in answer.json()["results"]]


async def link_of(visitor: Visitor) -> int:
    """The number of the visitor's first membership."""
    number: int = (await visitor.get(f"/users/{visitor.name}/experiments/")).json()["results"][0]["id"]
    return number


async def test_experiments_as_bytes(api: Api) -> None:
    ada = new_member(api)
    proposal = add(api, ada, uid=5001)
    summer = datetime(2026, 7, 1, 10, 0, 0, 5, tzinfo=timezone(timedelta(hours=2)))
    volumes = (
        Volume(source="/tmp/data/p1", bind="/p1", mode=Mode.READ_ONLY),
        Volume(source="/tmp/results/p1", bind="/p1", mode=Mode.READ_WRITE),
    )
    add_session(api, proposal, "1", summer, *volumes)
    add_session(api, proposal, "2", None)
    number = await link_of(ada)
    answer = await ada.get(f"/users/{ada.name}/experiments/?page=1&ordering=")
    data_set_path = (
        r"{\"/tmp/data/p1\": {\"bind\": \"/p1\", \"mode\": \"ro\"}, "
        r"\"/tmp/results/p1\": {\"bind\": \"/p1\", \"mode\": \"rw\"}}"
    )
    assert (answer.status, answer.body.decode()) == (
        200,
        (
            f'{{"next":null,"previous":null,"count":1,"results":[{{"proposal_id":"{proposal}","subject":"Tin",'
            '"body":"Cold","beam_line":"BL01","sessions":[{"session_number":"1",'
            '"start_date":"2026-07-01T08:00:00.000005Z","end_date":"2026-07-01T16:00:00.000005Z","subject":"Visit 1",'
            f'"body":"On site","data_set_path":"{data_set_path}"}},{{"session_number":"2","start_date":null,'
            '"end_date":null,"subject":"Visit 2","body":"On site","data_set_path":"{}"}],"uid":"5001","gid":"5001",'
            f'"id":{number},"favorite":false}}],"page_size":2}}'
        ),
    )


async def test_an_account_that_is_not_set_is_a_dot(api: Api) -> None:
    ada = new_member(api)
    add(api, ada)
    found = (await ada.get(f"/users/{ada.name}/experiments/")).json()["results"][0]
    assert (found["uid"], found["gid"], found["sessions"]) == (".", ".", [])


async def test_only_members_see_an_experiment_and_each_has_their_own_number(api: Api) -> None:
    ada, bob, eve = new_member(api), new_member(api), new_member(api)
    proposal = add(api, ada, bob)
    obey(api)
    assert await link_of(ada) != await link_of(bob)
    empty = await eve.get(f"/users/{eve.name}/experiments/")
    assert empty.body == b'{"next":null,"previous":null,"count":0,"results":[],"page_size":2}'
    leave(api, bob, proposal)
    assert await titles(bob) == []
    assert await titles(ada) == ["Tin"]


async def test_pages_orders_and_searches(api: Api) -> None:
    ada = new_member(api)
    word = uuid4().hex
    for number, (title, body, beam_line) in enumerate(
        [("c", "x hot", "BL3"), ("a", "z cold", "BL1"), ("b", "y cold", "BL2")]
    ):
        add(api, ada, proposal=f"{word}-{number}", title=title, body=body, beam_line=beam_line)
    for ordering, expected in (
        ("", "ca"),
        ("proposal_id", "ca"),
        ("-proposal_id", "ba"),
        ("subject", "ab"),
        ("-subject", "cb"),
        ("body", "cb"),
        ("beam_line", "ab"),
        ("no_such_word", "ca"),
    ):
        assert await titles(ada, f"ordering={ordering}") == list(expected), ordering
    for search, expected in (("COLD", "ab"), ("bl3", "c"), (f"{word}-1", "a"), ("%25", ""), ("x%20hot", "c")):
        assert await titles(ada, f"search={search}&ordering=subject") == list(expected), search
    path = f"{api.url}/users/{ada.name}/experiments/?"
    first = (await ada.get(f"/users/{ada.name}/experiments/?search={word}&ordering=&{FILTER}=0")).json()
    query = f"{FILTER}=0&ordering=&"
    assert (first["next"], first["previous"]) == (f"{path}{query}page=2&search={word}", None)
    second = (await ada.get(first["next"].removeprefix(api.url))).json()
    assert (second["next"], second["previous"]) == (None, f"{path}{query}search={word}")
    assert [len(page["results"]) for page in (first, second)] == [2, 1]


@pytest.mark.parametrize("page", ["0", "2", "-1", "two", "9" * 40])
async def test_there_is_no_such_page(people: People, page: str) -> None:
    answer = await people.ada.get(f"/users/{people.ada.name}/experiments/?page={page}")
    assert answer.detail() == (404, "Invalid page.")


async def test_a_mark_is_the_members_own_and_filters_only_their_list(api: Api) -> None:
    ada, bob = new_member(api), new_member(api)
    add(api, ada, bob, title="marked", proposal=f"A{uuid4().hex}")
    add(api, ada, bob, title="plain", proposal=f"B{uuid4().hex}")
    number = await link_of(ada)
    answer = await ada.ask("PUT", f"/favorite/{number}/", {"favorite": "1"})
    assert (answer.status, answer.body) == (200, f'{{"id":{number},"favorite":true}}'.encode())
    for yes in ("1", "true", "True"):
        assert await titles(ada, f"{FILTER}={yes}") == ["marked"]
        assert await titles(bob, f"{FILTER}={yes}") == []
    for no in ("0", "false", "False"):
        assert await titles(ada, f"{FILTER}={no}") == ["plain"]
        assert await titles(bob, f"{FILTER}={no}") == ["marked", "plain"]
    assert await titles(ada, f"{FILTER}=") == ["marked", "plain"]
    assert await titles(ada, f"ordering=-{FILTER}") == ["marked", "plain"]
    assert await titles(ada, f"ordering={FILTER}") == ["plain", "marked"]


async def test_a_filter_that_is_no_switch_is_refused_by_name(people: People) -> None:
    answer = await people.ada.get(f"/users/{people.ada.name}/experiments/?{FILTER}=maybe")
    assert answer.field() == (400, FILTER)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_a_mark_is_set_and_taken_away_in_every_way_of_saying_it(api: Api, method: str) -> None:
    ada = new_member(api)
    add(api, ada)
    path, values = f"/favorite/{await link_of(ada)}/", (True, "1", 1, "true", "True", False, "0", 0, "false", "0")
    for value in values:
        answer = await ada.ask(method, path, {"favorite": value})
        expected = value in {True, "1", "true", "True"}
        assert (answer.status, answer.json()["favorite"]) == (200, expected)
        found = (await ada.get(f"/users/{ada.name}/experiments/")).json()["results"][0]
        assert found["favorite"] is expected
    assert (await ada.ask(method, path, data={"favorite": "1"})).json()["favorite"] is True


@pytest.mark.parametrize("value", [None, "", "yes", 2, -1, [], {}, 0.5])
async def test_a_wrong_mark_is_refused_by_name(api: Api, value: object) -> None:
    ada = new_member(api)
    add(api, ada)
    path = f"/favorite/{await link_of(ada)}/"
    for method in ("PUT", "PATCH"):
        assert (await ada.ask(method, path, {"favorite": value})).field() == (400, "favorite")
        assert (await ada.ask(method, path, {})).field() == (400, "favorite")
    assert (await ada.ask("PUT", path, data=b"{", kind="application/json")).field() == (400, "body")
    assert await titles(ada, f"{FILTER}=1") == []


async def test_only_its_member_sets_a_mark(api: Api, people: People) -> None:
    ada = new_member(api)
    proposal = add(api, ada)
    path = f"/favorite/{await link_of(ada)}/"
    for visitor in (people.bob, people.admin):
        assert (await visitor.ask("PUT", path, {"favorite": "1"})).detail() == FORBIDDEN
    assert (await people.nobody.ask("PUT", path, {"favorite": "1"})).status == 403
    leave(api, ada, proposal)
    assert (await ada.ask("PUT", path, {"favorite": "1"})).detail() == (404, "Not found.")


@pytest.mark.parametrize("number", ["0", "999999999", "9" * 40, "-1", "abc", "1.0", "%D9%A1", "1%2F2"])
async def test_unknown_numbers_are_not_found(people: People, number: str) -> None:
    answer = await people.ada.ask("PUT", f"/favorite/{number}/", {"favorite": "1"})
    assert answer.detail() == (404, "Not found.")


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_marks_are_only_put(people: People, method: str) -> None:
    answer = await people.ada.ask(method, "/favorite/1/")
    assert answer.detail() == (405, f'Method "{method}" not allowed.')
    assert answer.headers["Allow"] == "OPTIONS, PATCH, PUT"


async def test_whose_experiments_may_be_read(api: Api, people: People) -> None:
    ada = new_member(api)
    add(api, ada)
    path = f"/users/{ada.name}/experiments/"
    assert (await people.admin.get(path)).body == (await ada.get(path)).body
    for name in (ada.name, people.admin.name, "none"):
        assert (await people.bob.get(f"/users/{name}/experiments/")).detail() == FORBIDDEN
    assert (await people.admin.get("/users/none/experiments/")).detail() == (404, "Not found.")
    assert (await people.nobody.get(path)).status == 403
    for visitor in (people.ada, people.nobody):
        assert (await visitor.get("/users//experiments/")).status == 404


async def test_head(people: People) -> None:
    path = f"/users/{people.ada.name}/experiments/"
    head, full = await people.ada.ask("HEAD", path), await people.ada.get(path)
    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(len(full.body)))
