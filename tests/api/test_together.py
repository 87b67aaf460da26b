"""What many requests want to know at one time: one question after the other, and no answer older than the wish."""

import asyncio
from collections.abc import Mapping

import pytest

from calipso.api.together import Together
from calipso.errors import NotFound, Unavailable


class Asked:
    """Is asked, and answers when it is let."""

    def __init__(self) -> None:
        self.questions: list[frozenset[int]] = []
        self.asked = asyncio.Event()
        self.let = asyncio.Event()

    async def ask(self, keys: frozenset[int]) -> Mapping[int, str]:
        """The text of each key but 0, which is not there, -1, for which nobody answers, and -2, which is wrong."""
        self.questions.append(keys)
        self.asked.set()
        await self.let.wait()
        if -1 in keys:
            raise Unavailable("the read models", "gone")
        if -2 in keys:
            raise NotFound("number", "-2")
        return {key: str(key) for key in keys if key}


async def asking(asked: Asked, together: Together[int, str], *keys: int) -> list[asyncio.Task[str | None]]:
    """Wish for some keys at one time, when the first question is under way."""
    tasks = [asyncio.create_task(together.find(key)) for key in keys]
    await asked.asked.wait()
    for _ in range(5):  # each of the tasks gets as far as it comes
        await asyncio.sleep(0)
    return tasks


async def test_what_is_wanted_during_a_question_is_in_the_next_one() -> None:
    asked = Asked()
    together = Together(asked.ask)
    first = await asking(asked, together, 1)
    later = await asking(asked, together, 1, 2, 0, 2)
    assert asked.questions == [{1}]
    asked.let.set()
    assert await asyncio.gather(*first, *later) == ["1", "1", "2", None, "2"]
    assert asked.questions == [{1}, {0, 1, 2}]


async def test_what_went_wrong_is_told_to_those_who_asked_and_to_nobody_later() -> None:
    asked = Asked()
    together = Together(asked.ask)
    asked.let.set()
    told = await asyncio.gather(*await asking(asked, together, 1, -1), return_exceptions=True)
    assert [type(each) for each in told] == [Unavailable, Unavailable]
    assert await together.find(1) == "1"


async def test_what_is_wrong_with_one_key_is_told_to_those_alone_who_asked_for_it() -> None:
    asked = Asked()
    together = Together(asked.ask)
    asked.let.set()
    told = await asyncio.gather(*await asking(asked, together, 1, -2, 2, 0, -2), return_exceptions=True)
    kinds = [each if isinstance(each, str | None) else type(each) for each in told]
    assert kinds == ["1", NotFound, "2", None, NotFound]
    assert await together.find(1) == "1"


async def test_who_goes_away_takes_no_answer_from_the_others() -> None:
    asked = Asked()
    together = Together(asked.ask)
    gone, staying = await asking(asked, together, 1, 2)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    asked.let.set()
    assert await staying == "2"
