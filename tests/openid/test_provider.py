"""What a provider tells of itself, and its keys: asked for once, believed within bounds."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping

import pytest
from joserfc.jwk import OctKey, RSAKey
from tests.conftest import PATIENCE, find_free_port
from tests.hurry import Hurry
from tests.openid.forger import CLIENT, EC, RSA, SECRET, STRANGER, Forger, Reply, forging, sign, told

from calipso import settings
from calipso.api.outside.http import Outside
from calipso.api.outside.id_tokens import NotVouched
from calipso.api.outside.kept import Kept
from calipso.api.outside.openid import Flow, Provider
from calipso.api.outside.openid_metadata import BadAnswer
from calipso.errors import CalipsoError, Unavailable

FLOW = Flow.begin("https://calipso.example.org/oidc/callback/")
DISCOVERY = "/.well-known/openid-configuration"


@pytest.fixture
def forger() -> Iterator[Forger]:
    with forging(find_free_port()) as made:
        made.reset()
        yield made


@pytest.fixture
async def outside() -> AsyncIterator[Outside]:
    made = Outside(PATIENCE)
    yield made
    await made.close()


def provider_of(outside: Outside, **given: object) -> Provider:
    return Provider(
        settings.load(
            **{"oidc_enabled": True, "oidc_rp_client_id": CLIENT, "oidc_rp_client_secret": SECRET, **given},
        ),
        outside,
    )


@pytest.fixture
def provider(forger: Forger, outside: Outside) -> Provider:
    return provider_of(outside, oidc_op_issuer=forger.issuer)


def explicit(forger: Forger, **given: object) -> dict[str, object]:
    return {
        "oidc_op_authorization_endpoint": f"{forger.issuer}/auth",
        "oidc_op_token_endpoint": f"{forger.issuer}/token",
        "oidc_op_jwks_endpoint": f"{forger.issuer}/jwks",
        **given,
    }


_BAD: Mapping[str, tuple[Reply, type[CalipsoError]]] = {
    "a page": (Reply(body=b"<html>", headers={"Content-Type": "text/html"}), BadAnswer),
    "no such page": (Reply(status=404), BadAnswer),
    "a way to another place": (Reply(status=302, headers={"Location": "/elsewhere"}), BadAnswer),
    "too little": (told({"issuer": "x"}), BadAnswer),
    "another type": (told({"issuer": 7}), BadAnswer),
    "too much": (Reply(body=b" " * 5_000_000), Unavailable),
    "an error": (Reply(status=500), Unavailable),
    "too late": (Reply(seconds=PATIENCE), Unavailable),
}


@pytest.mark.parametrize("kind", _BAD)
async def test_it_tells_nothing_of_itself(provider: Provider, forger: Forger, hurry: Hurry, kind: str) -> None:
    forger.replies[DISCOVERY], error = _BAD[kind]
    hurry("hang" if forger.replies[DISCOVERY].seconds else "")
    with pytest.raises(error):
        await provider.way_in(FLOW)
    forger.reset()
    hurry("")
    assert (await provider.way_in(FLOW)).startswith(f"{forger.issuer}/auth?")  # a failure is not kept


@pytest.mark.parametrize("issuer", ["https://evil.example.org", "ISSUER/", ""])
async def test_it_calls_itself_otherwise(provider: Provider, forger: Forger, issuer: str) -> None:
    forger.replies[DISCOVERY] = told(forger.metadata(issuer=issuer.replace("ISSUER", forger.issuer)))
    with pytest.raises(BadAnswer, match="OIDC_OP_ISSUER"):
        await provider.way_in(FLOW)


@pytest.mark.parametrize(
    "place", ["javascript:alert(1)", "file:///etc/passwd", "", "//host/x", "http://[", "https:///x", "http://x/\r\ny"]
)
@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
async def test_a_place_that_is_none(provider: Provider, forger: Forger, name: str, place: str) -> None:
    forger.replies[DISCOVERY] = told(forger.metadata(**{name: place}))
    with pytest.raises(BadAnswer):
        await provider.way_in(FLOW)


async def test_it_is_not_there(outside: Outside) -> None:
    with pytest.raises(Unavailable):
        await provider_of(outside, oidc_op_issuer=f"http://127.0.0.1:{find_free_port()}").way_in(FLOW)


async def test_it_is_asked_once(provider: Provider, forger: Forger) -> None:
    await asyncio.gather(*(provider.way_in(FLOW) for _ in range(20)))
    assert forger.asked[DISCOVERY] == 1


async def test_all_who_wait_are_told_of_a_failure_at_one_time(provider: Provider, forger: Forger, hurry: Hurry) -> None:
    forger.replies[DISCOVERY] = Reply(seconds=PATIENCE)
    hurry("hang")
    answers = await asyncio.gather(*(provider.way_in(FLOW) for _ in range(20)), return_exceptions=True)
    assert all(isinstance(answer, Unavailable) for answer in answers)
    assert forger.asked[DISCOVERY] == 1


async def test_one_who_goes_away_takes_nothing_from_others(provider: Provider, forger: Forger) -> None:
    forger.replies[DISCOVERY] = Reply(body=forger.replies[DISCOVERY].body, seconds=0.3)
    impatient, patient = (asyncio.create_task(provider.way_in(FLOW)) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    assert (await patient).startswith(forger.issuer)


async def test_a_setting_wins_over_what_is_discovered(forger: Forger, outside: Outside) -> None:
    provider = provider_of(
        outside, oidc_op_issuer=forger.issuer, oidc_op_authorization_endpoint="https://sso.example.org/start?realm=a"
    )
    way = await provider.way_in(FLOW)
    assert way.startswith("https://sso.example.org/start?realm=a&response_type=code&")


async def redeem(provider: Provider, forger: Forger, token: str) -> str:
    forger.hand_out(token)
    return (await provider.redeem(FLOW, "code")).issuer


async def test_explicit_endpoints_are_all_that_is_asked(forger: Forger, outside: Outside) -> None:
    provider = provider_of(outside, **explicit(forger))
    assert await redeem(provider, forger, sign(forger.claims(FLOW.nonce))) == forger.issuer
    assert set(forger.asked) == {"/token", "/jwks"}


async def test_without_an_issuer_one_of_the_same_place_may_vouch(forger: Forger, outside: Outside) -> None:
    provider = provider_of(outside, **explicit(forger))
    issuer = f"{forger.issuer}/realms/a"
    assert await redeem(provider, forger, sign(forger.claims(FLOW.nonce, iss=issuer))) == issuer
    await provider.check_sender(issuer)
    for other in (
        "https://evil.example.org",
        forger.issuer.replace("http:", "https:"),
        "http://127.0.0.1:1",
        "",
        "x",
        "http://[",
    ):
        with pytest.raises(NotVouched):
            await redeem(provider, forger, sign(forger.claims(FLOW.nonce, iss=other)))
        with pytest.raises(NotVouched):
            await provider.check_sender(other)


async def test_with_an_issuer_only_that_one(forger: Forger, outside: Outside) -> None:
    provider = provider_of(outside, **explicit(forger, oidc_op_issuer=forger.issuer))
    assert await redeem(provider, forger, sign(forger.claims(FLOW.nonce))) == forger.issuer
    with pytest.raises(NotVouched):
        await redeem(provider, forger, sign(forger.claims(FLOW.nonce, iss=f"{forger.issuer}/realms/a")))


async def test_it_promises_to_tell_who_it_is(provider: Provider, forger: Forger) -> None:
    forger.replies[DISCOVERY] = told(forger.metadata(authorization_response_iss_parameter_supported=True))
    await provider.check_sender(forger.issuer)
    with pytest.raises(NotVouched):
        await provider.check_sender(None)


async def test_it_makes_no_such_promise(provider: Provider) -> None:
    await provider.check_sender(None)


async def test_new_keys(provider: Provider, forger: Forger) -> None:
    await redeem(provider, forger, sign(forger.claims(FLOW.nonce)))
    fresh = RSAKey.generate_key(2048, {"kid": "fresh"})
    forger.publish(RSA, fresh)
    assert await redeem(provider, forger, sign(forger.claims(FLOW.nonce), fresh, kid="fresh"))
    assert forger.asked["/jwks"] == 2
    for _ in range(5):
        with pytest.raises(NotVouched):
            await redeem(provider, forger, sign(forger.claims(FLOW.nonce), STRANGER, kid="stranger"))
    assert forger.asked["/jwks"] == 2


async def test_keys_that_are_none_are_passed_over(provider: Provider, forger: Forger) -> None:
    good = RSA.as_dict(private=False)
    secret = OctKey.import_key(b"published by mistake", {"kid": "rsa"}).as_dict()
    keys = [None, 7, {}, {"kty": "XX"}, {"kty": "RSA", "n": 7}, {"kty": "EC", "crv": "P-0"}, {"kty": ["RSA"]}]
    forger.replies["/jwks"] = told({"keys": [*keys, secret, good]})
    assert await redeem(provider, forger, sign(forger.claims(FLOW.nonce)))


@pytest.mark.parametrize("published", [{"use": "enc"}, {"alg": "PS256"}, {"alg": "ES256"}])
async def test_keys_for_something_else(provider: Provider, forger: Forger, published: dict[str, str]) -> None:
    forger.replies["/jwks"] = told({"keys": [{**RSA.as_dict(private=False), **published}]})
    with pytest.raises(NotVouched):
        await redeem(provider, forger, sign(forger.claims(FLOW.nonce)))


async def test_two_keys_and_none_is_named(provider: Provider, forger: Forger) -> None:
    forger.publish(RSA, RSAKey.generate_key(2048, {"kid": "other"}), EC)
    with pytest.raises(NotVouched):
        await redeem(provider, forger, sign(forger.claims(FLOW.nonce), kid=None))
    assert await redeem(provider, forger, sign(forger.claims(FLOW.nonce)))


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"keys": 7}', b"[]", b""])
async def test_it_tells_no_keys(provider: Provider, forger: Forger, body: bytes) -> None:
    forger.replies["/jwks"] = Reply(body=body)
    with pytest.raises(BadAnswer):
        await redeem(provider, forger, sign(forger.claims(FLOW.nonce)))


@pytest.mark.parametrize(("algorithm", "refused"), [("RS256", "ES256"), ("ES256", "RS256")])
async def test_one_algorithm_only(forger: Forger, outside: Outside, algorithm: str, refused: str) -> None:
    provider = provider_of(outside, oidc_op_issuer=forger.issuer, oidc_rp_sign_algo=algorithm)
    tokens = {
        "RS256": sign(forger.claims(FLOW.nonce)),
        "ES256": sign(forger.claims(FLOW.nonce), EC, alg="ES256", kid="ec"),
    }
    assert await redeem(provider, forger, tokens[algorithm])
    with pytest.raises(NotVouched, match=algorithm):
        await redeem(provider, forger, tokens[refused])


async def test_hs256_takes_our_secret_and_nothing_else(forger: Forger, outside: Outside) -> None:
    provider = provider_of(outside, oidc_op_issuer=forger.issuer, oidc_rp_sign_algo="HS256")
    claims = forger.claims(FLOW.nonce)
    assert await redeem(provider, forger, sign(claims, OctKey.import_key(SECRET), alg="HS256"))
    for token in (sign(claims, OctKey.import_key("some other secret"), alg="HS256"), sign(claims)):
        with pytest.raises(NotVouched):
            await redeem(provider, forger, token)


async def test_the_way_out(forger: Forger, outside: Outside) -> None:
    provider = provider_of(outside, **explicit(forger, oidc_op_logout_endpoint="https://sso.example.org/out?realm=a"))
    way = await provider.way_out("x" * 3000, "https://portal.example.org/?a=b&c")
    assert way.startswith("https://sso.example.org/out?realm=a&client_id=calipso&post_logout_redirect_uri=")
    assert way.endswith("https%3A%2F%2Fportal.example.org%2F%3Fa%3Db%26c&id_token_hint=" + "x" * 3000)
    assert "hint" not in await provider.way_out("x" * 3001, "https://portal.example.org/")


async def test_no_way_out(provider: Provider) -> None:
    assert await provider.way_out("x", "https://portal.example.org/") == ""


async def test_it_takes_no_secret(provider: Provider, forger: Forger) -> None:
    forger.replies[DISCOVERY] = told(forger.metadata(token_endpoint_auth_methods_supported=["private_key_jwt"]))
    with pytest.raises(BadAnswer, match="private_key_jwt"):
        await redeem(provider, forger, sign(forger.claims(FLOW.nonce)))


async def test_values_are_kept_for_an_hour() -> None:
    now, asked = 0.0, 0

    async def load() -> int:
        nonlocal asked
        asked += 1
        return asked

    kept = Kept(load, clock=lambda: now)
    assert [await kept.get(), await kept.get()] == [1, 1]
    now = 3599
    assert await kept.get() == 1
    now = 3600
    assert await kept.get() == 2
    assert [await kept.renew(), await kept.renew()] == [3, 3]
    now += 30
    assert await kept.renew() == 4
