import json
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints
from uuid import uuid4

import msgspec
import pytest

from calipso.codec import Codec, public_data
from calipso.events import container, quota, user
from calipso.events.envelope import EVENT_TYPES, PRIVATE, Event, Unreadable, personal_fields, public_fields
from calipso.events.values import FailureReason, Identity
from calipso.vault import MemorySubjectKeys
from tests.events.samples import PLACEMENT, REQUEST, SAMPLES, USER

REGISTERED = user.UserRegistered(user_id=USER, name="ada.müller", uid=1000, gid=1001)
FAILED = container.ContainerFailed(
    container_id=REQUEST.container_id,
    user_id=USER,
    target="docker-a",
    reason=FailureReason.CRASHED,
    detail="exit code 1",
    log=("no display",),
)
SECRETS = ("password", "passwd", "secret", "token", "credential", "private_key")


@pytest.fixture
def keys() -> MemorySubjectKeys:
    return MemorySubjectKeys()


@pytest.fixture
def codec(keys: MemorySubjectKeys) -> Codec:
    return Codec(keys)


def encode(codec: Codec, event: Event) -> bytes:
    return codec.encode(event, actor="service:test", correlation_id=uuid4(), causation_id=uuid4())


def changed(state: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    body = msgspec.json.decode(state)
    change(body)
    return msgspec.json.encode(body)


def leaves(value: object) -> Iterator[str]:
    """The texts in a JSON value that are long enough to be found by chance nowhere else."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, str) and len(value) > len("vnc"):
        yield value


def all_fields(of_type: Any) -> Iterator[str]:  # noqa: ANN401 - any annotation
    """The names of the fields of a type, and of the types that these are made of."""
    if is_dataclass(of_type):
        for name, hint in get_type_hints(of_type).items():
            if name in {f.name for f in fields(of_type)}:
                yield name
                yield from all_fields(hint)
    for argument in get_args(of_type):
        yield from all_fields(argument)


@pytest.mark.parametrize("event", SAMPLES.values(), ids=SAMPLES)
def test_what_is_encoded_is_decoded(codec: Codec, event: Event) -> None:
    correlation, causation = uuid4(), uuid4()
    state = codec.encode(event, actor="service:test", correlation_id=correlation, causation_id=causation)
    decoded = codec.decode(event.topic(), state)
    assert decoded.event == event
    assert (decoded.actor, decoded.correlation_id, decoded.causation_id) == ("service:test", correlation, causation)


@pytest.mark.parametrize("event", SAMPLES.values(), ids=SAMPLES)
def test_personal_fields_are_not_in_the_bytes(codec: Codec, event: Event) -> None:
    plain = msgspec.to_builtins(event)
    text = json.dumps(json.loads(encode(codec, event)), ensure_ascii=False)
    told = set(leaves(plain.get("session")))  # a session's own reference is no secret
    for name in personal_fields(event.topic()):
        assert not [leaf for leaf in leaves(plain[name]) if leaf not in told and f'"{leaf}"' in text]
        assert f'"{name}": {{"sealed": ' in text


def test_numbers_of_a_person_are_sealed_too(codec: Codec) -> None:
    data = json.loads(encode(codec, REGISTERED))["data"]
    assert set(data) == {"user_id", "name", "uid", "gid"}
    assert all(set(data[name]) == {"sealed"} for name in ("name", "uid", "gid"))


def test_an_erased_subject_reads_as_declared(codec: Codec, keys: MemorySubjectKeys) -> None:
    states = [(event.topic(), encode(codec, event)) for event in (REGISTERED, REQUEST, FAILED)]
    keys.destroy(USER)
    registered, request, failed = (codec.decode(topic, state).event for topic, state in states)
    assert registered == replace(REGISTERED, name="(erased)", uid=None, gid=None)
    nobody = Identity(uid=65534, gid=65534)
    assert request == replace(REQUEST, label="", info="", volumes=(), workdir="", identity=nobody)
    assert failed == replace(FAILED, detail="", log=())


def test_what_was_stored_before_a_field_was_personal_is_erased_with_it(codec: Codec, keys: MemorySubjectKeys) -> None:
    golden = json.loads((Path(__file__).parent / "events/golden/calipso.quota.QuotaReserved.v1.json").read_text())
    state = json.dumps(golden["stored"]).encode()
    keys.make(USER)
    assert codec.decode(golden["topic"], state).event == SAMPLES["calipso.quota.QuotaReserved.v1"]
    keys.destroy(USER)
    erased = codec.decode(golden["topic"], state).event
    assert isinstance(erased, quota.QuotaReserved)
    assert erased.label == ""


def test_every_erased_value_is_a_value_of_its_field(codec: Codec, keys: MemorySubjectKeys) -> None:
    states = [(event.topic(), encode(codec, event)) for event in SAMPLES.values() if personal_fields(event.topic())]
    keys.destroy(USER)
    assert [codec.decode(topic, state).event.topic() for topic, state in states] == [topic for topic, _ in states]


def test_what_comes_after_an_erasure_is_neither_kept_nor_in_the_way(codec: Codec, keys: MemorySubjectKeys) -> None:
    before = encode(codec, REGISTERED)
    keys.destroy(USER)
    after = encode(codec, FAILED)
    assert b"no display" not in after
    assert codec.decode(FAILED.topic(), after).event == replace(FAILED, detail="", log=())
    assert codec.decode(REGISTERED.topic(), before).event == replace(REGISTERED, name="(erased)", uid=None, gid=None)


def test_an_optional_personal_field_that_came_later_has_its_default(codec: Codec) -> None:
    state = changed(encode(codec, REGISTERED), lambda body: body["data"].pop("uid"))
    assert codec.decode(REGISTERED.topic(), state).event == replace(REGISTERED, uid=None)


def test_an_unknown_topic_is_of_a_newer_program(codec: Codec) -> None:
    with pytest.raises(LookupError, match="newer version of the program"):
        codec.decode("calipso.user.UserDreamed", encode(codec, REGISTERED))


def test_a_newer_version_is_not_guessed(codec: Codec) -> None:
    state = changed(encode(codec, REGISTERED), lambda body: body.update(schema=2))
    with pytest.raises(LookupError, match="version 2 is newer"):
        codec.decode(REGISTERED.topic(), state)


def test_what_a_newer_program_wrote_is_told_by_its_topic_and_plain_fields(codec: Codec) -> None:
    state = encode(codec, REGISTERED)
    unknown = codec.decode_anyway("calipso.user.UserDreamed", state)
    reason = "unknown event type calipso.user.UserDreamed: written by a newer version of the program?"
    data = {"user_id": str(USER)}
    assert unknown.event == Unreadable(stored_topic="calipso.user.UserDreamed", reason=reason, data=data)
    assert unknown.actor == "service:test"
    newer = codec.decode_anyway(REGISTERED.topic(), changed(state, lambda body: body.update(schema=2)))
    assert isinstance(newer.event, Unreadable)
    assert "version 2 is newer" in newer.event.reason
    assert codec.decode_anyway(REGISTERED.topic(), state).event == REGISTERED


def test_bytes_that_are_no_event_at_all_are_told_too(codec: Codec) -> None:
    found = codec.decode_anyway(REGISTERED.topic(), b"nothing")
    assert isinstance(found.event, Unreadable)
    assert (found.actor, found.event.stored_topic, found.event.data) == ("", REGISTERED.topic(), {})


def _swap_name_and_uid(body: dict[str, Any]) -> None:
    body["data"]["name"], body["data"]["uid"] = body["data"]["uid"], body["data"]["name"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda body: body["data"]["name"].update(sealed="AAAA" + body["data"]["name"]["sealed"][4:])),
        pytest.param(lambda body: body["data"]["name"].update(sealed=body["data"]["name"]["sealed"][:-4])),
        pytest.param(lambda body: body["data"]["name"].update(sealed="")),
        pytest.param(lambda body: body["data"]["name"].update(sealed="no base64")),
        pytest.param(lambda body: body["data"].update(name="Ada")),
        pytest.param(lambda body: body["data"].update(name={})),
        pytest.param(lambda body: body["data"].pop("name")),
        pytest.param(lambda body: body["data"].pop("user_id")),
        pytest.param(lambda body: body["data"].update(user_id="Ada")),
        pytest.param(lambda body: body.pop("data")),
        pytest.param(_swap_name_and_uid),
    ],
    ids=[
        "another nonce",
        "cut box",
        "empty box",
        "no base64",
        "not sealed",
        "no box",
        "no field",
        "no subject",
        "no uuid",
        "no data",
        "boxes of other fields",
    ],
)
def test_bytes_that_are_no_event_are_told_from_a_newer_version(
    codec: Codec, change: Callable[[dict[str, Any]], object]
) -> None:
    state = changed(encode(codec, REGISTERED), change)
    with pytest.raises(ValueError, match=r".+"):
        codec.decode(REGISTERED.topic(), state)


def test_a_box_of_another_subject_is_not_read(codec: Codec) -> None:
    other = json.loads(encode(codec, replace(REGISTERED, user_id=uuid4())))["data"]["name"]
    state = changed(encode(codec, REGISTERED), lambda body: body["data"].update(name=other))
    with pytest.raises(ValueError, match="name cannot be read with the subject's key"):
        codec.decode(REGISTERED.topic(), state)


@pytest.mark.parametrize("event", SAMPLES.values(), ids=SAMPLES)
def test_what_is_published_is_neither_personal_nor_private(event: Event) -> None:
    hidden = {f.name for f in fields(event) if f.metadata.keys() & {PRIVATE}} | personal_fields(event.topic()).keys()
    data, plain = public_data(event), msgspec.to_builtins(event)
    assert data.keys() == plain.keys() - hidden
    text = json.dumps(data, ensure_ascii=False)
    told = set(leaves(plain.get("session")))  # a session's own reference is no secret
    assert not [x for name in hidden for x in leaves(plain[name]) if x not in told and f'"{x}"' in text]


def test_where_a_container_is_reached_is_not_published() -> None:
    started = next(event for event in SAMPLES.values() if isinstance(event, container.ContainerStarted))
    assert started.placement == PLACEMENT
    assert PLACEMENT.host not in json.dumps(public_data(started))


@pytest.mark.parametrize("topic", EVENT_TYPES)
def test_no_event_has_a_place_for_a_secret(topic: str) -> None:
    names = set(all_fields(EVENT_TYPES[topic]))
    assert names >= set(public_fields(topic))
    assert not [name for name in names if any(word in name for word in SECRETS)]


@pytest.mark.parametrize("topic", EVENT_TYPES)
def test_the_subject_of_a_personal_field_is_a_public_field(topic: str) -> None:
    assert set(personal_fields(topic).values()) <= set(public_fields(topic))
