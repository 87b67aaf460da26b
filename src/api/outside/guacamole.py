"""Guacamole's web application, asked to sign in the account of one container."""

import base64
from typing import Annotated
from urllib.parse import quote

import msgspec

from calipso.api.outside.http import Outside, OutsideAnswer, read_answer
from calipso.errors import Unavailable
from calipso.settings import Settings

PART = "Guacamole"
_CONNECTION = "c"  # the letter of a connection in the address of a client page; groups have another
_REFUSED = frozenset({401, 403})

Word = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._~+/=-]{1,500}\Z")]


class _Token(msgspec.Struct, rename="camel"):
    auth_token: Word
    data_source: Word


class _Connection(msgspec.Struct):
    name: str
    identifier: Word


class GuacamoleWeb:
    """Asks the web application of the settings.

    Args:
        settings: where it is, for us and for browsers.
        outside: asks it.
    """

    def __init__(self, settings: Settings, outside: Outside) -> None:
        self._url = settings.guacamole_url.rstrip("/")
        self._public_url = (settings.guacamole_public_url or settings.guacamole_url).rstrip("/")
        self._outside = outside

    @property
    def is_set(self) -> bool:
        """Whether there is one."""
        return bool(self._url)

    async def open(self, account: str, password: str, connection: str, client: str) -> str:
        """Sign an account in; gives the address at which a browser finds its connection open.

        The address holds a token of this one account, which Guacamole forgets when it is not used, and no password.

        Args:
            account: the user name in Guacamole.
            password: of the account.
            connection: the name of the connection to open.
            client: address for which we ask, for Guacamole's own log and bans.

        Raises:
            Unavailable: Guacamole does not answer, refuses the account, or does not show the connection.
        """
        token = await self._sign_in(account, password, client)
        # by the query, which every version takes; the header is younger
        given = {"token": token.auth_token}
        place = f"{self._url}/api/session/data/{quote(token.data_source, safe='')}/connections"
        answer = await self._outside.ask(PART, "GET", place, params=given)
        shown = read_answer(PART, answer, dict[str, _Connection])
        found = next((each.identifier for each in shown.values() if each.name == connection), None)
        if found is None:
            raise Unavailable(PART, f"it does not show the connection {connection}")
        return f"{self._public_url}/#/client/{client_id(found, token.data_source)}?token={quote(token.auth_token)}"

    async def _sign_in(self, account: str, password: str, client: str) -> _Token:
        answer = await self._outside.ask(
            PART,
            "POST",
            f"{self._url}/api/tokens",
            form={"username": account, "password": password},
            headers={"X-Forwarded-For": client} if client else {},
        )
        if answer.status in _REFUSED:
            raise Unavailable(PART, _refusal(answer))
        return read_answer(PART, answer, _Token)


def client_id(connection_id: str, data_source: str) -> str:
    """The word for a connection in the address of Guacamole's client page.

    Args:
        connection_id: the number of its row.
        data_source: the word for the database, such as `postgresql`.
    """
    text = f"{connection_id}\0{_CONNECTION}\0{data_source}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _refusal(answer: OutsideAnswer) -> str:
    return (
        f"it refuses the account of the desktop ({answer.status}): it has not read its rows yet, reads another "
        "database, or has banned our address after wrong sign-ins"
    )
