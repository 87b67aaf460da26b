"""The facility's directory of numeric accounts, asked for the uid and gid of a user."""

from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote

import msgspec

from calipso.api.outside.http import Outside, read_answer
from calipso.commands.request import NumericAccount
from calipso.settings import Settings

PART = "the directory of numeric accounts"

Number = Annotated[int, msgspec.Meta(ge=0, lt=2**32 - 1)]


class _Account(msgspec.Struct):
    uid: Number
    gid: Number


class Directory:
    """Asks the directory of the settings.

    Args:
        settings: where it answers, and who we are there.
        outside: asks it.
    """

    def __init__(self, settings: Settings, outside: Outside) -> None:
        self._url = settings.api_url_for_uid_and_gid
        self._account = settings.local_access_account()
        self._outside = outside

    async def find(self, name: str) -> NumericAccount | None:
        """The numeric account of a user; None when it knows none, or where no directory is asked.

        Raises:
            Unavailable: it does not say.
        """
        if not self._url:
            return None
        url = self._url.replace("$USERNAME", quote(name, safe=""))
        answer = await self._outside.ask(PART, "GET", url, basic=self._account)
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        found = read_answer(PART, answer, _Account)
        return NumericAccount(uid=found.uid, gid=found.gid)
