"""What people read holds no secret, whatever the text around it."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calipso import secrecy, settings
from calipso.secrecy import hide, hide_passwords


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrecy, "_known", {})


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://calipso:CANARY@db/calipso",
        "mysql://guacamole:CANARY@db:3306/guacamole?charset=utf8",
        "nats://CANARY@nats:4222",
        "tls://relay:CANARY@a:4222,tls://relay:CANARY@b:4222",
        "host=db password=CANARY user=x",
        "host=db password='CAN ARY CANARY' user=x",
        "invalid dsn: postgresql://calipso:CAN@ARY/CANARY@db/calipso",
        "https://host/token?client_secret=CANARY&x=1",
    ],
)
def test_passwords_are_hidden_where_passwords_stand(text: str) -> None:
    assert "CANARY" not in hide_passwords(text)
    assert "********" in hide_passwords(text)


@pytest.mark.parametrize("text", ["ada@example.org wrote", "a key is a thing", "1 = 1", "https://host/path?x=1", ""])
def test_what_is_no_secret_stays(text: str) -> None:
    assert hide(text) == text


@given(before=st.text(max_size=50), after=st.text(max_size=50))
def test_a_known_secret_is_hidden_anywhere(before: str, after: str) -> None:
    secrecy.remember(["a-known-secret"])
    assert "a-known-secret" not in hide(f"{before}a-known-secret{after}")


def test_a_secret_within_a_secret() -> None:
    secrecy.remember(["abcdef", "abcdefghij"])
    assert hide("abcdefghij") == "********"


@pytest.mark.parametrize("part", ["a", "://", "a://", "x@", "key=", "token ", "'\\", "a://b@"])
def test_no_text_of_a_stranger_takes_long(part: str) -> None:
    began = time.process_time()
    hide(part * (100_000 // len(part)))
    assert time.process_time() - began < 2


def test_the_settings_tell_all_their_secrets() -> None:
    given = settings.load(
        database_url="postgresql://calipso:p%40ss-of-db@db/calipso",
        guacamole_database_url="mysql://guacamole:pass-of-guacamole@db/guacamole",
        nats_url="nats://token-of-nats@nats:4222,nats://relay:pass-of-nats@other:4222",
        master_keys="1:MASTERKEY==",
        proxy_secret="secret-of-proxy",
        oidc_rp_client_secret="secret-of-oidc",
        local_access_password="password-of-ours",
        icat_password="password-of-icat",
    )
    told = set(given.secrets())
    assert {"p@ss-of-db", "p%40ss-of-db", "pass-of-guacamole", "token-of-nats", "pass-of-nats", "MASTERKEY=="} <= told
    assert {"secret-of-proxy", "secret-of-oidc", "password-of-ours", "password-of-icat"} <= told
