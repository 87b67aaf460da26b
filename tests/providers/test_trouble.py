"""A provider that is away, or answers as it should not: told in one sentence, and nothing stored halfway."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.conftest import find_free_port
from tests.hurry import Hurry
from tests.providers.conftest import (
    TROUBLES,
    User,
    asking_api,
    dynamic_settings,
    experiment,
    head_of,
    kinds_after,
    obey,
    session,
)
from tests.providers.test_changes import fresh

from calipso.backend import Backend

REASONS = {
    "hang": "it did not answer within 0.5 s",
    "html": "its answer cannot be understood",
    "redirect": "it answered 302",
    "huge": "its answer is longer than",
    "error": "it answered 500",
    "close": "it did not answer as it should",
    "shape": "its answer cannot be understood",
}


async def refused(user: User, query: str = "") -> str:
    """The sentence of a list that is not given."""
    answer = await user.get(f"/users/{user.name}/experiments/{query}")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    error: str = answer.json()["error"]
    assert error.startswith("the provider of experiments is not available: ")
    assert "Traceback" not in error
    assert len(error) < 300
    return error


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_trouble_is_told_and_favourites_are_still_there(user: User, hurry: Hurry, trouble: str) -> None:
    number = fresh()
    user.given(experiment(number))
    link = (await user.list())["results"][0]["id"]
    await user.ask("PUT", f"/favorite/{link}/", {"favorite": True})
    user.given(experiment(number, subject="new"), experiment(fresh()))
    user.provider.trouble(trouble)
    hurry(trouble)
    head = head_of(user.api)
    assert REASONS[trouble] in await refused(user)
    assert await user.numbers("?calipsouserexperiment__favorite=1") == [number]
    assert kinds_after(user.api, head) == []
    user.provider.trouble("")
    hurry("")
    assert len(await user.numbers()) == 2


async def test_nobody_is_there(user: User, make_backend: Callable[..., Backend]) -> None:
    with asking_api(make_backend, dynamic_settings(f"http://127.0.0.1:{find_free_port()}")) as api:
        somebody = User(api=api, name=api.add_user(), provider=user.provider)
        obey(api)
        assert "it cannot be reached" in await refused(somebody)
        assert await somebody.numbers("?calipsouserexperiment__favorite=1") == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"uid": "five"},
        {"uid": 5.5},
        {"proposal_id": None},
        {"subject": ["Ice"]},
        {"sessions": "none"},
        {"sessions": [{}]},
        {"sessions": [session("1", start_date="yesterday")]},
        {"sessions": [session("1", data_set_path={"/datasets/1": {"bind": "/raw"}})]},
        {"sessions": [session("1", body=7)]},
    ],
)
async def test_one_wrong_shape_stores_nothing_of_the_page(user: User, wrong: dict[str, Any]) -> None:
    user.given(experiment("P0000"), experiment("P0001") | wrong)
    head = head_of(user.api)
    await refused(user)
    assert kinds_after(user.api, head) == []


async def test_no_secret_gets_into_an_answer_or_a_log(user: User, capfd: pytest.CaptureFixture[str]) -> None:
    user.provider.trouble("error")
    said = await refused(user)
    said += "".join(capfd.readouterr())
    assert "our secret" not in said
    assert "Authorization" not in said
