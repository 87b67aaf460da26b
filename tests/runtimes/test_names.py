"""Whatever an account is called and an image brings, the files of names name the account, and it alone."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.runtimes.orders import image, order

from calipso.runtimes.names import HOME, lawful_name, names_for

LAWFUL = frozenset(string.ascii_letters + string.digits + "_.@+-")
texts = st.lists(
    st.sampled_from(
        ["root:x:0:0:root:/root:/bin/bash", "pi:x:12345:1::/:/bin/sh", "ada:x:7:7::/:/bin/sh", "broken", ""]
    )
).map("\n".join)


@pytest.mark.parametrize(
    ("account", "name"),
    [
        ("ada", "ada"),
        ("Ada.Lovelace@example.org", "Ada.Lovelace@example.org"),
        ("m\u00fcller", "m_ller"),
        ("0day", "_0day"),
        ("-rf", "_-rf"),
        ("a:0:0:root", "a_0_0_root"),
        ("a\nroot", "a_root"),
        ("x" * 300, "x" * 32),
        ("", "user"),
    ],
)
def test_a_name_as_linux_bears_it(account: str, name: str) -> None:
    assert lawful_name(account) == name


@given(st.text())
def test_every_name_is_lawful(account: str) -> None:
    name = lawful_name(account)
    assert set(name) <= LAWFUL
    assert 0 < len(name) <= 32
    assert name[0].isalpha() or name[0] == "_"


@given(passwd=texts, group=texts)
def test_the_account_is_found_by_number_and_by_name(passwd: str, group: str) -> None:
    request = order(image("x")).request
    names, name = names_for(request, passwd, group), lawful_name(request.account)
    rows = [line.split(":") for line in names.passwd.splitlines()]
    identity = request.identity
    assert [row[:4] + row[5:6] for row in rows if row[0] == name or row[2:3] == [str(identity.uid)]] == [
        [name, "x", str(identity.uid), str(identity.gid), HOME]
    ]
    numbers = {line.split(":")[2] for line in names.group.splitlines() if line.count(":") > 1}
    assert {str(identity.gid), *map(str, identity.groups)} <= numbers
    assert names_for(request, names.passwd, names.group) == names


def test_what_the_image_brings_stays() -> None:
    request = order(image("x")).request
    root = "root:x:0:0:root:/root:/bin/bash"
    names = names_for(request, f"{root}\n", "root:x:0:\nstaff:x:23456:\n")
    assert names.passwd == f"{root}\n{lawful_name(request.account)}:x:12345:23456::{HOME}:/bin/bash\n"
    assert names.group == "root:x:0:\nstaff:x:23456:\ngroup100:x:100:\ngroup34567:x:34567:\n"
