"""The ways to sign in: local passwords, the User Office, Umbrella (Shibboleth) and OpenID Connect."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from calipso.settings.kinds import Url

Algorithm = Literal["", "RS256", "ES256", "HS256"]


class SignInSettings(BaseSettings):
    """Who may sign in, and who vouches for them."""

    allow_local_authentication: Annotated[bool, Field(description="whether frontends offer local accounts")] = True
    backend_default_authorization: Annotated[
        bool, Field(description="whether every user may have containers without a session; false: the User Office says")
    ] = True
    # the User Office
    backend_uo_login: Annotated[
        Url, Field(description="where the User Office checks a user name and its password; empty: nowhere")
    ] = ""
    backend_uo_hash: Annotated[
        Url, Field(description="where the User Office checks the hash of an Umbrella account; empty: nowhere")
    ] = ""
    backend_uo_is_authorized: Annotated[
        Url,
        Field(description="where the User Office says who may have containers without a session; empty: nobody may"),
    ] = ""
    local_access_username: Annotated[
        str,
        Field(description="our account at the User Office, the provider of experiments and the directory (HTTP Basic)"),
    ] = ""
    local_access_password: Annotated[SecretStr, Field(description="its password")] = SecretStr("")
    outside_timeout: Annotated[
        float, Field(gt=0, le=120, description="seconds that a service of the facility has for its answer")
    ] = 10
    # Umbrella
    umbrella_login: Annotated[
        Url,
        Field(description="where browsers sign in with Umbrella, such as https://host/Shibboleth.sso/Login?target=..."),
    ] = ""
    umbrella_logout: Annotated[
        Url, Field(description="where browsers that follow a link to umbrella/logout/ go on to")
    ] = ""
    # OpenID Connect
    oidc_enabled: Annotated[bool, Field(description="whether users may sign in with OpenID Connect")] = False
    oidc_op_issuer: Annotated[
        Url, Field(description="the provider's issuer, from which its endpoints are discovered; empty: those below")
    ] = ""
    oidc_op_authorization_endpoint: Annotated[Url, Field(description="where browsers sign in")] = ""
    oidc_op_token_endpoint: Annotated[Url, Field(description="where we redeem a code")] = ""
    oidc_op_user_endpoint: Annotated[Url, Field(description="where claims are that the id token does not hold")] = ""
    oidc_op_jwks_endpoint: Annotated[Url, Field(description="the provider's public keys")] = ""
    oidc_op_logout_endpoint: Annotated[Url, Field(description="where browsers end their sign-in at the provider")] = ""
    oidc_rp_client_id: Annotated[str, Field(description="our name at the provider")] = ""
    oidc_rp_client_secret: Annotated[SecretStr, Field(description="our secret at the provider; empty: none")] = (
        SecretStr("")
    )
    oidc_rp_sign_algo: Annotated[
        Algorithm, Field(description="the one algorithm of id tokens that is accepted; empty: RS256 and ES256")
    ] = ""
    oidc_rp_scopes: Annotated[str, Field(description="what we ask the provider for")] = "openid email profile"
    oidc_username_claim: Annotated[str, Field(min_length=1, description="the claim that holds the user name")] = (
        "preferred_username"
    )
    redirect_after_oidc_url: Annotated[
        Url, Field(description="where browsers go after a sign-in with OpenID Connect; empty: the frontend")
    ] = ""
    logout_redirect_url: Annotated[
        Url, Field(description="where browsers go after oidc/logout/; empty: the frontend")
    ] = ""

    def local_access_account(self) -> tuple[str, str] | None:
        """Name and password of our account at the facility's services, None when there is none."""
        if not self.local_access_username:
            return None
        return self.local_access_username, self.local_access_password.get_secret_value()

    def sign_in_faults(self) -> Iterator[str]:
        """What is wrong with these settings together."""
        if not self.oidc_enabled:
            return
        explicit = (self.oidc_op_authorization_endpoint, self.oidc_op_token_endpoint, self.oidc_op_jwks_endpoint)
        if not self.oidc_rp_client_id:
            yield "OIDC_ENABLED needs OIDC_RP_CLIENT_ID"
        if not self.oidc_op_issuer and not all(explicit):
            yield (
                "OIDC_ENABLED needs OIDC_OP_ISSUER, or else OIDC_OP_AUTHORIZATION_ENDPOINT, OIDC_OP_TOKEN_ENDPOINT and "
                "OIDC_OP_JWKS_ENDPOINT"
            )
        if self.oidc_rp_sign_algo == "HS256" and not self.oidc_rp_client_secret.get_secret_value():
            yield "OIDC_RP_SIGN_ALGO=HS256 needs OIDC_RP_CLIENT_SECRET"
