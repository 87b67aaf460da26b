"""Who looks at the history of others is recorded before they see it; the same question once in a while."""

from collections.abc import Mapping
from uuid import UUID

from cachetools import TTLCache
from sanic import Request

from calipso.api.context import caller_of, context_of
from calipso.commands.audit import RecordReading

_KEPT = 10_000
_SECONDS = 600.0


class Readings:
    """The readings of this process that were recorded a moment ago; the pages of one question are one reading."""

    def __init__(self) -> None:
        self._recorded: TTLCache[RecordReading, None] = TTLCache(_KEPT, _SECONDS)

    async def record(self, request: Request, what: str, user_id: UUID | None, asked: Mapping[str, str]) -> None:
        """Record that the caller reads the history of others, unless it is their own.

        Args:
            request: whose caller.
            what: the word of the question.
            user_id: whose history is asked for, None when the question names nobody.
            asked: what narrows it; no names of persons.

        Raises:
            Unavailable: it cannot be recorded, and so must not be read.
        """
        caller = caller_of(request)
        if user_id == caller.user_id:
            return
        command = RecordReading(reader=caller.user_id, user_id=user_id, what=what, asked=tuple(sorted(asked.items())))
        if command not in self._recorded:
            await context_of(request).dispatch(command, request)
            self._recorded[command] = None


def readings_of(request: Request) -> Readings:
    """What this application remembers of readings."""
    found: Readings = request.app.ctx.readings
    return found
