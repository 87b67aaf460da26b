"""Experiments from ICAT by the REST interface of its portals: investigations of one name are an experiment's sessions.

The user's own token signs in where the settings say so; else a service account does, and then a user's investigations
are those among whose users the user stands.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import quote

import msgspec
from cachetools import TTLCache

from calipso.api.outside.http import Outside, OutsideAnswer, read_answer
from calipso.api.outside.provider import (
    Member,
    ProvidedExperiment,
    ProvidedPage,
    Wanted,
    clean,
    clean_line,
)
from calipso.errors import Unavailable
from calipso.events.experiment import ExperimentDetails, SessionDetails
from calipso.settings import Settings

PART = "ICAT"
_REFUSED = frozenset({401, 403})
_USERS_KEPT_SECONDS = 60.0
_USERS_KEPT = 10_000
_AT_ONE_TIME = 8


class InvestigationUser(msgspec.Struct, kw_only=True, rename="camel"):
    """Somebody who takes part in an investigation, as ICAT tells it and clients get it."""

    full_name: str = ""
    investigation_id: int | str = ""
    investigation_name: str = ""
    name: str
    role: str = ""


class _Session(msgspec.Struct, rename="camel"):
    session_id: str


class _Investigation(msgspec.Struct, rename="camel"):
    id: int | str
    name: str
    title: str | None = None
    summary: str | None = None
    visit_id: str | None = None
    start_date: datetime | None = None
    create_time: datetime | None = None
    end_date: datetime | None = None


class _Listed(msgspec.Struct):
    investigation: _Investigation = msgspec.field(name="Investigation")


class IcatProvider:
    """Asks the ICAT of the settings.

    Args:
        settings: where it is, and who we are there.
        outside: asks it.
    """

    def __init__(self, settings: Settings, outside: Outside) -> None:
        self._settings = settings
        self._url = settings.icat_data_retrieval_endpoint.rstrip("/")
        self._outside = outside
        self._session = ""
        self._users: TTLCache[str, Sequence[InvestigationUser]] = TTLCache(_USERS_KEPT, _USERS_KEPT_SECONDS)
        self._asking = asyncio.Semaphore(_AT_ONE_TIME)

    async def page(self, member: Member, wanted: Wanted) -> ProvidedPage:
        """A part of the experiments of a user; ICAT gives all, so order and search are ours."""
        found = [each for each in await self.all(member) if _fits(each, wanted.search)]
        word = wanted.ordering.removeprefix("-")
        found.sort(key=lambda each: _order(each, word), reverse=wanted.ordering.startswith("-"))
        first = (wanted.page - 1) * wanted.size
        return ProvidedPage(count=len(found), experiments=found[first : first + wanted.size])

    async def find(self, member: Member, proposal_id: str) -> ProvidedExperiment | None:
        """One experiment of a user, None when the user is no member of it."""
        found = _experiments(await self._investigations(member, proposal_id))
        return found[0] if found else None

    async def all(self, member: Member) -> Sequence[ProvidedExperiment]:
        """All experiments of a user."""
        return _experiments(await self._investigations(member))

    async def users(self, member: Member, investigation_id: str) -> Sequence[InvestigationUser]:
        """Who takes part in an investigation."""
        path = f"/investigation/id/{quote(investigation_id, safe='')}/investigationusers"
        return read_answer(PART, await self._ask(member, path), list[InvestigationUser])

    def takes_part(self, member: Member, users: Sequence[InvestigationUser]) -> bool:
        """Whether a user is among those who take part."""
        return any(_account(user.name) == member.name.casefold() for user in users)

    async def _investigations(self, member: Member, name: str = "") -> Sequence[_Investigation]:
        listed = read_answer(PART, await self._ask(member, "/investigation"), list[_Listed])
        found = [each.investigation for each in listed if not name or each.investigation.name == name]
        if self._is_own(member):
            return found
        takes_part = await asyncio.gather(*(self._takes_part(member, each) for each in found))
        return [each for each, is_member in zip(found, takes_part, strict=True) if is_member]

    async def _takes_part(self, member: Member, investigation: _Investigation) -> bool:
        key = str(investigation.id)
        if key not in self._users:
            async with self._asking:
                self._users[key] = await self.users(member, key)
        return self.takes_part(member, self._users[key])

    def _is_own(self, member: Member) -> bool:
        return self._settings.icat_openid_connect and bool(member.token)

    async def _ask(self, member: Member, path: str) -> OutsideAnswer:
        """Ask within a session of ICAT; one that has ended is renewed once."""
        if self._is_own(member):
            return await self._catalogue(await self._sign_in({"password": member.token}), path)
        answer = await self._catalogue(self._session, path) if self._session else None
        if answer is None or answer.status in _REFUSED:
            account = {"username": self._settings.icat_username}
            self._session = await self._sign_in(account | {"password": self._settings.icat_password.get_secret_value()})
            answer = await self._catalogue(self._session, path)
        return answer

    async def _catalogue(self, session: str, path: str) -> OutsideAnswer:
        return await self._outside.ask(PART, "GET", f"{self._url}/catalogue/{quote(session, safe='')}{path}")

    async def _sign_in(self, given: dict[str, str]) -> str:
        form = {"plugin": self._settings.icat_plugin, **given}
        answer = await self._outside.ask(PART, "POST", f"{self._url}/session", form=form)
        if answer.status in _REFUSED:
            raise Unavailable(PART, "it refuses our sign-in")
        return read_answer(PART, answer, _Session).session_id


def _experiments(investigations: Sequence[_Investigation]) -> list[ProvidedExperiment]:
    """The experiments that investigations belong to; those of one name are sessions of one."""
    named: dict[str, list[_Investigation]] = defaultdict(list)
    for investigation in investigations:
        named[investigation.name].append(investigation)
    return [_experiment(name, visits) for name, visits in named.items()]


def _experiment(name: str, visits: Sequence[_Investigation]) -> ProvidedExperiment:
    beam_lines = sorted({clean_line(visit.visit_id) for visit in visits} - {""})
    details = ExperimentDetails(
        title=next((clean_line(visit.title) for visit in visits if visit.title), name),
        description=next((clean(visit.summary) for visit in visits if visit.summary), ""),
        beam_line=", ".join(beam_lines),
    )
    return ProvidedExperiment(proposal_id=name, details=details, sessions=tuple(_session(visit) for visit in visits))


def _session(visit: _Investigation) -> SessionDetails:
    return SessionDetails(
        session_number=str(visit.id),
        start=_moment(visit.start_date or visit.create_time),
        end=_moment(visit.end_date),
        subject=clean_line(visit.title),
        body=clean(visit.summary),
        volumes=(),
    )


def _moment(given: datetime | None) -> datetime | None:
    if given is None:
        return None
    return given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)


def _account(name: str) -> str:
    # ICAT puts the plugin before a name: `db/ada`
    return name.rpartition("/")[2].casefold()


def _texts(each: ProvidedExperiment) -> tuple[str, str, str, str]:
    return each.proposal_id, each.details.title, each.details.description, each.details.beam_line


def _fits(each: ProvidedExperiment, search: str) -> bool:
    text = "\n".join(_texts(each)).casefold()
    return all(word in text for word in search.casefold().replace(",", " ").split())


def _order(each: ProvidedExperiment, word: str) -> tuple[str, str]:
    words = dict(zip(("proposal_id", "subject", "body", "beam_line"), _texts(each), strict=True))
    return words.get(word, each.proposal_id).casefold(), each.proposal_id
