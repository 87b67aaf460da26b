"""Who could reach a data set, as JSON objects; the command line writes the same."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from calipso.api.objects import Time
from calipso.backend import Backend
from calipso.events.experiment import MemberAdded
from calipso.events.naming import container_name
from calipso.events.tracing import trace
from calipso.events.values import Protocol
from calipso.moments import format_time
from calipso.projections import users
from calipso.projections.audit import entries
from calipso.projections.audit.history import Entry, told
from calipso.projections.audit.question import experiment_of
from calipso.projections.audit.reading import readable
from calipso.projections.guacamole.openings import Opening, openings_of
from calipso.projections.reach import How, Way, who_could
from calipso.secrecy import hide

_THROUGH_GUACAMOLE = {Protocol.VNC, Protocol.RDP, Protocol.SSH}


class EvidenceObject(msgspec.Struct, kw_only=True):
    """An event from which something follows."""

    position: int
    id: UUID
    time: Time
    type: str
    sentence: str


class OpeningObject(msgspec.Struct, kw_only=True):
    """A desktop was opened; `end` is null while it is open, `then` says whether it was open at the moment.

    `account` is empty for its owner's, else an account of Guacamole's own, such as an administrator's.
    """

    begin: Time
    end: Time | None
    address: str
    account: str
    then: bool


class WayObject(msgspec.Struct, kw_only=True):
    """A way by which somebody could reach a data set.

    `how` is `could_start` for members who could have asked for a container beside it, `could_open` for owners of a
    container that ran with it, `opened` if that was open through Guacamole. `openings` is null where nobody records
    them: for links, web services, and without Guacamole's database.
    """

    how: Literal["could_start", "could_open", "opened"]
    user: str
    user_id: UUID
    folder: str
    mode: str
    whole: bool
    experiment: str
    session: str
    membership_id: UUID | None
    member: bool
    container: str
    state: str
    image: str
    target: str
    openings: list[OpeningObject] | None
    why: str
    evidence: list[EvidenceObject]


class ReachObject(msgspec.Struct, kw_only=True):
    """Who could reach a data set at a moment; `position` is that of the last event that counts.

    `note` says why Guacamole's history was not asked, and is empty if it was.
    """

    dataset: str
    at: Time
    position: int
    note: str
    ways: list[WayObject]


class MemberObject(msgspec.Struct, kw_only=True):
    """A member of an experiment; `source` is `provider` when the facility's provider said so."""

    user: str
    user_id: UUID
    membership_id: UUID
    source: str
    evidence: EvidenceObject


class MembersObject(msgspec.Struct, kw_only=True):
    """The members of an experiment at a moment; `offered` says whether there was the experiment then.

    `folders` are those that its sessions had.
    """

    experiment: str
    at: Time
    offered: bool
    folders: list[str]
    members: list[MemberObject]


def members_object(backend: Backend, connection: Connection, text: str, moment: datetime) -> MembersObject:
    """The members of an experiment at a moment.

    Args:
        backend: whose history.
        connection: of the read models' database, which tells of the moment.
        text: the experiment's public number, or its uuid.
        moment: when.

    Raises:
        NotFound: there never was such an experiment.
        Unavailable: a newer program wrote what counts.
    """
    experiment_id = experiment_of(connection, text, backend.installation.naming)
    position = backend.store.position_at(moment)
    traced = trace(readable(connection, backend.store, position, entries.c.stream == experiment_id))
    names = users.named(connection, traced.members.keys())
    found = [
        MemberObject(
            user=names[user_id].name if user_id in names else str(user_id),
            user_id=user_id,
            membership_id=entry.recorded.event.membership_id,
            source=entry.recorded.event.source,
            evidence=_evidence_object(entry),
        )
        for user_id, entry in zip(traced.members, told(connection, list(traced.members.values())), strict=True)
        if isinstance(entry.recorded.event, MemberAdded)
    ]
    sessions = traced.experiment.sessions.values() if traced.experiment else ()
    return MembersObject(
        experiment=text,
        at=format_time(moment),
        offered=traced.experiment is not None,
        folders=sorted({volume.source for session in sessions for volume in session.volumes}),
        members=found,
    )


