"""Id tokens that do not hold, handed out by a provider of our own: nobody is signed in by them."""

import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

import pytest
from authlib.oidc.core.util import create_half_hash  # type: ignore[import-untyped]  # no types
from tests.api.conftest import Api, served
from tests.conftest import PATIENCE, find_free_port
from tests.hurry import Hurry
from tests.openid.browser import Browser, Page, browsing
from tests.openid.forger import (
    ACCESS_TOKEN,
    CLIENT,
    EC,
    RSA,
    SECRET,
    STRANGER,
    Claims,
    Forger,
    Reply,
    forging,
    sign,
    sign_by_text,
    told,
    with_header,
)

from calipso.backend import Backend

_DAY = 24 * 3600


@pytest.fixture(scope="module")
def served_forger(make_backend: Callable[..., Backend]) -> Iterator[tuple[Api, Forger]]:
    with forging(find_free_port()) as forger:
        backend = make_backend(
            oidc_enabled=True,
            oidc_op_issuer=forger.issuer,
            oidc_rp_client_id=CLIENT,
            oidc_rp_client_secret=SECRET,
            outside_timeout=120,
        )
        try:
            with served(backend) as api:
                yield api, forger
        finally:
            backend.close()


@pytest.fixture
def api(served_forger: tuple[Api, Forger]) -> Api:
    return served_forger[0]


@pytest.fixture
def forger(served_forger: tuple[Api, Forger]) -> Forger:
    served_forger[1].reset()
    return served_forger[1]


@pytest.fixture
async def browser(api: Api) -> AsyncIterator[Browser]:
    async with browsing(api) as made:
        yield made


async def begin(browser: Browser) -> Mapping[str, str]:
    return (await browser.go("/oidc/authenticate/")).query()


async def come_back(browser: Browser, state: str) -> Page:
    return await browser.go(f"/oidc/callback/?code=good&state={state}")


async def bring(browser: Browser, forger: Forger, make: Callable[[Claims], object], **claims: object) -> Page:
    """Sign in with a token that is made of good claims and others."""
    sent = await begin(browser)
    forger.hand_out(make(forger.claims(sent["nonce"], **claims)))
    return await come_back(browser, sent["state"])


def _tampered(claims: Claims) -> str:
    head, _, signature = sign(claims).split(".")
    return ".".join([head, sign(claims | {"sub": "somebody else"}).split(".")[1], signature])


_MADE: Mapping[str, Callable[[Claims], object]] = {
    "unsigned": lambda claims: with_header(claims, b"", alg="none", kid="rsa"),
    "unsigned, in other letters": lambda claims: with_header(claims, b"", alg="nOnE", kid="rsa"),
    "signed by HMAC with the public key": lambda claims: sign_by_text(claims, RSA.as_pem(private=False)),
    "signed by HMAC with our secret": lambda claims: sign_by_text(claims, SECRET.encode()),
    "another algorithm": lambda claims: sign(claims, alg="RS384"),
    "an unknown key": lambda claims: sign(claims, STRANGER, kid="stranger"),
    "another key under a known name": lambda claims: sign(claims, STRANGER),
    "another kind of key under a known name": lambda claims: sign(claims, EC, alg="ES256", kid="rsa"),
    "a key that it brings itself": lambda claims: sign(claims, STRANGER, kid=None, jwk=STRANGER.as_dict(private=False)),
    "tampered with": _tampered,
    "without a signature": lambda claims: sign(claims).rpartition(".")[0],
    "with an empty signature": lambda claims: sign(claims).rpartition(".")[0] + ".",
    "with something critical": lambda claims: with_header(claims, alg="RS256", kid="rsa", crit=["x"]),
    "an algorithm that is no text": lambda claims: with_header(claims, alg=["RS256"], kid="rsa"),
    "no algorithm": lambda claims: with_header(claims, kid="rsa"),
    "a key name that is no text": lambda claims: with_header(claims, alg="RS256", kid={}),
    "claims that are a list": lambda claims: with_header([claims], alg="RS256", kid="rsa"),
    "nothing": lambda _: "",
    "no token": lambda _: "nonsense",
    "not ASCII": lambda _: "ä.ö.ü",
    "encrypted": lambda claims: f"{sign(claims)}.e.e",
    "endless": lambda claims: sign(claims) + "A" * 500_000,
}

