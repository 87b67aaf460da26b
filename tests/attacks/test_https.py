"""What browsers are told when they come by HTTPS, here through a proxy that is trusted."""

from collections.abc import Callable

from calipso.backend import Backend
from tests.api.conftest import PASSWORD, served


async def test_cookies_and_the_name_are_for_https_alone(make_backend: Callable[..., Backend]) -> None:
    backend = make_backend(trusted_proxies="127.0.0.1")
    try:
        with served(backend) as api:
            name = api.add_user()
            async with (
                api.anonymous(headers={"X-Forwarded-Proto": "https"}) as session,
                session.post("/login/", json={"username": name, "password": PASSWORD}) as answer,
            ):
                assert answer.status == 200
                assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
                cookies = {cookie.partition("=")[0]: cookie.lower() for cookie in answer.headers.getall("Set-Cookie")}
            assert all("; secure" in cookie and "samesite=lax" in cookie for cookie in cookies.values())
            assert "; httponly" in cookies["sessionid"]
            assert "; httponly" not in cookies["csrftoken"]
    finally:
        backend.close()
