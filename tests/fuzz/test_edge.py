"""Whatever comes in at the edge: it is understood, or refused in our own words; nothing else is ever raised.

CALIPSO_FUZZ_EXAMPLES says how many examples each parser gets (300 by default, so that it is soon over).
"""

import io
import os
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nats.aio.msg import Msg
from sanic.exceptions import BadRequest

from calipso import sizes
from calipso.api.auth import parse_basic
from calipso.api.entering import read_account
from calipso.bus.dead_letters import _event_of
from calipso.bus.queue import Delivery, Queue
from calipso.cli.csv_rows import CsvFile
from calipso.commands.connection import check_parameters
from calipso.credentials import parse_master_keys
from calipso.data_set_path import format_data_set_path, parse_data_set_path
from calipso.errors import CalipsoError
from calipso.events.values import Protocol, Volume
from calipso.runtimes.service import _read
from calipso.secrecy import hide
from tests.api.test_proxies import PROXY, origin

EXAMPLES = int(os.environ.get("CALIPSO_FUZZ_EXAMPLES", "300"))
fuzzed = settings(max_examples=EXAMPLES)

# texts of people, and texts that are nearly right
NEARLY = st.text(alphabet="0123456789.,+-eEGMKTB \t\n\0٣²", max_size=30)
TEXT = st.text(max_size=200) | NEARLY
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)
FOLDER = st.text(alphabet="/abc.~\\'\"\0 ${}", max_size=20)
PLACES = st.dictionaries(FOLDER, JSON | st.fixed_dictionaries({"bind": FOLDER | JSON, "mode": TEXT | JSON}), max_size=4)


def refused_or(parse: Callable[[], Any]) -> Any:  # noqa: ANN401 - what the parser gives
    """What a parser gives, None when it refuses; any other error is a failure of the test."""
    try:
        return parse()
    except (BadRequest, CalipsoError):
        return None


@fuzzed
@given(TEXT)
def test_sizes(text: str) -> None:
    size = refused_or(lambda: sizes.parse_size(text, "memory"))
    assert size is None or 0 <= size <= 2**50
    cpus = refused_or(lambda: sizes.parse_cpus(text, "cpu"))
    assert cpus is None or 0 <= cpus < 10**9


@fuzzed
@given(TEXT | PLACES.map(str) | JSON.map(repr) | PLACES.map(lambda value: msgspec.json.encode(value).decode()))
def test_data_set_path(text: str) -> None:
    volumes: tuple[Volume, ...] | None = refused_or(lambda: parse_data_set_path(text))
    for volume in volumes or ():
        assert volume.source.startswith("/")
        assert volume.bind.strip("/")
        assert "\0" not in volume.source + volume.bind
    if volumes:
        assert parse_data_set_path(format_data_set_path(volumes)) == volumes


@pytest.mark.parametrize("text", ["[" * 9000, "{'a':" * 1900, "-" * 9000, "(" * 9000, "1" * 9999, "'" + "\\" * 9000])
def test_data_set_path_of_great_depth(text: str) -> None:
    began = time.process_time()
    assert refused_or(lambda: parse_data_set_path(text)) is None
    assert time.process_time() - began < 5


@fuzzed
@given(st.binary(max_size=300) | st.text(alphabet='ab,;"\r\n\0\ufeff', max_size=200).map(str.encode))
def test_csv(content: bytes) -> None:
    def read() -> int:
        rows = list(CsvFile(io.BytesIO(b"name,uid\n" + content), ["name"], ["uid"]))
        for row in rows:
            assert row.fault is not None or set(row.values) <= {"name", "uid"}
        return len(rows)

    refused_or(read)
    refused_or(lambda: list(CsvFile(io.BytesIO(content), ["name"])))


@fuzzed
@given(st.text(max_size=200) | st.binary(max_size=60).map(lambda raw: f"Basic {raw.hex()}"))
def test_authorization(header: str) -> None:
    given_by = refused_or(lambda: parse_basic(header))
    assert given_by is None or len(given_by) == 2


@fuzzed
@given(st.text(max_size=300))
def test_links_of_desktops(text: str) -> None:
    refused_or(lambda: read_account(text))


FORWARDED = ("For", "Host", "Proto", "Prefix")
HOSTS = st.text(alphabet="aZ0.:-_[]/@ \\\t%é", max_size=40)


@fuzzed
@given(st.dictionaries(st.sampled_from(["Host", *(f"X-Forwarded-{name}" for name in FORWARDED)]), HOSTS))
def test_headers_of_proxies(headers: dict[str, str]) -> None:
    found = refused_or(lambda: origin(PROXY, *headers.items()))
    if found is not None:
        for text in (found.host, found.prefix, found.scheme, found.client):
            assert not set(text) & set("/@ \\\t\r\n") - set("/")
        assert "//" not in found.prefix


@fuzzed
@given(st.binary(max_size=200) | JSON.map(msgspec.json.encode))
def test_messages_of_the_bus(payload: bytes) -> None:
    client: Any = SimpleNamespace()
    delivery = Delivery(Msg(_client=client, data=payload), Queue(durable="d", stream="S", subjects=()))
    try:
        _read(delivery)
    except (msgspec.DecodeError, LookupError, ValueError, TypeError, AttributeError):
        pass  # what the service buries
    else:
        pytest.fail("what nobody wrote is no message of ours")
    assert _event_of(payload)[1] is None


@fuzzed
@given(st.sampled_from(Protocol), st.dictionaries(st.text(max_size=9) | st.just("username"), st.text(), max_size=3))
def test_parameters_of_connections(protocol: Protocol, parameters: dict[str, str]) -> None:
    refused_or(lambda: check_parameters(protocol, parameters))


@fuzzed
@given(st.text(max_size=200) | st.text(alphabet="12:\n=AB", max_size=60))
def test_master_keys(text: str) -> None:
    keys = refused_or(lambda: parse_master_keys(text))
    assert keys is None or all(len(key) == 32 for key in keys.keys.values())


@fuzzed
@given(st.text(max_size=300) | st.text(alphabet="a:/@='\\ ", max_size=300))
def test_hiding(text: str) -> None:
    assert hide(hide(text)) == hide(text)
