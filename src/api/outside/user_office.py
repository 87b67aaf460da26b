"""Our side of the User Office: who may sign in, and who may have containers of their own.

It takes JSON over HTTP; a status of 200 is a yes, one of 400 to 499 a no. Anything else is trouble, and no answer.
"""

import asyncio
from http import HTTPStatus

import msgspec

from calipso.api.outside.http import Outside, OutsideAnswer
from calipso.errors import Unavailable
from calipso.settings.sign_in import SignInSettings

PART = "the User Office"
_AT_ONE_TIME = 8


class _Authorised(msgspec.Struct):
    result: bool


class UserOffice:
    """Asks the User Office of the settings.

    Args:
        settings: where it answers.
        outside: asks it.
    """

    def __init__(self, settings: SignInSettings, outside: Outside) -> None:
        self._settings = settings
        self._outside = outside
        # a User Office that hangs must not take every connection
        self._asking = asyncio.Semaphore(_AT_ONE_TIME)

    @property
    def checks_passwords(self) -> bool:
        """Whether it is asked about passwords at all."""
        return bool(self._settings.backend_uo_login)

    async def accepts_password(self, name: str, password: str) -> bool:
        """Whether a user name and a password belong together there.

        Raises:
            Unavailable: it does not say.
        """
        return _is_yes(await self._ask(self._settings.backend_uo_login, {"username": name, "password": password}))

    async def accepts_hash(self, eaa_hash: str) -> bool:
        """Whether it knows the hash of an Umbrella account; never, where it is not asked.

        Raises:
            Unavailable: it does not say.
        """
        if not self._settings.backend_uo_hash:
            return False
        return _is_yes(await self._ask(self._settings.backend_uo_hash, {"eaa_hash": eaa_hash}))

    async def authorises(self, name: str) -> bool:
        """Whether a user may have containers without a session; nobody, where it is not asked.

        Raises:
            Unavailable: it does not say.
        """
        if not self._settings.backend_uo_is_authorized:
            return False
        account = self._settings.local_access_username, self._settings.local_access_password.get_secret_value()
        answer = await self._ask(self._settings.backend_uo_is_authorized, {"login": name}, basic=account)
        if not _is_yes(answer):
            return False
        try:
            return msgspec.json.decode(answer.body, type=_Authorised).result
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Unavailable(PART, 'its answer is not {"result": true} or {"result": false}') from error

    async def _ask(self, url: str, question: object, basic: tuple[str, str] | None = None) -> OutsideAnswer:
        try:
            async with asyncio.timeout(self._settings.outside_timeout):
                await self._asking.acquire()
        except TimeoutError as error:
            raise Unavailable(PART, "too many others wait for it") from error
        try:
            return await self._outside.ask(PART, "POST", url, json=question, basic=basic)
        finally:
            self._asking.release()


def _is_yes(answer: OutsideAnswer) -> bool:
    if answer.status == HTTPStatus.OK:
        # a page instead of an answer is a sign-in form of a misled proxy, which would let everybody in
        if answer.content_type in {"text/html", "application/xhtml+xml"}:
            raise Unavailable(PART, "it answered with a page")
        return True
    if HTTPStatus.BAD_REQUEST <= answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return False
    raise Unavailable(PART, f"it answered {answer.status}")