def reach_object(backend: Backend, connection: Connection, dataset: str, moment: datetime) -> ReachObject:
    """Who could reach a data set at a moment.

    Args:
        backend: whose history, and whose Guacamole.
        connection: of the read models' database, which tells of the moment.
        dataset: a folder of the targets.
        moment: when.

    Raises:
        Invalid: the folder is none.
        Unavailable: a newer program wrote what counts.
    """
    position = backend.store.position_at(moment)
    ways = who_could(connection, backend.store, dataset, moment, position)
    names = {key: row.name for key, row in users.named(connection, {way.user_id for way in ways}).items()}
    opened, note = _openings(backend, [way.container.request.container_id for way in ways if way.container])
    found = [_way_object(way, names.get(way.user_id, str(way.user_id)), opened, moment) for way in ways]
    return ReachObject(dataset=dataset, at=format_time(moment), position=position, note=note, ways=found)


def _openings(backend: Backend, container_ids: Sequence[UUID]) -> tuple[Mapping[UUID, Sequence[Opening]] | None, str]:
    """What Guacamole tells of these containers, None and the reason when it does not tell."""
    if backend.guacamole_engine is None:
        return None, "there is no Guacamole database"
    try:
        with backend.guacamole_engine.connect() as connection:
            return openings_of(connection, container_ids), ""
    except DBAPIError as error:
        return None, f"Guacamole's database does not tell: {hide(str(error.orig))}"


def _way_object(way: Way, name: str, opened: Mapping[UUID, Sequence[Opening]] | None, moment: datetime) -> WayObject:
    request = way.container.request if way.container else None
    openings = None
    if request and opened is not None and request.image.protocol in _THROUGH_GUACAMOLE:
        openings = [_opening_object(each, moment) for each in opened.get(request.container_id, ())]
    is_open = any(each.then for each in openings or ())
    return WayObject(
        how="opened" if is_open else "could_start" if way.how is How.COULD_START else "could_open",
        user=name,
        user_id=way.user_id,
        folder=way.folder.source,
        mode=way.folder.mode,
        whole=way.is_whole,
        experiment=way.proposal_id,
        session=way.session_number,
        membership_id=way.membership_id,
        member=way.is_member,
        container=container_name(request.container_id) if request else "",
        state=way.container.state if way.container else "",
        image=request.image_name if request else "",
        target=request.target if request else "",
        openings=openings,
        why=_why(way, name, openings),
        evidence=[_evidence_object(entry) for entry in way.evidence],
    )


def _why(way: Way, name: str, openings: Sequence[OpeningObject] | None) -> str:
    session = f"session {way.session_number} of {way.proposal_id}"
    if way.container is None:
        return (
            f"{name} was a member of {way.proposal_id}, whose session {way.session_number} had {way.folder.source}: a "
            "container beside it could have been started."
        )
    beside = f" beside {session}" if way.proposal_id else ""
    lapsed = "" if way.is_member or not way.proposal_id else " The membership had ended before."
    return (
        f"Container {way.container.request.container_id.hex[:8]} of {name} ran{beside} with {way.folder.source} at "
        f"{way.folder.bind} ({way.folder.mode}).{lapsed} {_told_openings(openings)}"
    )


def _told_openings(openings: Sequence[OpeningObject] | None) -> str:
    if openings is None:
        return "Whether it was opened is not recorded."
    if open_ones := [each for each in openings if each.then]:
        return f"It was open through Guacamole, {', '.join(map(_told_opening, open_ones))}."
    return f"It was not open then; Guacamole tells of {len(openings)} openings at other times."


def _told_opening(opening: OpeningObject) -> str:
    by = f" by Guacamole's account {opening.account}" if opening.account else ""
    return f"from {opening.address or 'an address that is not known'} since {opening.begin}{by}"


def _opening_object(opening: Opening, moment: datetime) -> OpeningObject:
    return OpeningObject(
        begin=format_time(opening.begin),
        end=format_time(opening.end) if opening.end else None,
        address=opening.address,
        account=opening.account,
        then=opening.covers(moment),
    )


def _evidence_object(entry: Entry) -> EvidenceObject:
    recorded = entry.recorded
    return EvidenceObject(
        position=recorded.position,
        id=recorded.id,
        time=format_time(recorded.time),
        type=recorded.topic.rpartition(".")[2],
        sentence=entry.sentence,
    )
