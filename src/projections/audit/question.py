"""What somebody asks the history, in their own words, and the events that it selects."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from calipso.errors import Invalid, NotFound
from calipso.events.envelope import EVENT_TYPES, History
from calipso.events.naming import Naming, parse_uuid
from calipso.projections import containers, users
from calipso.projections.audit import names_of, selection
from calipso.projections.audit.selection import Selection

_DIGITS_LIMIT = 18


@dataclass(frozen=True, kw_only=True)
class Question:
    """The words of a question; an empty one, and None, stand for no condition.

    `stream` and `correlation` are uuids; `user` is a name or a uuid, `experiment` a public number or a uuid,
    `container` a name, a uuid or an integer id; `kind` and `type` are words of the events' topics; `actor` is a user's
    name or an actor as the history names it, such as `service:command-line`. The period begins at `since` and ends with
    `until`.
    """

    stream: str = ""
    user: str = ""
    experiment: str = ""
    container: str = ""
    kind: str = ""
    type: str = ""
    actor: str = ""
    correlation: str = ""
    since: datetime | None = None
    until: datetime | None = None


def select(question: Question, connection: Connection, history: History, naming: Naming) -> Selection:
    """The selection that a question means.

    Args:
        question: the words.
        connection: of the read models' database.
        history: knows which position belongs to a time.
        naming: makes the uuids of experiments.

    Raises:
        Invalid: a word is not of its form.
        NotFound: nothing has ever had this name.
    """
    return Selection(
        stream=_stream(connection, question.stream) if question.stream else None,
        user_id=user_of(connection, question.user) if question.user else None,
        experiment_id=experiment_of(connection, question.experiment, naming) if question.experiment else None,
        container_id=container_of(connection, question.container) if question.container else None,
        actor=_actor(connection, question.actor) if question.actor else None,
        correlation_id=_uuid(question.correlation, "correlation") if question.correlation else None,
        topics=_topics(connection, question.kind, question.type),
        # events at the very moment of the beginning are in the period
        after=history.position_at(_before(question.since)) if question.since else 0,
        until=history.position_at(question.until) if question.until else selection.LAST,
    )


def user_of(connection: Connection, text: str) -> UUID:
    """The account of a name or a uuid.

    Raises:
        NotFound: there never was one, or the name was erased.
    """
    row = users.by_name(connection, text)
    if row is None and (user_id := parse_uuid(text)):
        row = users.by_id(connection, user_id)
    if row is None:
        raise NotFound("user", text)
    return row.user_id


def experiment_of(connection: Connection, text: str, naming: Naming) -> UUID:
    """The experiment of a public number or a uuid, also one that was removed.

    Raises:
        NotFound: there never was one.
    """
    possible = [naming.experiment(text), *filter(None, [parse_uuid(text)])]
    known = names_of(connection, possible)
    found = next((key for key in possible if key in known), None)
    if found is None:
        raise NotFound("experiment", text)
    return found


def container_of(connection: Connection, text: str) -> UUID:
    """The container of a name, a uuid or an integer id.

    Raises:
        NotFound: there never was one.
    """
    if text.isascii() and text.isdecimal() and len(text) <= _DIGITS_LIMIT:
        row = containers.by_id(connection, int(text))
    else:
        row = containers.by_uuid(connection, parse_uuid(text.removeprefix("calipso-")) or UUID(int=0))
    if row is None:
        raise NotFound("container", text)
    return row.container_id


def _before(moment: datetime) -> datetime:
    return moment - datetime.resolution if moment > datetime.min.replace(tzinfo=moment.tzinfo) else moment


def _stream(connection: Connection, text: str) -> UUID:
    stream = _uuid(text, "stream")
    if not selection.exists(connection, stream):
        raise NotFound("stream", text)
    return stream


def _actor(connection: Connection, text: str) -> str:
    return text if ":" in text else f"user:{user_of(connection, text)}"


def _topics(connection: Connection, kind: str, type_: str) -> tuple[str, ...]:
    found = _of_kind(connection, kind) if kind else ()
    if not type_:
        return found
    named = tuple(t for t in (found or EVENT_TYPES) if type_ in {t, t.rpartition(".")[2]})
    if named:
        return named
    # what a newer program wrote can be asked for by its whole topic
    if type_.count(".") == 2 and type_ in selection.topics_of_kind(connection, type_.split(".")[1]):  # noqa: PLR2004
        return (type_,)
    raise Invalid(
        "type", f"{type_[:80]!r} is no event" + (f" of {kind}" if kind else "") + ", such as ContainerStarted"
    )


def _of_kind(connection: Connection, kind: str) -> tuple[str, ...]:
    known = {topic.split(".")[1]: topic for topic in EVENT_TYPES}
    found = tuple(selection.topics_of_kind(connection, kind))
    if not found and kind not in known:
        raise Invalid("kind", f"{kind[:80]!r} is none of {', '.join(sorted(known))}")
    return found or (known[kind],)


def _uuid(text: str, field: str) -> UUID:
    found = parse_uuid(text)
    if found is None:
        raise Invalid(field, f"{text[:80]!r} is not a uuid")
    return found
