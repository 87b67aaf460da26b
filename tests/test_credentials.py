import base64
from uuid import UUID, uuid4

import pytest

from calipso.credentials import (
    KEY_BYTES,
    MasterKeys,
    generate_key_line,
    guacamole_hash,
    guacamole_password,
    guacamole_salt,
    guacamole_username,
    parse_master_keys,
    vnc_password,
)
from calipso.errors import Invalid

CONTAINER = UUID("22222222-2222-4222-8222-222222222222")
KEYS = MasterKeys({1: bytes(range(KEY_BYTES)), 2: bytes(range(1, KEY_BYTES + 1))})
KEY = base64.b64encode(bytes(KEY_BYTES)).decode()


def test_credentials_never_change() -> None:
    # containers that run were given these: another derivation would lock everybody out
    assert vnc_password(KEYS, 1, CONTAINER) == "fOCeQYcF"
    assert guacamole_username(CONTAINER) == "7c1e2e5017325c407f88dad4762c3788"
    assert guacamole_password(KEYS, 1, CONTAINER) == "6hSOvl0FW5MkkogiB6PBzMJa8uQETcffNpQOoXz0"
    assert (
        guacamole_salt(KEYS, 1, CONTAINER).hex() == "60345626952a11b1c72110f964554561be729a4af23a8f3548802c114994061d"
    )


def test_credentials_differ_by_container_key_and_purpose() -> None:
    other = uuid4()
    assert len({vnc_password(KEYS, n, c) for n in (1, 2) for c in (CONTAINER, other)}) == 4
    assert len({guacamole_password(KEYS, n, c) for n in (1, 2) for c in (CONTAINER, other)}) == 4
    assert guacamole_username(other) != guacamole_username(CONTAINER)
    assert not guacamole_password(KEYS, 1, CONTAINER).startswith(vnc_password(KEYS, 1, CONTAINER))


@pytest.mark.parametrize("container_id", [uuid4() for _ in range(20)])
def test_passwords_pass_every_parameter_unchanged(container_id: UUID) -> None:
    vnc, guacamole = vnc_password(KEYS, 1, container_id), guacamole_password(KEYS, 1, container_id)
    assert (len(vnc), len(guacamole)) == (8, 40)
    assert (vnc + guacamole).isascii()
    assert (vnc + guacamole).isalnum()
    name = guacamole_username(container_id)
    assert len(name) == 32
    assert name == name.lower()


def test_the_hash_is_the_one_of_guacamole() -> None:
    # the account that Guacamole's own schema script creates
    salt = bytes.fromhex("FE24ADC5E11E2B25288D1704ABE67A79E342ECC26064CE69C5B3177795A82264")
    expected = "CA458A7D494E3BE824F5E1E175A1556C0F8EEF2C2D7DF3633BEC4A29C4411960"
    assert guacamole_hash("guacadmin", salt).hex().upper() == expected


def test_the_highest_number_is_current() -> None:
    assert KEYS.current == 2
    assert MasterKeys({7: b"", 3: b""}).current == 7


def test_a_key_that_is_gone_is_named() -> None:
    with pytest.raises(KeyError, match="3"):
        vnc_password(KEYS, 3, CONTAINER)


def test_generated_lines_are_read() -> None:
    keys = parse_master_keys(generate_key_line() + "\n" + generate_key_line(2))
    assert keys.keys.keys() == {1, 2}
    assert all(len(key) == KEY_BYTES for key in keys.keys.values())
    assert keys.keys[1] != keys.keys[2]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n \n",
        KEY,
        f"one:{KEY}",
        f"-1:{KEY}",
        f"1:{KEY}\n1:{KEY}",
        f"1:{KEY}\n2:",
        f"1:{KEY[:-4]}",
        "1:not base64!",
        "1:schlüssel",
    ],
)
def test_a_faulty_key_file_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_master_keys(text)
    assert caught.value.field == "master_keys"
    assert KEY not in str(caught.value)
