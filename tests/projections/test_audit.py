"""What the audit finds, of whom and what an event tells; and what it says of events that nobody knows."""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import Connection
from tests.builders import (
    ADA,
    BEGIN,
    NAMING,
    History,
    container_requested,
    experiment_added,
    experiment_removed,
    image_added,
    member_added,
    quota_released,
    quota_reserved,
    role_granted,
    session_ref,
    started,
    stopped,
    user_erased,
    user_logged_in,
    user_registered,
    uuid_of,
)
from tests.projections.recorded import append, stored
from tests.projections.rows import READ_MODELS, apply

from calipso.codec import Codec
from calipso.errors import Invalid, NotFound
from calipso.events.container import ContainerStarted
from calipso.events.envelope import Event, Recorded, Unreadable
from calipso.events.naming import container_name
from calipso.events.user import UserNameClaimed
from calipso.projections import audit
from calipso.projections.audit import history
from calipso.projections.audit.question import Question, select
from calipso.projections.audit.selection import Selection, positions, topics_of_kind
from calipso.store_memory import MemoryStore
from calipso.vault import MemorySubjectKeys

BOB = uuid_of("user bob")
BESIDE = container_requested(uuid_of("beside"), session=session_ref("P1", "S1"))
OWN = container_requested(uuid_of("own"), BOB)
EVENTS: tuple[Event, ...] = (
    user_registered(ADA, "ada"),  # 1
    user_registered(BOB, "bob"),
    image_added("desktop"),
    experiment_added("P1"),
    member_added("P1", ADA),  # 5
    quota_reserved(BESIDE.container_id),
    BESIDE,
    quota_reserved(OWN.container_id, BOB),
    OWN,
    started(BESIDE),  # 10
    stopped(BESIDE),
    quota_released(BESIDE.container_id),
    experiment_removed("P1"),
    user_erased(BOB),
)


@pytest.fixture
def store() -> MemoryStore:
    """A store with these events."""
    made = stored(*EVENTS[:-1])
    append(made, EVENTS[-1], actor=f"user:{BOB}")
    return made


@pytest.fixture
def told(connection: Connection, store: MemoryStore) -> Connection:
    """A connection that shows them; the reservation beside P1 comes in a batch before its request."""
    for model in READ_MODELS:
        apply(model, connection, store.read(after=0, limit=100).events, cuts=[6])
    return connection


def found(connection: Connection, store: MemoryStore, **words: object) -> list[int]:
    wanted = select(Question(**words), connection, store, NAMING)  # type: ignore[arg-type]  # words of the test's own
    return list(positions(connection, wanted, limit=100))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({}, list(range(1, 15))),
        ({"user": "ADA"}, [1, 5, 6, 7, 10, 11, 12]),
        ({"user": str(BOB)}, [2, 8, 9, 14]),
        ({"experiment": "P1"}, [4, 5, 6, 7, 10, 11, 12, 13]),
        ({"experiment": str(NAMING.experiment("P1"))}, [4, 5, 6, 7, 10, 11, 12, 13]),
        ({"container": container_name(OWN.container_id)}, [8, 9]),
        ({"container": "7"}, [6, 7, 10, 11, 12]),
        ({"container": str(BESIDE.container_id), "kind": "container"}, [7, 10, 11]),
        ({"kind": "container"}, [7, 9, 10, 11]),
        ({"kind": "target"}, []),
        ({"type": "QuotaReserved"}, [6, 8]),
        ({"type": "calipso.quota.QuotaReserved", "kind": "quota", "user": "ada"}, [6]),
        ({"actor": str(BOB)}, [14]),
        ({"actor": "service:test", "type": "UserErased"}, []),
        ({"stream": str(NAMING.image("desktop"))}, [3]),
    ],
)
def test_what_is_asked_is_found(
    told: Connection, store: MemoryStore, words: dict[str, object], expected: list[int]
) -> None:
    assert found(told, store, **words) == expected


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ({"user": "eve"}, NotFound("user", "eve")),
        ({"user": "bob"}, NotFound("user", "bob")),  # the name was erased
        ({"experiment": "P2"}, NotFound("experiment", "P2")),
        ({"container": "calipso-1"}, NotFound("container", "calipso-1")),
        ({"container": "1"}, NotFound("container", "1")),
        ({"container": "9" * 30}, NotFound("container", "9" * 30)),
        ({"stream": str(uuid_of("none"))}, NotFound("stream", str(uuid_of("none")))),
        ({"stream": "none"}, Invalid("stream", "'none' is not a uuid")),
        ({"correlation": "none"}, Invalid("correlation", "'none' is not a uuid")),
        ({"type": "ContainerDreamed"}, Invalid("type", "'ContainerDreamed' is no event, such as ContainerStarted")),
        (
            {"type": "ContainerStarted", "kind": "quota"},
            Invalid("type", "'ContainerStarted' is no event of quota, such as ContainerStarted"),
        ),
    ],
)
def test_what_never_was_is_told(
    told: Connection, store: MemoryStore, words: dict[str, object], error: Exception
) -> None:
    with pytest.raises(type(error)) as raised:
        found(told, store, **words)
    assert str(raised.value) == str(error)