_CLAIMED: Mapping[str, Claims] = {
    "expired": {"exp": int(time.time()) - 120},
    "never expires": {"exp": None},
    "expires in words": {"exp": "tomorrow"},
    "expires at no number": {"exp": float("nan")},
    "from the future": {"iat": int(time.time()) + _DAY},
    "of no time": {"iat": None},
    "not yet good": {"nbf": int(time.time()) + _DAY},
    "for another client": {"aud": "another"},
    "for other clients": {"aud": ["another", "a third"]},
    "for nobody": {"aud": None},
    "for us and another, unclear who asked": {"aud": [CLIENT, "another"]},
    "for us and another, who asked": {"aud": [CLIENT, "another"], "azp": "another"},
    "asked for by another": {"azp": "another"},
    "of another issuer": {"iss": "https://evil.example.org"},
    "of nearly our issuer": {"iss": "http://127.0.0.1/"},
    "of no issuer": {"iss": None},
    "of an issuer that is no text": {"iss": ["x"]},
    "of another sign-in": {"nonce": "another"},
    "of no sign-in": {"nonce": None},
    "of nobody": {"sub": None},
    "of an empty subject": {"sub": ""},
    "of a subject that is no text": {"sub": 7},
    "for another access token": {"at_hash": "x" * 22},
    "for an access token that is no text": {"at_hash": [300]},
}


async def refused(browser: Browser, page: Page, status: int = 403) -> None:
    assert page.status == status, page.text
    assert page.headers["Content-Type"].startswith("text/html")
    assert "Set-Cookie" not in page.headers
    assert not browser.cookie("sessionid")
    assert await browser.who() == ""


@pytest.mark.parametrize("kind", _MADE)
async def test_a_token_that_is_not_the_providers(browser: Browser, forger: Forger, kind: str) -> None:
    await refused(browser, await bring(browser, forger, _MADE[kind]))


@pytest.mark.parametrize("kind", _CLAIMED)
async def test_a_token_that_claims_something_else(browser: Browser, forger: Forger, kind: str) -> None:
    await refused(browser, await bring(browser, forger, sign, **_CLAIMED[kind]))


async def test_a_token_of_an_earlier_sign_in(browser: Browser, forger: Forger) -> None:
    assert (await bring(browser, forger, sign)).status == 302
    reply = forger.replies["/token"]
    async with browsing(browser.api) as another:
        sent = await begin(another)
        forger.replies["/token"] = reply
        await refused(another, await come_back(another, sent["state"]))


_GOOD: Mapping[str, tuple[Callable[[Claims], object], Claims]] = {
    "RS256": (sign, {}),
    "ES256": (lambda claims: sign(claims, EC, alg="ES256", kid="ec"), {}),
    "no key named, one fits": (lambda claims: sign(claims, kid=None), {}),
    # by the time of the sign-in, not of the reading of this file
    "the provider's clock is ahead": (lambda claims: sign({**claims, "iat": int(time.time()) + 30}), {}),
    "the provider's clock is behind": (lambda claims: sign({**claims, "exp": int(time.time()) - 10}), {}),
    "for us and another": (sign, {"aud": [CLIENT, "another"], "azp": CLIENT}),
    "for this access token": (sign, {"at_hash": create_half_hash(ACCESS_TOKEN, "RS256").decode()}),
}


@pytest.mark.parametrize("kind", _GOOD)
async def test_a_token_that_holds(browser: Browser, forger: Forger, kind: str) -> None:
    make, claims = _GOOD[kind]
    page = await bring(browser, forger, make, **claims)
    assert (page.status, page.next) == (302, f"{browser.api.url}/openidtest/"), page.text
    assert await browser.who() == "ada"


