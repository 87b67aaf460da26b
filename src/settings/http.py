"""How the API is reached: its address, the proxies in front of it, and the frontends that may call it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

from calipso.settings.kinds import CommaSeparated, Networks, Url


class HttpSettings(BaseSettings):
    """The API as browsers and scripts reach it."""

    host: Annotated[str, Field(description="address on which the API listens")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="port on which the API listens")] = 8000
    base_path: Annotated[
        str, Field(description="path below which all addresses of the API lie, such as /calipsoplus-services/")
    ] = "/"
    tls_certificate: Annotated[
        Path | None, Field(description="certificate chain (PEM) with which the API serves HTTPS by itself")
    ] = None
    tls_key: Annotated[Path | None, Field(description="private key (PEM) of `tls_certificate`")] = None
    trusted_proxies: Annotated[
        Networks,
        Field(
            description="addresses or networks of the proxies in front of the API, comma-separated; from them alone "
            "X-Forwarded-For, -Proto, -Host and -Prefix and the headers of Shibboleth are believed"
        ),
    ] = ()
    proxy_secret: Annotated[
        SecretStr,
        Field(description="if set, proxies must send it as X-Calipso-Proxy-Secret to be believed about Shibboleth"),
    ] = SecretStr("")
    allowed_hosts: Annotated[
        CommaSeparated,
        Field(
            description="names under which the API may be called (.example.org: all below), comma-separated; empty: all"
        ),
    ] = ()
    cookie_secure: Annotated[
        bool, Field(description="mark cookies Secure even for requests that did not come by HTTPS")
    ] = False
    cors_origin_whitelist: Annotated[
        CommaSeparated, Field(description="origins of frontends, with or without scheme, comma-separated")
    ] = ()
    cors_allow_credentials: Annotated[
        bool, Field(description="whether frontends on those origins may send cookies; the CalipsoPlus frontend must")
    ] = True
    backend_calipso: Annotated[
        Url,
        Field(
            description="address of this API as browsers see it, with its path or of its host alone; empty: as asked"
        ),
    ] = ""
    web_direct: Annotated[
        bool,
        Field(
            description="whether web services of containers are opened at their own address, which browsers must then "
            "reach, instead of through the API at web/<container>/"
        ),
    ] = False
    max_connections: Annotated[
        int,
        Field(ge=1, description="connections that one API process serves; requests on others are answered with 503"),
    ] = 4000
    max_held_requests: Annotated[
        int,
        Field(
            ge=1,
            description="requests to run that one API process holds open, as many to stop or remove, and as many "
            "streams of events; others are answered with 503",
        ),
    ] = 1000
    max_held_requests_per_user: Annotated[
        int, Field(ge=1, description="the same of one user, whose others are answered with 429")
    ] = 50
    frontend_calipso: Annotated[Url, Field(description="address of the web frontend")] = ""

    @field_validator("base_path")
    @classmethod
    def _check_base(cls, value: str) -> str:
        path = f"/{value.strip('/')}/" if value.strip("/") else "/"
        if any(not part or part.startswith(".") for part in path.strip("/").split("/") if path != "/"):
            message = "must be a path such as /calipsoplus-services/"
            raise ValueError(message)
        if not path.isascii() or not path.isprintable() or set(path) & set("%?#<>{} "):
            message = "must be a path of plain characters such as /calipsoplus-services/"
            raise ValueError(message)
        return path

    @property
    def web_base(self) -> str:
        """The path below which browsers find the web services of containers, with a slash at both ends."""
        return f"{urlsplit(self.backend_calipso).path.rstrip('/') or self.base_path.rstrip('/')}/web/"

    def http_faults(self) -> Iterator[str]:
        """What is wrong with these settings together."""
        if (self.tls_certificate is None) != (self.tls_key is None):
            yield "TLS_CERTIFICATE and TLS_KEY must be given together"