def test_an_unknown_kind_is_told_with_those_that_are_known(told: Connection, store: MemoryStore) -> None:
    with pytest.raises(Invalid, match="'dream' is none of audit, container, experiment"):
        found(told, store, kind="dream")


def test_a_period_has_its_beginning_and_its_end(told: Connection, store: MemoryStore) -> None:
    first, last = store.at([5])[0].time, store.at([9])[0].time
    assert found(told, store, since=first, until=last) == [5, 6, 7, 8, 9]
    assert found(told, store, since=last + timedelta(days=1)) == []
    assert found(told, store, since=datetime.min.replace(tzinfo=first.tzinfo), until=first) == [1, 2, 3, 4, 5]


def test_pages_and_streams_give_all_in_order(told: Connection, store: MemoryStore) -> None:
    everything = Selection()
    newest = history.page(told, store, everything, limit=3, newest_first=True)
    assert [entry.recorded.position for entry in newest] == [14, 13, 12]
    assert len(list(history.stream(told, store, everything))) == len(EVENTS)
    assert [e.recorded.position for e in history.stream(told, store, everything.from_after(4), limit=2)] == [5, 6]


def test_an_entry_has_names_a_sentence_and_what_was_erased(told: Connection, store: MemoryStore) -> None:
    entries = {entry.recorded.position: entry for entry in history.stream(told, store, Selection())}
    assert entries[5].sentence == "service:test made ada a member of P1."
    assert entries[13].sentence == "service:test removed experiment P1 with its sessions and memberships."
    assert (entries[14].actor, entries[14].erased) == ("(erased)", ())
    assert set(entries[9].erased) == {"label", "info", "identity", "volumes", "workdir", "account"}
    assert entries[7].erased == ()


def test_the_cause_is_the_event_before(connection: Connection) -> None:
    first, second, third = History().record(BESIDE, started(BESIDE), stopped(BESIDE))
    caused = [first, replace(second, causation_id=first.id), third]
    apply(audit.Audit(), connection, caused)
    assert [entry.cause for entry in history.told(connection, caused)] == [None, first.position, None]


def test_events_of_a_newer_program_are_told_by_their_topic(connection: Connection) -> None:
    topic = "calipso.container.ContainerDreamed"
    data = {"container_id": str(BESIDE.container_id), "user_id": "nobody's", "experiment_id": 7}
    unknown = Unreadable(stored_topic=topic, reason="unknown event type", data=data)
    recorded = Recorded(
        id=uuid4(), stream=BESIDE.container_id, version=3, position=3, time=BEGIN, actor="user:nobody's",
        correlation_id=uuid4(), causation_id=uuid4(), event=unknown,
    )  # fmt: skip
    apply(audit.Audit(), connection, [*History().record(BESIDE, started(BESIDE)), recorded])
    assert topics_of_kind(connection, "container") == [topic, BESIDE.topic(), ContainerStarted.topic()]
    wanted = select(Question(type=topic), connection, MemoryStore(Codec(MemorySubjectKeys())), NAMING)
    assert positions(connection, wanted, limit=9) == [3]
    assert positions(connection, Selection(experiment_id=NAMING.experiment("P1")), limit=9) == [1, 2, 3]
    (entry,) = history.told(connection, [recorded])
    assert entry.sentence == f"user:nobody's did something that this program does not know ({topic}): {unknown.reason}."


def test_the_types_of_a_kind_stand_together_whatever_the_language_of_the_database(connection: Connection) -> None:
    claimed = UserNameClaimed(name_id=NAMING.user_name("ada"), user_id=ADA)
    events = History().record(user_registered(ADA), claimed, user_logged_in(ADA), role_granted(ADA), user_erased(ADA))
    apply(audit.Audit(), connection, events)
    names = [topic.rpartition(".")[2] for topic in topics_of_kind(connection, "user")]
    assert names == ["RoleGranted", "UserErased", "UserLoggedIn", "UserRegistered"]
    assert topics_of_kind(connection, "user_name") == [claimed.topic()]
    assert topics_of_kind(connection, "use") == []
