"""Experiments from ICAT by the REST interface of its portals: investigations of one name are an experiment's sessions.

The user's own token signs in where the settings say so and there is one; else a service account does, and then a user's
investigations are those among whose users the user stands.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from http import HTTPStatus
from urllib.parse import quote

import msgspec
from cachetools import TTLCache

from calipso.api.outside.http import Outside, OutsideAnswer, read_answer
from calipso.api.outside.provider import (
    ORDERINGS,
    Member,
    ProvidedExperiment,
    ProvidedPage,
    Wanted,
    clean,
    clean_line,
    utc,
)
from calipso.errors import NotPermitted, Unavailable
from calipso.events.experiment import ExperimentDetails, SessionDetails
from calipso.settings import Settings

PART = "ICAT"
_REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_BODY_BYTES = 2**23  # all investigations that an account may see come in one answer
_SESSIONS_KEPT_SECONDS = 3600.0
_SESSIONS_KEPT = 1000
_NOT_BY_OPENID = "experiments come from ICAT by your OpenID sign-in, and you have signed in otherwise"
_NOT_ACCEPTED = "ICAT does not accept your OpenID sign-in (any more): sign in again"
_USERS_KEPT_SECONDS = 60.0
_USERS_KEPT = 10_000
_AT_ONE_TIME = 8


class InvestigationUser(msgspec.Struct, kw_only=True, rename="camel"):
    """Somebody who takes part in an investigation, as ICAT tells it and clients get it."""

    full_name: str | None = None
    investigation_id: int | str | None = None
    investigation_name: str | None = None
    name: str
    role: str | None = None


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
        self._sessions: TTLCache[str, str] = TTLCache(_SESSIONS_KEPT, _SESSIONS_KEPT_SECONDS)
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
        listed = [each for each in await self._listed(member) if each.name == proposal_id]
        # a run asks for this, for which a list of users of a minute ago is too old
        found = _experiments(listed, await self._ids_of(member, listed, is_fresh=True))
        return found[0] if found else None

    async def all(self, member: Member) -> Sequence[ProvidedExperiment]:
        """All experiments of a user."""
        listed = await self._listed(member)
        return _experiments(listed, await self._ids_of(member, listed))

    async def users(self, member: Member, investigation_id: str) -> Sequence[InvestigationUser]:
        """Who takes part in an investigation; nobody in one that there is not."""
        path = f"/investigation/id/{quote(investigation_id, safe='')}/investigationusers"
        answer = await self._ask(member, path)
        return [] if answer.status == HTTPStatus.NOT_FOUND else read_answer(PART, answer, list[InvestigationUser])

    def takes_part(self, member: Member, users: Sequence[InvestigationUser]) -> bool:
        """Whether a user is among those who take part."""
        return any(_account(user.name) == member.name.casefold() for user in users)

    async def _listed(self, member: Member) -> Sequence[_Investigation]:
        """The investigations that whoever asks may see."""
        listed = read_answer(PART, await self._ask(member, "/investigation"), list[_Listed])
        return [each.investigation for each in listed]

    async def _ids_of(
        self, member: Member, listed: Sequence[_Investigation], *, is_fresh: bool = False
    ) -> Collection[str]:
        """The ids of those in which the user takes part."""
        ids = [str(each.id) for each in listed]
        if self._is_own(member):
            return ids
        found = await asyncio.gather(*(self._kept_users(member, each, is_fresh=is_fresh) for each in ids))
        return {each for each, users in zip(ids, found, strict=True) if self.takes_part(member, users)}

    async def _kept_users(
        self, member: Member, investigation_id: str, *, is_fresh: bool
    ) -> Sequence[InvestigationUser]:
        users = None if is_fresh else self._users.get(investigation_id)
        if users is None:
            async with self._asking:
                users = self._users[investigation_id] = await self.users(member, investigation_id)
        return users

    def _is_own(self, member: Member) -> bool:
        return self._settings.icat_openid_connect and bool(member.token)

    async def _ask(self, member: Member, path: str) -> OutsideAnswer:
        """Ask within a session of ICAT; one that has ended is renewed once."""
        token = member.token if self._is_own(member) else ""
        if session := self._sessions.get(token):
            answer = await self._catalogue(session, path)
            if answer.status not in _REFUSED:
                return answer
        session = self._sessions[token] = await self._sign_in(token)
        return await self._catalogue(session, path)

    async def _catalogue(self, session: str, path: str) -> OutsideAnswer:
        url = f"{self._url}/catalogue/{quote(session, safe='')}{path}"
        return await self._outside.ask(PART, "GET", url, limit=_BODY_BYTES)

    async def _sign_in(self, token: str) -> str:
        given = {"password": token} if token else self._sign_in_of_ours()
        form = {"plugin": self._settings.icat_plugin, **given}
        answer = await self._outside.ask(PART, "POST", f"{self._url}/session", form=form)
        if answer.status in _REFUSED and token:
            raise NotPermitted(_NOT_ACCEPTED)
        if answer.status in _REFUSED:
            raise Unavailable(PART, "it refuses our account (CALIPSO_ICAT_PLUGIN, CALIPSO_ICAT_USERNAME)")
        return read_answer(PART, answer, _Session).session_id

    def _sign_in_of_ours(self) -> dict[str, str]:
        if not self._settings.icat_username and self._settings.icat_openid_connect:
            raise NotPermitted(_NOT_BY_OPENID)
        password = self._settings.icat_password.get_secret_value()
        return {"username": self._settings.icat_username, "password": password}


def _experiments(listed: Sequence[_Investigation], ids: Collection[str]) -> list[ProvidedExperiment]:
    """The experiments that the investigations of these ids belong to; those of one name are sessions of one."""
    named: dict[str, list[_Investigation]] = defaultdict(list)
    for investigation in sorted(listed, key=_age):
        named[investigation.name].append(investigation)
    found = (_experiment(name, visits, ids) for name, visits in named.items())
    return [each for each in found if each.sessions]


def _age(investigation: _Investigation) -> tuple[int, str]:
    text = str(investigation.id)
    return len(text), text


def _experiment(name: str, visits: Sequence[_Investigation], ids: Collection[str]) -> ProvidedExperiment:
    # what it is about follows from all visits, so that it does not change with the user who looks
    beam_lines = sorted({clean_line(visit.visit_id) for visit in visits} - {""})
    details = ExperimentDetails(
        title=next((clean_line(visit.title) for visit in visits if visit.title), name),
        description=next((clean(visit.summary) for visit in visits if visit.summary), ""),
        beam_line=", ".join(beam_lines),
    )
    sessions = tuple(_session(visit) for visit in visits if str(visit.id) in ids)
    return ProvidedExperiment(proposal_id=name, details=details, sessions=sessions)


def _session(visit: _Investigation) -> SessionDetails:
    return SessionDetails(
        session_number=str(visit.id),
        start=_start(visit),
        end=utc(visit.end_date),
        subject=clean_line(visit.title),
        body=clean(visit.summary),
        volumes=(),
    )


def _start(visit: _Investigation) -> datetime | None:
    start, end = utc(visit.start_date or visit.create_time), utc(visit.end_date)
    # old investigations may have been brought into ICAT long after their end
    return None if visit.start_date is None and start and end and start > end else start


def _account(name: str) -> str:
    # ICAT puts the plugin before a name: `db/ada`
    return name.rpartition("/")[2].casefold()


def _texts(each: ProvidedExperiment) -> tuple[str, str, str, str]:
    return each.proposal_id, each.details.title, each.details.description, each.details.beam_line


def _fits(each: ProvidedExperiment, search: str) -> bool:
    text = "\n".join(_texts(each)).casefold()
    return all(word in text for word in search.casefold().replace(",", " ").split())


def _order(each: ProvidedExperiment, word: str) -> tuple[str, str]:
    words = dict(zip(ORDERINGS, _texts(each), strict=True))
    return words.get(word, each.proposal_id).casefold(), each.proposal_id
