"""How the rows of a CSV file are read, and what is said of those that cannot be."""

import io

import pytest

from calipso.cli.csv_rows import CsvFile
from calipso.errors import Invalid

COLUMNS = ("name", "text")
LONG = 100_000

pytestmark = pytest.mark.unit


def rows(content: bytes, *, optional: tuple[str, ...] = ()) -> list[tuple[int, object]]:
    """Each row's line with its values, or with what is wrong."""
    found = CsvFile(io.BytesIO(content), COLUMNS, optional)
    return [(row.line, str(row.fault) if row.fault else tuple(row.values.values())) for row in found]


@pytest.mark.parametrize(
    "content",
    [
        b"name,text\na,x\nb,y\n",
        b"\xef\xbb\xbfname,text\na,x\nb,y",
        b"name,text\r\na,x\r\nb,y\r\n",
        b"name,text\ra,x\rb,y\r",
        b'"name"," text "\n"a",x\nb," y "\n',
    ],
)
def test_forms_of_one_file(content: bytes) -> None:
    assert rows(content) == [(2, ("a", "x")), (3, ("b", "y"))]


def test_columns_stand_in_any_order_and_some_may_be_left_out() -> None:
    found = CsvFile(io.BytesIO(b"more,text,name\n1,x,a\n"), COLUMNS, ("more", "most"))
    assert [row.values for row in found] == [{"name": "a", "text": "x", "more": "1"}]


def test_quoted_texts_have_lines_quotes_and_commas() -> None:
    content = 'name,text\na,"one\r\ntwo, ""three"""\n\nb,ä\n'.encode()
    assert rows(content) == [(2, ("a", 'one\ntwo, "three"')), (5, ("b", "ä"))]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"a", "text: missing: the line has 1 fields, the header 2"),
        (b"a,b,c,d", "text: more fields follow: the line has 4 fields, the header 2"),
        (b"a,caf\xe9", "text: is not UTF-8: byte 0xE9"),
        (b"\xc3,b", "name: is not UTF-8: byte 0xC3"),
        (b"a,b\0c", "text: has a NUL byte"),
        (b'a,"b" c', "text: a quote is out of place: ',' expected after '\"'"),
        (b'"a"b,c', "text: a quote is out of place: ',' expected after '\"'"),
        (b"a," + b"x" * LONG, "text: the line is longer than 100000 characters"),
        (b"x" * 3 * LONG + b",b", "name: the line is longer than 100000 characters"),
        (b'a,"' + b"x\n" * LONG + b'"', "text: the line is longer than 100000 characters (lines 3 to 100003)"),
        (b'a,"b\nc" d', "text: a quote is out of place: ',' expected after '\"' (lines 3 to 4)"),
    ],
)
def test_a_bad_line_is_named_and_the_next_follows(line: bytes, fault: str) -> None:
    found = rows(b"name,text\ngood,1\n" + line + b"\ngood,2\n")
    assert found == [(2, ("good", "1")), (3, fault), (4 + line.count(b"\n"), ("good", "2"))]


@pytest.mark.parametrize("size", [1, LONG])
def test_a_quote_that_is_not_closed(size: int) -> None:
    found = rows(b'name,text\na,x\nb,"' + b"y" * size + b"\nc,z\n")
    assert found == [(2, ("a", "x")), (3, "text: the quote that opens here is not closed; nothing behind it was read")]


def test_what_stands_within_quotes_is_never_a_row() -> None:
    inner = b"evil,1\n" * LONG
    found = rows(b'name,text\na,"' + inner + b'"\nb,y\n')
    assert [line for line, _ in found] == [2, 3 + LONG]
    assert found[1][1] == ("b", "y")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "header: the file is empty; its first line must be name,text"),
        (b"\xef\xbb\xbf\n\n", "header: the file is empty; its first line must be name,text"),
        (b"a,x\n", "header: missing columns: name, text; unknown columns: 'a', 'x'"),
        (b"name,title\n", "header: missing columns: text; unknown columns: 'title'"),
        (b"name,text,name\n", "header: columns that stand twice: 'name'"),
        (b"name;text\na;b\n", "header: its columns are divided by semicolons; only commas divide columns"),
        (b"name\ttext\n", "header: its columns are divided by tabs; only commas divide columns"),
        ("name,text\n".encode("utf-16"), "header: the file is not UTF-8 text"),
        (b'"name,text\n', "header: cannot be read: unexpected end of data"),
        (b"x" * 2 * LONG, "header: cannot be read: the line is longer than 100000 characters"),
    ],
)
def test_a_header_that_is_none(content: bytes, fault: str) -> None:
    with pytest.raises(Invalid) as caught:
        rows(content)
    assert str(caught.value) == fault
