"""What a provider of experiments says: experiments of a user, with their sessions."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from calipso.commands.texts import TEXT_LIMIT
from calipso.events.experiment import ExperimentDetails, SessionDetails

_NEW_LINES = re.compile(r"\r\n?")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_CUT = "…"


ORDERINGS = ("proposal_id", "subject", "body", "beam_line")


@dataclass(frozen=True, kw_only=True)
class Member:
    """On whose behalf is asked: the user name, and the user's OpenID token where there is one."""

    name: str
    token: str = ""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which part of a list is wanted; `page` counts from 1, the texts may be empty.

    `ordering` is one of `ORDERINGS`, with `-` before it for descending; anything else is `proposal_id`.
    """

    page: int
    size: int
    ordering: str = ""
    search: str = ""


@dataclass(frozen=True, kw_only=True)
class ProvidedExperiment:
    """An experiment of a user."""

    proposal_id: str
    details: ExperimentDetails
    sessions: tuple[SessionDetails, ...]


@dataclass(frozen=True, kw_only=True)
class ProvidedPage:
    """A part of a user's experiments; `count` is the number of all that fit the search."""

    count: int
    experiments: Sequence[ProvidedExperiment]


class ExperimentProvider(Protocol):
    """Knows the experiments of users.

    Every method raises `Unavailable` when it does not say, and `NotPermitted` when it says nothing to this user.
    """

    async def page(self, member: Member, wanted: Wanted) -> ProvidedPage:
        """A part of the experiments of a user."""

    async def find(self, member: Member, proposal_id: str) -> ProvidedExperiment | None:
        """One experiment of a user, None when the user is no member of it."""

    async def all(self, member: Member) -> Sequence[ProvidedExperiment]:
        """All experiments of a user."""


def clean(text: str | None) -> str:
    """A text of a provider as ours are: without control characters, each line ended by one character, not too long.

    Summaries of some facilities are longer than ours may be; nobody shall lose an experiment by the end of its summary.
    """
    found = _CONTROL.sub(" ", _NEW_LINES.sub("\n", text or "")).strip()
    return found if len(found) <= TEXT_LIMIT else found[: TEXT_LIMIT - 1] + _CUT


def clean_line(text: str | None) -> str:
    """A text of a provider on one line; it may still be too long to be taken over."""
    return " ".join(_CONTROL.sub(" ", text or "").split())


def utc(given: datetime | None) -> datetime | None:
    """A moment of a provider in UTC, which those without a time zone are in."""
    if given is None:
        return None
    return given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)
