"""Values of the wire: what is understood, and what is refused with the name of its field."""

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calipso import sizes
from calipso.api import wire
from calipso.errors import Invalid, NotFound

JSON_VALUES = st.one_of(st.none(), st.text(), st.integers(), st.floats(allow_nan=False))


@pytest.mark.parametrize(
    ("value", "switch"),
    [(True, True), (False, False), (1, True), (0, False), ("1", True), ("0", False), ("true", True), ("False", False)],
)
def test_switches(value: bool | int | str, switch: bool) -> None:
    assert wire.read_switch(value, "favorite") is switch


@given(st.one_of(st.booleans(), st.integers(), st.text()))
def test_any_other_switch_is_refused_by_name(value: bool | int | str) -> None:
    try:
        assert wire.read_switch(value, "favorite") is (str(value).strip().lower() in {"1", "true"})
    except Invalid as error:
        assert error.field == "favorite"  # noqa: PT017 - either of two outcomes is right
        assert str(value).strip().lower() not in {"1", "0", "true", "false"}


@given(st.integers(0, 2**20))
def test_whole_gibibytes_survive_both_directions(number: int) -> None:
    size = number * sizes.GIB
    assert wire.read_size(sizes.format_size(size), "memory") == size
    if size:
        assert wire.read_size(size, "memory") == size


@pytest.mark.parametrize("value", [None, "", "3 GB", "-1G", "1.5G", -1, 1.5, 3, "3", "1048575", 2**60, "9999999T"])
def test_no_sizes(value: wire.Number) -> None:
    with pytest.raises(Invalid, match="memory"):
        wire.read_size(value, "memory")


@given(st.integers(0, 999_999), st.integers(0, 999))
def test_processors_are_read_from_numbers_and_texts(whole: int, thousandths: int) -> None:
    assert wire.read_cpus(whole, "cpu") == wire.read_cpus(str(whole), "cpu") == whole * 1000
    assert wire.read_cpus(f"{whole}.{thousandths:03}", "cpu") == whole * 1000 + thousandths


@given(JSON_VALUES)
def test_any_number_is_read_or_refused_by_name(value: wire.Number) -> None:
    for read in (wire.read_count, wire.read_cpus, wire.read_size):
        with contextlib.suppress(Invalid):
            assert 0 <= read(value, "x") <= 2**50
    with contextlib.suppress(Invalid):
        assert 0 <= wire.read_count(value, "x") <= 10**6


@given(st.text())
def test_any_part_of_a_path_is_read_or_names_nothing(text: str) -> None:
    with contextlib.suppress(NotFound):
        assert "\0" not in wire.read_name("image", text)
        assert "/" not in wire.read_name("image", text)
    with contextlib.suppress(NotFound):
        assert 0 <= wire.read_id("favorite", text) < 2**63


@pytest.mark.parametrize("text", ["a\0b", "a\nb", "x" * 2001])
def test_no_texts(text: str) -> None:
    with pytest.raises(Invalid, match="image"):
        wire.read_text(text, "image")


def test_json_is_compact_and_not_escaped() -> None:
    answer = wire.json({"a": 1, "b": ["é"]}, status=201)
    assert (answer.status, answer.body) == (201, '{"a":1,"b":["é"]}'.encode())
    assert answer.content_type == "application/json"
    assert msgspec.json.decode(answer.body or b"") == {"a": 1, "b": ["é"]}
