"""The facility's own provider of experiments, which speaks as our own lists of experiments do."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote

import msgspec
import structlog

from calipso.api.outside.http import Outside, read_answer
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
from calipso.data_set_path import parse_data_set_path
from calipso.errors import Invalid, Unavailable
from calipso.events.experiment import ExperimentDetails, SessionDetails
from calipso.settings import Settings

_log = structlog.get_logger()

PART = "the provider of experiments"
_UNSET = frozenset({"", ".", None})
_REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_SIZE_OF_ALL = 50  # an answer may have 1 MiB, which are 20 KiB for each
_PAGES_OF_ALL = 200
_NAME_LENGTH = 80
_REASON_LENGTH = 200


class _Session(msgspec.Struct):
    session_number: str | int
    start_date: datetime | None = None
    end_date: datetime | None = None
    subject: str | None = None
    body: str | None = None
    data_set_path: str | None = None


class _Experiment(msgspec.Struct):
    proposal_id: str | int
    subject: str | None = None
    body: str | None = None
    beam_line: str | None = None
    uid: str | int | None = None
    gid: str | int | None = None
    sessions: list[_Session] = []


class _Page(msgspec.Struct):
    count: Annotated[int, msgspec.Meta(ge=0)]
    results: list[_Experiment]


class DynamicProvider:
    """Asks the endpoint of the settings.

    Args:
        settings: where it is, and who we are there.
        outside: asks it.
    """

    def __init__(self, settings: Settings, outside: Outside) -> None:
        self._endpoint = settings.dynamic_experiments_data_retrieval_endpoint
        self._account = settings.local_access_account()
        self._outside = outside

    async def page(self, member: Member, wanted: Wanted) -> ProvidedPage:
        """A part of the experiments of a user; behind the last page nothing."""
        found = await self._page(member, wanted)
        return ProvidedPage(count=found.count, experiments=_experiments(found.results))

    async def find(self, member: Member, proposal_id: str) -> ProvidedExperiment | None:
        """One experiment of a user, None when the user is no member of it."""
        found = await self._collect(member, proposal_id)
        return next((each for each in found if each.proposal_id == proposal_id), None)

    async def all(self, member: Member) -> Sequence[ProvidedExperiment]:
        """All experiments of a user."""
        return await self._collect(member, "")

    async def _collect(self, member: Member, search: str) -> Sequence[ProvidedExperiment]:
        wanted = Wanted(page=1, size=_SIZE_OF_ALL, ordering="proposal_id", search=search)
        first = await self._page(member, wanted)
        found = list(first.results)
        for number in range(2, _PAGES_OF_ALL + 1):
            if len(found) >= first.count:
                return _experiments(found)
            page = await self._page(member, replace(wanted, page=number))
            # whoever ends memberships by a list must not have missed one that moved to an earlier page
            if page.count != first.count or not page.results:
                raise Unavailable(PART, f"it tells of {first.count} experiments, and gives {len(found)}")
            found += page.results
        raise Unavailable(PART, f"it has more than {_SIZE_OF_ALL * _PAGES_OF_ALL} experiments of one user")

    async def _page(self, member: Member, wanted: Wanted) -> _Page:
        url = self._endpoint.replace("$USERNAME", quote(member.name, safe=""))
        answer = await self._outside.ask(PART, "GET", url, params=_query(wanted), basic=self._account)
        if answer.status in _REFUSED:
            raise Unavailable(PART, f"it refuses our account: {answer.status} (CALIPSO_LOCAL_ACCESS_USERNAME)")
        if answer.status == HTTPStatus.NOT_FOUND and wanted.page > 1:
            return _Page(count=0, results=[])
        found = read_answer(PART, answer, _Page)
        return _Page(count=found.count, results=found.results[: wanted.size])


def _query(wanted: Wanted) -> dict[str, str]:
    is_known = wanted.ordering.removeprefix("-") in ORDERINGS
    return {
        "page_size": str(wanted.size),
        "page": str(wanted.page),
        "ordering": wanted.ordering if is_known else "",
        "search": wanted.search,
    }


def _experiments(given: Sequence[_Experiment]) -> Sequence[ProvidedExperiment]:
    # some give one twice, when they found it by two of its texts
    return list({each.proposal_id: each for each in map(_experiment, given)}.values())


def _experiment(given: _Experiment) -> ProvidedExperiment:
    proposal_id = str(given.proposal_id).strip()
    return ProvidedExperiment(
        proposal_id=proposal_id,
        details=ExperimentDetails(
            title=clean_line(given.subject),
            description=clean(given.body),
            beam_line=clean_line(given.beam_line),
            uid=_number("uid", given.uid),
            gid=_number("gid", given.gid),
        ),
        sessions=tuple(session for each in given.sessions if (session := _session(proposal_id, each))),
    )


def _session(proposal_id: str, given: _Session) -> SessionDetails | None:
    try:
        volumes = parse_data_set_path(given.data_set_path or "")
    except Invalid as error:
        _log.warning(
            "session left out",
            proposal=proposal_id[:_NAME_LENGTH],
            session=str(given.session_number)[:_NAME_LENGTH],
            reason=str(error)[:_REASON_LENGTH],
        )
        return None
    return SessionDetails(
        session_number=str(given.session_number).strip(),
        start=utc(given.start_date),
        end=utc(given.end_date),
        subject=clean_line(given.subject),
        body=clean(given.body),
        volumes=volumes,
    )


def _number(field: str, given: str | int | None) -> int | None:
    if given in _UNSET:
        return None
    try:
        return int(given or 0)
    except ValueError as error:
        raise Unavailable(PART, f"its {field} {str(given)[:20]!r} is no number") from error
