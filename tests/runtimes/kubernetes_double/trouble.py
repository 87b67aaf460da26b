"""What goes wrong on demand: refusals, silence, answers that get lost, watches that end or die."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web
from tests.runtimes.kubernetes_double.status import RefusedError


@dataclass(kw_only=True)
class Case:
    """A kind of request that goes wrong, `times` times; empty words mean any."""

    verb: str = ""
    plural: str = ""
    times: int = 1
    answer: RefusedError | None = None
    loses: bool = False
    held: asyncio.Event | None = None
    seen: int = field(default=0, init=False)

    def concerns(self, verb: str, plural: str) -> bool:
        return self.seen < self.times and self.verb in {"", verb} and self.plural in {"", plural}


class Trouble:
    """The cases that are to come. All but `holding` may be set from any thread before the request comes."""

    def __init__(self) -> None:
        self._cases: list[Case] = []

    def refuse(self, code: int, reason: str, message: str, *, verb: str = "", plural: str = "", times: int = 1) -> None:
        """Answer the next such requests with an error, without doing anything."""
        refused = RefusedError(code, reason, message)
        self._cases.append(Case(verb=verb, plural=plural, times=times, answer=refused))

    def lose_answer(self, *, verb: str, plural: str) -> None:
        """Do what the next such request asks, and break its connection instead of answering."""
        self._cases.append(Case(verb=verb, plural=plural, loses=True))

    @contextmanager
    def holding(self, loop: asyncio.AbstractEventLoop, *, verb: str = "", plural: str = "") -> Iterator[Case]:
        """Let such requests wait until the end of the block, and then be done."""
        case = Case(verb=verb, plural=plural, times=10**6, held=asyncio.Event())
        self._cases.append(case)
        try:
            yield case
        finally:
            self._cases.remove(case)
            assert case.held
            loop.call_soon_threadsafe(case.held.set)

    def is_over(self) -> bool:
        """Whether everything that was to go wrong has."""
        return all(case.seen >= case.times for case in self._cases)

    async def strike(self, verb: str, plural: str) -> Case | None:
        """The case that concerns a request, once it has been waited for.

        Raises:
            RefusedError: it is refused.
        """
        case = next((case for case in self._cases if case.concerns(verb, plural)), None)
        if case is None:
            return None
        case.seen += 1
        if case.held:
            await case.held.wait()
        if case.answer:
            raise case.answer
        return case


def break_connection(request: web.Request) -> None:
    """End a request's connection without a word."""
    if request.transport is not None:
        request.transport.abort()
