"""Log lines become plain text that can be stored and shown."""

import pytest

from calipso.runtimes.docker.answer import log_lines


@pytest.mark.parametrize(
    ("raw", "lines"),
    [
        (b"one\ntwo\n", ("one", "two")),
        (b"one\r\ntwo", ("one", "two")),
        (b"nul \x00 and bell \x07", ("nul  and bell ",)),
        (b"\x1b[31mred\x1b[0m\tand more", ("red\tand more",)),
        (b"not utf-8: \xff", ("not utf-8: \ufffd",)),
        (b"x" * 2000, ("x" * 1000,)),
        (b"", ()),
    ],
)
def test_lines_are_plain_and_bounded(raw: bytes, lines: tuple[str, ...]) -> None:
    assert log_lines(raw, 100) == lines


def test_only_the_last_lines_are_given() -> None:
    assert log_lines(b"1\n2\n3\n", 2) == ("2", "3")
