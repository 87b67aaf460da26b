"""Signing in with a name and a password: who vouches for it, and how often it may be tried."""

import asyncio
from weakref import WeakValueDictionary

from calipso.api.context import Caller
from calipso.backend import Backend
from calipso.commands.handling import USER, USER_NAME
from calipso.errors import WrongCredentials
from calipso.events.user import User

_NAME_LIMIT = 150
_VERIFYING = 2  # a password takes tens of milliseconds and of megabytes; the other threads are for queries


class SignIn:
    """Finds the account of a name and a password.

    Args:
        backend: the bound parts.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._verifying = asyncio.Semaphore(_VERIFYING)

    async def by_password(self, name: str, password: str, address: str) -> Caller:
        """The account of a name and its local password.

        Args:
            name: of the account, in whatever case.
            password: of the account.
            address: where the attempt comes from.

        Raises:
            WrongCredentials: they do not belong together.
            TooManyAttempts: that was so too often of late.
        """
        user = await asyncio.to_thread(self._named, name)
        if user is None or not await asyncio.to_thread(self._backend.passwords.remembers, user.user_id, password):
            # one at a time, so that guesses at once are not more than guesses one by one
            async with self._locks.setdefault(name.casefold(), asyncio.Lock()), self._verifying:
                await asyncio.to_thread(self._verify, user, name, password, address)
        if user is None:
            raise WrongCredentials
        return Caller.of(user)

    def _named(self, name: str) -> User | None:
        if not name.isprintable() or len(name) > _NAME_LIMIT:
            return None
        user_id = self._backend.dispatcher.state(USER_NAME, self._backend.installation.naming.user_name(name))
        user = self._backend.dispatcher.state(USER, user_id) if user_id else None
        return None if user is None or user.erased else user

    def _verify(self, user: User | None, name: str, password: str, address: str) -> None:
        passwords, attempts = self._backend.passwords, self._backend.sign_in_attempts
        if user is not None and passwords.remembers(user.user_id, password):  # found right while this one waited
            return
        attempts.check(name, address)
        if not passwords.verify(user.user_id if user else None, password):
            attempts.count(name, address)
            raise WrongCredentials
        attempts.clear(name, address)
