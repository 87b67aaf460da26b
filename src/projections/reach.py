"""Who could reach a data set at a moment, and why: from the history, and from Guacamole's for what was opened."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, or_, select

from calipso.errors import Invalid
from calipso.events.container import Container, ContainerEvent, ContainerRequested, State, evolve
from calipso.events.envelope import History, Recorded
from calipso.events.experiment import ExperimentEvent, MemberAdded
from calipso.events.tracing import Traced, trace
from calipso.events.values import SessionRef, Volume
from calipso.projections.audit import entries, folders, of_kind, plain_path
from calipso.projections.audit.history import Entry, told
from calipso.projections.audit.reading import readable
from calipso.projections.containers import containers
from calipso.projections.folding import any_of

_OPEN = frozenset({State.RUNNING, State.STOPPING})


class How(StrEnum):
    """How near somebody was to the data."""

    COULD_START = "could_start"  # as a member: a container beside it could have been asked for
    COULD_OPEN = "could_open"  # a container of theirs ran with it


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way by which somebody could reach a data set.

    `folder` is what was (or would have been) seen of it, `is_whole` whether that holds all of it. `membership_id` is
    that of the experiment, `is_member` whether it still held at the moment; without a session neither says anything.
    `container` is the state of the container, None where none ran. `evidence` are the events from which all follows.
    """

    how: How
    user_id: UUID
    folder: Volume
    is_whole: bool
    proposal_id: str
    session_number: str
    membership_id: UUID | None
    is_member: bool
    container: Container | None
    evidence: tuple[Entry, ...]


@dataclass(frozen=True)
class _Evidence:
    """A way before its events are told."""

    how: How
    user_id: UUID
    folder: Volume
    session: SessionRef | None
    is_member: bool
    container: Container | None
    events: tuple[Recorded, ...]


def who_could(connection: Connection, history: History, dataset: str, moment: datetime, position: int) -> Sequence[Way]:
    """Everybody who could reach a data set at a moment.

    Args:
        connection: of the read models' database.
        history: where events are read.
        dataset: a folder of the targets.
        moment: when.
        position: the last one of that moment.

    Raises:
        Invalid: the folder is none.
        Unavailable: a newer program wrote what counts.
    """
    if not dataset.startswith("/") or "\0" in dataset or not dataset.strip("/"):
        raise Invalid("dataset", f"{dataset[:80]!r} is not an absolute folder such as /data/p1")
    look = _Look(connection, history, plain_path(dataset), position)
    ran = list(look.containers(moment))
    experiments = look.experiments({*look.experiments_with_folder(), *(_experiment(c) for c, _ in ran)})
    found = [*look.members(experiments.values()), *look.mounted(ran, experiments)]
    entries_of = told(connection, [recorded for each in found for recorded in each.events])
    known = {entry.recorded.position: entry for entry in entries_of}
    return [_way(each, look.dataset, [known[r.position] for r in each.events]) for each in found]


