"""The pages for browsers, where OpenID Connect is enabled and where it is not, also behind a proxy."""

from collections.abc import Callable, Iterator

import pytest
from tests.api.conftest import Api, served
from tests.conftest import find_free_port
from tests.openid.browser import Browser, browsing
from tests.openid.forger import CLIENT, forging

from calipso.backend import Backend

POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


@pytest.fixture(scope="module")
def plain(make_backend: Callable[..., Backend]) -> Iterator[Api]:
    """An installation without OpenID Connect."""
    backend = make_backend()
    try:
        with served(backend) as made:
            yield made
    finally:
        backend.close()


async def test_nobody_is_signed_in(browser: Browser) -> None:
    page = await browser.go("/openidtest/")
    assert page.status == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Content-Security-Policy"] == POLICY
    assert '<a href="../oidc/authenticate/">' in page.text


async def test_somebody_is_signed_in(browser: Browser) -> None:
    await browser.sign_in("s-page", "page@example.org")
    page = await browser.go("/openidtest/")
    assert "You are page@example.org." in page.text
    assert "<a " not in page.text


@pytest.mark.parametrize("path", ["/oidc/authenticate/", "/oidc/callback/?code=x&state=x"])
async def test_it_is_not_enabled(plain: Api, path: str) -> None:
    async with browsing(plain) as browser:
        page = await browser.go(path)
        assert page.status == 404
        assert "not enabled" in page.text
        assert "Set-Cookie" not in page.headers


async def test_signing_out_where_it_is_not_enabled(plain: Api) -> None:
    async with browsing(plain) as browser:
        assert "not enabled" in (await browser.go("/openidtest/")).text
        page = await browser.go("/oidc/logout/", "POST")
        assert (page.status, page.next) == (302, f"{plain.url}/openidtest/")


@pytest.mark.parametrize("path", ["/oidc/authenticate/", "/oidc/callback/"])
async def test_only_get(browser: Browser, path: str) -> None:
    for method in ("HEAD", "POST", "PUT", "DELETE"):
        assert (await browser.go(path, method)).status == 405


async def test_behind_a_proxy(make_backend: Callable[..., Backend]) -> None:
    with forging(find_free_port()) as forger:
        forger.reset()
        backend = make_backend(
            oidc_enabled=True, oidc_op_issuer=forger.issuer, oidc_rp_client_id=CLIENT, trusted_proxies="127.0.0.1"
        )
        told = {
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": "portal.example.org",
            "X-Forwarded-Prefix": "/services",
        }
        with served(backend) as api:
            async with browsing(api) as browser:
                page = await browser.go("/oidc/authenticate/", headers=told)
        backend.close()
    assert page.query()["redirect_uri"] == "https://portal.example.org/services/oidc/callback/"
    attributes = page.headers["Set-Cookie"].split("; ")
    assert {"Path=/services/oidc/", "Secure", "HttpOnly"} <= set(attributes)


async def test_the_provider_is_away_and_comes_back(make_backend: Callable[..., Backend]) -> None:
    port = find_free_port()
    backend = make_backend(oidc_enabled=True, oidc_op_issuer=f"http://127.0.0.1:{port}", oidc_rp_client_id=CLIENT)
    try:
        with served(backend) as api:
            async with browsing(api) as browser:
                page = await browser.go("/oidc/authenticate/")
                assert (page.status, page.headers["Content-Security-Policy"]) == (503, POLICY)
                assert "the OpenID provider is not available" in page.text
                assert str(port) not in page.text
                with forging(port) as forger:
                    forger.reset()
                    assert (await browser.go("/oidc/authenticate/")).status == 302
    finally:
        backend.close()
