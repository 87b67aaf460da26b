"""The facility's own provider of experiments, which speaks as our own lists of experiments do."""

from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import quote

import msgspec
import structlog

from calipso.api.outside.http import Outside, read_answer
from calipso.api.outside.provider import (
    Member,
    ProvidedExperiment,
    ProvidedPage,
    Wanted,
    clean,
    clean_line,
)
from calipso.data_set_path import parse_data_set_path
from calipso.errors import Invalid, Unavailable
from calipso.events.experiment import ExperimentDetails, SessionDetails
from calipso.settings import Settings

_log = structlog.get_logger()

PART = "the provider of experiments"
_UNSET = frozenset({"", ".", None})
_SIZE_OF_ALL = 100
_PAGES_OF_ALL = 100


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
    count: int
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
        """A part of the experiments of a user."""
        given = {
            "page_size": str(wanted.size),
            "page": str(wanted.page),
            "ordering": wanted.ordering,
            "search": wanted.search,
        }
        url = self._endpoint.replace("$USERNAME", quote(member.name, safe=""))
        answer = await self._outside.ask(PART, "GET", url, params=given, basic=self._account)
        found = read_answer(PART, answer, _Page)
        return ProvidedPage(count=found.count, experiments=[_experiment(each) for each in found.results[: wanted.size]])

    async def find(self, member: Member, proposal_id: str) -> ProvidedExperiment | None:
        """One experiment of a user, None when the user is no member of it."""
        found = await self._collect(member, proposal_id)
        return next((each for each in found if each.proposal_id == proposal_id), None)

    async def all(self, member: Member) -> Sequence[ProvidedExperiment]:
        """All experiments of a user."""
        return await self._collect(member, "")

    async def _collect(self, member: Member, search: str) -> Sequence[ProvidedExperiment]:
        found: dict[str, ProvidedExperiment] = {}
        for number in range(1, _PAGES_OF_ALL + 1):
            page = await self.page(
                member, Wanted(page=number, size=_SIZE_OF_ALL, ordering="proposal_id", search=search)
            )
            found |= {each.proposal_id: each for each in page.experiments}
            if len(found) >= page.count:
                return list(found.values())
            if not page.experiments:
                raise Unavailable(PART, f"it tells of {page.count} experiments and gives {len(found)}")
        raise Unavailable(PART, f"it has more than {_SIZE_OF_ALL * _PAGES_OF_ALL} experiments of one user")


def _experiment(given: _Experiment) -> ProvidedExperiment:
    proposal_id = str(given.proposal_id)
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
        _log.warning("session left out", proposal=proposal_id, session=str(given.session_number), reason=str(error))
        return None
    return SessionDetails(
        session_number=str(given.session_number),
        start=_moment(given.start_date),
        end=_moment(given.end_date),
        subject=clean_line(given.subject),
        body=clean(given.body),
        volumes=volumes,
    )


def _moment(given: datetime | None) -> datetime | None:
    if given is None:
        return None
    return given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)


def _number(field: str, given: str | int | None) -> int | None:
    if given in _UNSET:
        return None
    try:
        return int(given or 0)
    except ValueError as error:
        raise Unavailable(PART, f"its {field} {given!r} is no number") from error
