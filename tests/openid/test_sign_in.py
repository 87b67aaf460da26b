"""Signing in by a certified provider, in every way that one may be set up."""

from collections.abc import Mapping

import pytest
from tests.openid.browser import browsing
from tests.openid.conftest import PORTAL, MakeFacility, Registration

_EXPLICIT = {
    "oidc_op_issuer": "",
    "oidc_op_authorization_endpoint": "ISSUER/auth",
    "oidc_op_token_endpoint": "ISSUER/token",
    "oidc_op_user_endpoint": "ISSUER/me",
    "oidc_op_jwks_endpoint": "ISSUER/jwks",
}
_WAYS: Mapping[str, tuple[Registration, Mapping[str, object]]] = {
    "discovered, secret in a header, RS256, claims asked for": (Registration(), {}),
    "secret in the body, ES256, claims in the token": (
        Registration(
            options={"auth_methods": ["client_secret_post"], "claims_in_id_token": True},
            client={"token_endpoint_auth_method": "client_secret_post", "id_token_signed_response_alg": "ES256"},
        ),
        {"oidc_rp_sign_algo": "ES256"},
    ),
    "no secret": (
        Registration(client={"token_endpoint_auth_method": "none", "client_secret": ""}),
        {"oidc_rp_client_secret": ""},
    ),
    "HS256": (
        Registration(client={"id_token_signed_response_alg": "HS256"}),
        {"oidc_rp_sign_algo": "HS256"},
    ),
    "explicit endpoints": (Registration(), _EXPLICIT),
    "explicit endpoints and the issuer": (Registration(), _EXPLICIT | {"oidc_op_issuer": "ISSUER"}),
}


@pytest.mark.parametrize("way", _WAYS)
async def test_somebody_signs_in(make_facility: MakeFacility, way: str) -> None:
    registered, given = _WAYS[way]
    with make_facility(registered, **given) as facility:
        async with browsing(facility.api) as browser:
            page = await browser.sign_in("s-1", "ada")
            assert (page.status, page.next) == (302, f"{PORTAL}/hello"), page.text
            assert await browser.who() == "ada"