@dataclass(frozen=True)
class _Look:
    """One look at the history up to a position."""

    connection: Connection
    history: History
    dataset: str
    position: int

    def experiments_with_folder(self) -> set[UUID]:
        """The experiments of which a session was ever said to have a folder that overlaps the data set."""
        path = folders.c.source
        above = [self.dataset[:end] for end, letter in enumerate(self.dataset) if letter == "/" and end]
        overlaps = or_(any_of(path, [*above, self.dataset, "/"]), path.startswith(self.dataset + "/", autoescape=True))
        query = select(folders.c.experiment_id).where(overlaps, folders.c.position <= self.position)
        return set(self.connection.execute(query).scalars())

    def experiments(self, ids: Iterable[UUID | None]) -> Mapping[UUID, tuple[Traced, Sequence[Recorded]]]:
        """Experiments as they were, each with all its events until then."""
        streams: dict[UUID, list[Recorded]] = {key: [] for key in ids if key}
        for recorded in self._events(any_of(entries.c.stream, streams), ExperimentEvent.kind):
            streams[recorded.stream].append(recorded)
        return {key: (trace(events), events) for key, events in streams.items()}

    def containers(self, moment: datetime) -> Iterator[tuple[Container, Sequence[Recorded]]]:
        """The containers that could be open at the moment, each with its events until then."""
        lived = or_(containers.c.ended.is_(None), containers.c.ended >= moment)
        query = select(containers.c.container_id).where(containers.c.id <= self.position, lived)
        streams: dict[UUID, list[Recorded]] = {key: [] for key in self.connection.execute(query).scalars()}
        for recorded in self._events(any_of(entries.c.stream, streams), ContainerEvent.kind):
            streams[recorded.stream].append(recorded)
        for events in streams.values():
            state: Container | None = None
            for recorded in events:
                state = evolve(state, recorded.event)
            if state is not None and state.state in _OPEN:
                yield state, events

    def members(self, experiments: Iterable[tuple[Traced, Sequence[Recorded]]]) -> Iterator[_Evidence]:
        """Whoever was a member of an experiment whose session had the data set."""
        for traced, _ in experiments:
            if (state := traced.experiment) is None:
                continue
            for session in state.sessions.values():
                for folder in filter(self._overlaps, session.volumes):
                    for user_id, membership_id in state.members.items():
                        ref = SessionRef(
                            experiment_id=state.experiment_id,
                            proposal_id=state.proposal_id,
                            session_number=session.session_number,
                            membership_id=membership_id,
                        )
                        events = traced.sessions[session.session_number], traced.members[user_id]
                        yield _Evidence(How.COULD_START, user_id, folder, ref, True, None, events)

    def mounted(
        self,
        ran: Iterable[tuple[Container, Sequence[Recorded]]],
        experiments: Mapping[UUID, tuple[Traced, Sequence[Recorded]]],
    ) -> Iterator[_Evidence]:
        """Whoever had a container that ran with the data set."""
        for container, events in ran:
            request, ref = container.request, container.request.session
            traced, told_of = experiments.get(ref.experiment_id, (Traced(), ())) if ref else (Traced(), ())
            joined = [r for r in told_of if ref and _is_membership(r, ref.membership_id)]
            state = traced.experiment
            is_member = bool(ref and state and state.members.get(request.user_id) == ref.membership_id)
            # after an erasure only the session tells what was mounted
            volumes = request.volumes or _volumes_of(ref, told_of, events)
            for folder in filter(self._overlaps, volumes):
                proof = (*joined[:1], *events)
                yield _Evidence(How.COULD_OPEN, request.user_id, folder, ref, is_member, container, proof)

    def _overlaps(self, volume: Volume) -> bool:
        source = plain_path(volume.source)
        return _is_within(source, self.dataset) or _is_within(self.dataset, source)

    def _events(self, condition: ColumnElement[bool], kind: str) -> Iterator[Recorded]:
        return readable(self.connection, self.history, self.position, condition, of_kind(kind))


def _is_within(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def _experiment(container: Container) -> UUID | None:
    return container.request.session.experiment_id if container.request.session else None


def _is_membership(recorded: Recorded, membership_id: UUID) -> bool:
    return isinstance(recorded.event, MemberAdded) and recorded.event.membership_id == membership_id


def _volumes_of(ref: SessionRef | None, told_of: Sequence[Recorded], events: Sequence[Recorded]) -> tuple[Volume, ...]:
    """The volumes that a session had when a container was asked for beside it."""
    asked = next((r.position for r in events if isinstance(r.event, ContainerRequested)), 0)
    state = trace(r for r in told_of if r.position < asked).experiment
    return state.sessions[ref.session_number].volumes if ref and state and ref.session_number in state.sessions else ()


def _way(found: _Evidence, dataset: str, evidence: Sequence[Entry]) -> Way:
    ref = found.session
    return Way(
        how=found.how,
        user_id=found.user_id,
        folder=found.folder,
        is_whole=_is_within(dataset, plain_path(found.folder.source)),
        proposal_id=ref.proposal_id if ref else "",
        session_number=ref.session_number if ref else "",
        membership_id=ref.membership_id if ref else None,
        is_member=found.is_member,
        container=found.container,
        evidence=tuple(evidence),
    )
