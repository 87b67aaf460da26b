"""Asks services of the facility over HTTP, within bounds: of time, of size, of what is tried again."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar

import aiohttp
import msgspec
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential
from yarl import URL

from calipso.errors import Unavailable

T = TypeVar("T")

_BODY_BYTES = 2**20
_CONNECTIONS = 64
_ATTEMPTS = 3
_TROUBLE = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})


@dataclass(frozen=True, kw_only=True)
class OutsideAnswer:
    """What a service answered; `content_type` has no parameters, and is empty when it said none."""

    status: int
    body: bytes
    content_type: str


class Outside:
    """Asks services. One per process; its connections belong to the running loop.

    Args:
        seconds: that a service has for its whole answer.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._session: aiohttp.ClientSession | None = None

    async def ask(
        self,
        service: str,
        method: str,
        url: str,
        *,
        json: object = None,
        form: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        basic: tuple[str, str] | None = None,
        limit: int = _BODY_BYTES,
    ) -> OutsideAnswer:
        """Ask, and hear the answer whatever its status. A redirect is an answer; it is not followed.

        A GET is tried again when the service is in trouble; anything else is not, because it may have been done.

        Args:
            service: who is asked, in the words of an error (`the User Office`).
            method: of HTTP.
            url: where; what is percent-encoded in it stays as it is.
            json: the body as a JSON value.
            form: the body as fields of a form.
            params: added to the address.
            headers: sent besides the usual ones.
            basic: name and password.
            limit: the most bytes that the answer may have.

        Raises:
            Unavailable: it does not answer in time, or not as HTTP, or with too much.
        """
        auth = aiohttp.encode_basic_auth(*basic) if basic else ""
        given = {**({"Authorization": auth} if auth else {}), **(headers or {})}
        options = {"json": json, "data": form, "params": params, "headers": given}
        attempts = _ATTEMPTS if method == "GET" else 1
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(_InTrouble),
            stop=stop_after_attempt(attempts),
            wait=wait_random_exponential(multiplier=0.1, max=1),
            reraise=True,
        ):
            with attempt:
                answer = await self._ask(service, method, url, options, limit)
                if attempt.retry_state.attempt_number < attempts and answer.status in _TROUBLE:
                    raise _InTrouble(service, f"it answered {answer.status}")
        return answer

    async def close(self) -> None:
        """Give back all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _ask(
        self, service: str, method: str, url: str, options: Mapping[str, object], limit: int
    ) -> OutsideAnswer:
        try:
            async with (
                asyncio.timeout(self._seconds),
                self._connected().request(method, _encoded(url), allow_redirects=False, **options) as answer,  # type: ignore[arg-type]  # passed on
            ):
                body = await _read(service, answer, limit)
        except TimeoutError as error:
            raise Unavailable(service, f"it did not answer within {self._seconds:g} s") from error
        except aiohttp.ClientConnectorError as error:
            raise _InTrouble(service, f"it cannot be reached: {error.strerror or type(error).__name__}") from error
        except aiohttp.InvalidURL as error:
            raise Unavailable(service, "its address is none") from error
        except aiohttp.ClientError as error:
            raise _InTrouble(service, f"it did not answer as it should ({type(error).__name__})") from error
        return OutsideAnswer(status=answer.status, body=body, content_type=_content_type(answer))

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "calipso", "Accept": "application/json"},
                auto_decompress=True,
                trust_env=False,
            )
        return self._session


def read_answer(service: str, answer: OutsideAnswer, shape: type[T]) -> T:
    """The value in an answer.

    Raises:
        Unavailable: it is no success, or not of this shape.
    """
    if answer.status != HTTPStatus.OK:
        raise Unavailable(service, f"it answered {answer.status}")
    try:
        return msgspec.json.decode(answer.body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unavailable(service, f"its answer cannot be understood: {error}") from error


class _InTrouble(Unavailable):
    """The service may answer when it is asked again."""


def _encoded(url: str) -> URL:
    return URL(url, encoded=True)


def _content_type(answer: aiohttp.ClientResponse) -> str:
    return answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()


async def _read(service: str, answer: aiohttp.ClientResponse, limit: int) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > limit:
            raise Unavailable(service, f"its answer is longer than {limit} bytes")
    return bytes(body)
