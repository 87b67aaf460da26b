"""Sizes, processor shares and volume texts at the edge."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calipso import sizes
from calipso.data_set_path import format_data_set_path, parse_data_set_path
from calipso.errors import Invalid
from calipso.events.values import Mode, Volume


@pytest.mark.parametrize(("text", "size"), [("3G", 3 * 2**30), ("512m", 2**29), ("7", 7), ("0G", 0), (" 1T ", 2**40)])
def test_sizes(text: str, size: int) -> None:
    assert sizes.parse_size(text, "memory") == size


@pytest.mark.parametrize("text", ["", "G", "-1G", "1.5G", "1GB", "1 G", "9" * 20, "٣G", "1025T"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(Invalid, match="memory"):
        sizes.parse_size(text, "memory")


@pytest.mark.parametrize(("text", "millicores"), [("2", 2000), ("0.5", 500), ("1.25", 1250), ("0", 0)])
def test_processors(text: str, millicores: int) -> None:
    assert sizes.parse_cpus(text, "cpu") == millicores


@pytest.mark.parametrize("text", ["", "two", "-1", "1.2345", "1e3", "."])
def test_no_processors(text: str) -> None:
    with pytest.raises(Invalid, match="cpu"):
        sizes.parse_cpus(text, "cpu")


@given(st.integers(0, 10**6))
def test_whole_gibibytes_survive_the_wire(number: int) -> None:
    assert sizes.parse_size(sizes.format_size(number * sizes.GIB), "memory") == number * sizes.GIB


def test_a_data_set_path_is_read_with_double_or_single_quotes() -> None:
    expected = (Volume(source="/data/p1", bind="/p1", mode=Mode.READ_ONLY),)
    assert parse_data_set_path('{"/data/p1": {"bind": "/p1", "mode": "ro"}}') == expected
    assert parse_data_set_path("{'/data/p1': {'bind': '/p1', 'mode': 'ro'}}") == expected
    assert parse_data_set_path(format_data_set_path(expected)) == expected
    assert parse_data_set_path("") == ()


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{",
        '{"relative": {"bind": "/p"}}',
        '{"/a": {"bind": "/p", "mode": "x"}}',
        '{"/a": "/p"}',
        '{"/a": {"bind": ""}}',
        "__import__('os').system('true')",
        "[" * 5000,
        "x" * 20_000,
    ],
)
def test_no_data_set_path(text: str) -> None:
    with pytest.raises(Invalid, match="data_set_path"):
        parse_data_set_path(text)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(Invalid):
        assert all(volume.source.startswith("/") for volume in parse_data_set_path(text))
