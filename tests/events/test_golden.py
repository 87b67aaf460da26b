"""The stored form of every event version, which every later version of the program must read.

A new event, or a new version of one: add an event to SAMPLES in `samples.py` under the name of its file, run
`pytest tests/events --add-golden`, and look at the file that was written. Files that are there are never written again.
"""

import base64
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from tests.events.samples import SAMPLES

from calipso.codec import Codec
from calipso.events.envelope import EVENT_TYPES, Event, personal_fields
from calipso.vault import Sealer

GOLDEN = Path(__file__).parent / "golden"
KEY = bytes(range(32))
CORRELATION = UUID("44444444-4444-4444-8444-444444444444")
CAUSATION = UUID("55555555-5555-4555-8555-555555555555")


class OneKey:
    """Subject keys that are all the same, so that golden boxes can be opened for ever."""

    def look_up(self, _: object) -> None:
        pass

    def of(self, _: UUID) -> bytes:
        return KEY

    def make(self, _: UUID) -> bytes:
        return KEY

    def destroy(self, _: UUID) -> None:
        raise NotImplementedError


CODEC = Codec(OneKey())


def stored_form(event: Event) -> dict[str, Any]:
    state = CODEC.encode(event, actor="service:golden", correlation_id=CORRELATION, causation_id=CAUSATION)
    body: dict[str, Any] = json.loads(state)
    return body


def opened(topic: str, data: Mapping[str, Any], sealed: Collection[str]) -> dict[str, Any]:
    return {
        name: Sealer(KEY).unseal(f"{topic}.{name}", value["sealed"]) if name in sealed else value
        for name, value in data.items()
    }


def holds(newer: object, older: object) -> bool:
    """Whether all that was there is there; optional fields may come without a new version."""
    if isinstance(older, dict) and isinstance(newer, dict):
        return all(name in newer and holds(newer[name], value) for name, value in older.items())
    if isinstance(older, list) and isinstance(newer, list):
        return len(newer) == len(older) and all(map(holds, newer, older))
    return newer == older


def is_current(stem: str) -> bool:
    return stem.partition("-")[0] == current_stem(type(SAMPLES[stem]))


def current_stem(event_type: type[Event]) -> str:
    return f"{event_type.topic()}.v{event_type.schema_version}"


@pytest.fixture(params=SAMPLES)
def stem(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    path = GOLDEN / f"{name}.json"
    if request.config.getoption("--add-golden", default=False) and not path.exists():
        event = SAMPLES[name]
        stored = stored_form(event)
        personal = sorted(personal_fields(event.topic()))
        golden = {"topic": event.topic(), "personal": personal, "plain": msgspec.to_builtins(event), "stored": stored}
        with path.open("x", encoding="utf-8") as file:
            file.write(json.dumps(golden, indent=1, ensure_ascii=False) + "\n")
    return name


def golden_of(stem: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / f"{stem}.json").read_text(encoding="utf-8"))
    return found


def test_every_event_type_has_a_golden_file_of_its_version() -> None:
    current = {current_stem(event_type) for event_type in EVENT_TYPES.values()}
    assert not current - SAMPLES.keys(), "see the docstring of this module"


def test_every_golden_file_has_an_event(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--add-golden", default=False):
        pytest.skip("files are being added")
    assert {path.stem for path in GOLDEN.iterdir()} == SAMPLES.keys()


def test_a_stored_event_is_read(stem: str) -> None:
    golden = golden_of(stem)
    decoded = CODEC.decode(golden["topic"], json.dumps(golden["stored"]).encode())
    assert decoded.event == SAMPLES[stem]
    assert (decoded.actor, decoded.correlation_id, decoded.causation_id) == ("service:golden", CORRELATION, CAUSATION)


def test_the_boxes_of_a_stored_event_hold_its_personal_fields(stem: str) -> None:
    golden = golden_of(stem)
    data = golden["stored"]["data"]
    assert [name for name, value in data.items() if isinstance(value, dict) and "sealed" in value] == [
        name for name in data if name in golden["personal"]
    ]
    assert opened(golden["topic"], data, golden["personal"]) == golden["plain"]


def test_an_event_is_stored_as_it_always_was(stem: str) -> None:
    if not is_current(stem):
        pytest.skip("an older version is only read")
    event, golden = SAMPLES[stem], golden_of(stem)
    stored = stored_form(event)
    assert {**stored, "data": None} == {**golden["stored"], "data": None}
    assert [name for name in sorted(personal_fields(event.topic())) if name in golden["plain"]] == golden["personal"]
    assert holds(opened(event.topic(), stored["data"], personal_fields(event.topic())), golden["plain"])


@pytest.mark.parametrize("topic", [topic for topic in EVENT_TYPES if personal_fields(topic)])
def test_a_sealed_field_shows_nothing_of_its_value(topic: str) -> None:
    golden = golden_of(current_stem(EVENT_TYPES[topic]))
    for name in golden["personal"]:
        box = base64.b64decode(golden["stored"]["data"][name]["sealed"])
        assert json.dumps(golden["plain"][name]).encode() not in box