_HTML = {"Content-Type": "text/html"}
_TROUBLE: Mapping[str, tuple[Reply, int]] = {
    "a page": (Reply(body=b"<html>hello</html>", headers=_HTML), 502),
    "nonsense": (Reply(body=b"\xff\xfe{"), 502),
    "nothing": (Reply(), 502),
    "a list": (told([]), 502),
    "an access token of two lines": (told({"id_token": "x", "access_token": "x\r\ny"}), 502),
    "no id token": (told({"access_token": "x"}), 502),
    "an id token that is no text": (told({"id_token": 7}), 502),
    "something deep": (Reply(body=b"[" * 100_000), 502),
    "a way to another place": (Reply(status=302, headers={"Location": "/jwks"}), 502),
    "our secret is wrong": (told({"error": "invalid_client"}, status=401), 502),
    "the code is used": (told({"error": "invalid_grant"}, status=400), 403),
    "an error of its own": (Reply(status=500, body=b"<html>", headers=_HTML), 503),
    "it is overloaded": (Reply(status=503), 503),
    "too much": (Reply(body=b" " * 10_000_000), 503),
    "less than it says": (Reply(body=b"{", headers={"Content-Length": "1000"}), 503),
    "too late": (Reply(seconds=PATIENCE), 503),
}


@pytest.mark.parametrize("kind", _TROUBLE)
async def test_the_provider_gives_no_tokens(browser: Browser, forger: Forger, hurry: Hurry, kind: str) -> None:
    reply, status = _TROUBLE[kind]
    sent = await begin(browser)
    forger.replies["/token"] = reply
    hurry("hang" if reply.seconds else "")
    await refused(browser, await come_back(browser, sent["state"]), status)
    assert forger.asked["/token"] == 1


async def test_what_the_provider_is_told(browser: Browser, forger: Forger) -> None:
    sent = await begin(browser)
    forger.hand_out(sign(forger.claims(sent["nonce"])))
    await come_back(browser, sent["state"])
    assert forger.form["redirect_uri"] == sent["redirect_uri"] == f"{browser.api.url}/oidc/callback/"
    assert (forger.form["grant_type"], forger.form["code"]) == ("authorization_code", "good")
    assert len(forger.form["code_verifier"]) >= 43
    assert "client_secret" not in forger.form


async def test_claims_of_somebody_else(browser: Browser, forger: Forger) -> None:
    forger.replies["/me"] = told({"sub": "s-2", "preferred_username": "bob"})
    await refused(browser, await bring(browser, forger, sign, sub="s-3", preferred_username=None))


@pytest.mark.parametrize("name", [None, "", 7, ["x"]])
async def test_no_name_for_a_new_account(browser: Browser, forger: Forger, name: object) -> None:
    forger.replies["/me"] = told({"sub": "s-4"})
    page = await bring(browser, forger, sign, sub="s-4", preferred_username=name)
    await refused(browser, page, 502)
    assert "preferred_username" in page.text


@pytest.mark.parametrize("name", ["../etc", "a b", "<script>alert(1)</script>", "x" * 200, ".hidden"])
async def test_a_name_that_cannot_be_one(browser: Browser, forger: Forger, name: str) -> None:
    page = await bring(browser, forger, sign, sub="s-5", preferred_username=name)
    await refused(browser, page, 400)
    assert "<script>" not in page.text


async def test_a_known_person_needs_no_name(browser: Browser, forger: Forger) -> None:
    await bring(browser, forger, sign, sub="s-6", preferred_username="grace")
    forger.replies["/me"] = told({"sub": "s-6"})
    page = await bring(browser, forger, sign, sub="s-6", preferred_username=None)
    assert page.status == 302
    assert await browser.who() == "grace"


async def test_a_subject_without_end(browser: Browser, forger: Forger) -> None:
    await refused(browser, await bring(browser, forger, sign, sub="s" * 501, preferred_username="endless"), 400)


async def test_unknown_keys_do_not_flood_the_provider(browser: Browser, forger: Forger) -> None:
    for _ in range(5):
        await bring(browser, forger, lambda claims: sign(claims, STRANGER, kid="stranger"))
    assert forger.asked["/jwks"] <= 1


async def test_nothing_secret_is_told(browser: Browser, forger: Forger, capfd: pytest.CaptureFixture[str]) -> None:
    page = await bring(browser, forger, _tampered)
    token = json.loads(forger.replies["/token"].body)["id_token"]
    logged = capfd.readouterr()
    assert "no sign-in" in logged.out + logged.err
    for secret in (token, SECRET, ACCESS_TOKEN, forger.form["code_verifier"], "ada"):
        assert secret not in page.text + logged.out + logged.err
