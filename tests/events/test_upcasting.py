from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID, uuid4

import msgspec
import pytest

from calipso.codec import Codec
from calipso.events import envelope
from calipso.events.envelope import Event, personal
from calipso.vault import MemorySubjectKeys

TOPIC = "calipso.sample.RoomBooked"
Fields = dict[str, Any]


@pytest.fixture(autouse=True)
def _known_events_as_before() -> Iterator[None]:
    known = dict(envelope.EVENT_TYPES)
    yield
    forget(known)


def forget(known: dict[str, type[Event]]) -> None:
    envelope.EVENT_TYPES.clear()
    envelope.EVENT_TYPES.update(known)
    for cached in (envelope.personal_fields, envelope.erased_values, envelope.public_fields):
        cached.cache_clear()


def first_version() -> Callable[..., Event]:
    @dataclass(frozen=True, kw_only=True)
    class RoomBooked(Event):
        kind: ClassVar[str] = "sample"
        user_id: UUID
        room: str
        who: str = personal("user_id", erased="(erased)")

    return RoomBooked


def third_version() -> Callable[..., Event]:
    @dataclass(frozen=True, kw_only=True)
    class RoomBooked(Event):
        kind: ClassVar[str] = "sample"
        schema_version: ClassVar[int] = 3
        user_id: UUID
        building: str
        number: int
        who: str = personal("user_id", erased="(erased)")

        @staticmethod
        def upcast_v1(data: Fields) -> Fields:
            building, _, number = data.pop("room").partition("-")
            return {**data, "building": building, "no": number}

        @staticmethod
        def upcast_v2(data: Fields) -> Fields:
            return {**data, "number": int(data.pop("no"))}

    return RoomBooked


def stored(codec: Codec, event: Event) -> bytes:
    return codec.encode(event, actor="service:test", correlation_id=uuid4(), causation_id=uuid4())


@pytest.fixture
def keys() -> MemorySubjectKeys:
    return MemorySubjectKeys()


@pytest.fixture
def codec(keys: MemorySubjectKeys) -> Codec:
    return Codec(keys)


@pytest.fixture
def user_id() -> UUID:
    return uuid4()


@pytest.fixture
def old_state(codec: Codec, user_id: UUID) -> bytes:
    """An event that a program wrote when there was one version only; that program is gone."""
    known = dict(envelope.EVENT_TYPES)
    state = stored(codec, first_version()(user_id=user_id, room="B-12", who="Ada"))
    forget(known)
    return state


def test_an_old_version_goes_through_every_step(codec: Codec, old_state: bytes, user_id: UUID) -> None:
    newest = third_version()
    event = codec.decode(TOPIC, old_state).event
    assert event == newest(user_id=user_id, building="B", number=12, who="Ada")


def test_a_version_between_goes_through_the_later_steps_only(codec: Codec, old_state: bytes, user_id: UUID) -> None:
    body = msgspec.json.decode(old_state)
    data = body["data"]
    del data["room"]
    between = msgspec.json.encode({**body, "schema": 2, "data": {**data, "building": "C", "no": "7"}})
    newest = third_version()
    assert codec.decode(TOPIC, between).event == newest(user_id=user_id, building="C", number=7, who="Ada")


def test_the_newest_version_is_read_as_it_is(codec: Codec, user_id: UUID) -> None:
    event = third_version()(user_id=user_id, building="B", number=12, who="Ada")
    assert codec.decode(TOPIC, stored(codec, event)).event == event


def test_an_old_version_of_an_erased_subject_is_read(
    codec: Codec, keys: MemorySubjectKeys, old_state: bytes, user_id: UUID
) -> None:
    keys.destroy(user_id)
    newest = third_version()
    assert codec.decode(TOPIC, old_state).event == newest(user_id=user_id, building="B", number=12, who="(erased)")


def test_a_version_that_is_newer_than_the_program_is_not_guessed(codec: Codec, user_id: UUID) -> None:
    known = dict(envelope.EVENT_TYPES)
    event = third_version()(user_id=user_id, building="B", number=12, who="Ada")
    state = stored(codec, event)
    forget(known)
    first_version()
    with pytest.raises(LookupError, match="version 3 is newer than this program's 1"):
        codec.decode(TOPIC, state)


def test_two_types_cannot_have_one_topic() -> None:
    first_version()
    with pytest.raises(TypeError, match=TOPIC):
        first_version()
