"""Signing in with a name and a password: who vouches for it, and how often it may be tried.

An account with a local password is opened by that alone. Any other is opened by the User Office, if there is one: it
decides who has which user name at the facility. It does not decide about accounts that have a local password, because
somebody outside may have registered an administrator's name there.
"""

import asyncio
import hmac
import secrets
import threading
from dataclasses import dataclass
from functools import partial
from uuid import UUID
from weakref import WeakValueDictionary

from cachetools import TTLCache

from calipso.api.context import Caller
from calipso.api.federation import Federation
from calipso.api.outside.user_office import UserOffice
from calipso.backend import Backend
from calipso.commands.handling import USER, USER_NAME
from calipso.commands.user import is_user_name
from calipso.errors import WrongCredentials
from calipso.events.user import User

LOCAL, USER_OFFICE = "local", "user-office"
_VERIFYING = 2  # a password takes tens of milliseconds and of megabytes; the other threads are for queries
_REMEMBERED = 10_000
_REMEMBERED_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class SignedIn:
    """Who has signed in, and who vouched: `local` or `user-office`."""

    caller: Caller
    method: str


class SignIn:
    """Finds the account of a name and a password.

    Args:
        backend: the bound parts.
        user_office: vouches for accounts without a local password.
    """

    def __init__(self, backend: Backend, user_office: UserOffice) -> None:
        self._backend = backend
        self._user_office = user_office
        self._federation = Federation(backend)
        self._remembered = _Remembered()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._verifying = asyncio.Semaphore(_VERIFYING)

    async def by_password(self, name: str, password: str, address: str) -> SignedIn:
        """The account of a name and its password.

        Args:
            name: of the account, in whatever case.
            password: of the account.
            address: where the attempt comes from.

        Raises:
            WrongCredentials: they do not belong together.
            TooManyAttempts: that was so too often of late.
            NotPermitted: the name belongs to somebody else than the one for whom the User Office vouches.
            Unavailable: the User Office is needed, and does not answer.
        """
        user = await asyncio.to_thread(self._named, name)
        if found := await asyncio.to_thread(self._remembers, user, password):
            return found
        # one at a time, so that guesses at once are not more than guesses one by one
        async with self._locks.setdefault(name.casefold(), asyncio.Lock()):
            # found right while this one waited
            if found := await asyncio.to_thread(self._remembers, user, password):
                return found
            await asyncio.to_thread(self._backend.sign_in_attempts.check, name, address)
            if not (found := await self._prove(user, name, password)):
                await asyncio.to_thread(self._backend.sign_in_attempts.count, name, address)
                raise WrongCredentials
            await asyncio.to_thread(self._backend.sign_in_attempts.clear, name, address)
            return found

    def _named(self, name: str) -> User | None:
        if not is_user_name(name):
            return None
        user_id = self._backend.dispatcher.state(USER_NAME, self._backend.installation.naming.user_name(name))
        user = self._backend.dispatcher.state(USER, user_id) if user_id else None
        return None if user is None or user.erased else user

    def _remembers(self, user: User | None, password: str) -> SignedIn | None:
        if user is None:
            return None
        if self._backend.passwords.remembers(user.user_id, password):
            return SignedIn(caller=Caller.of(user), method=LOCAL)
        if _is_of_user_office(user) and self._remembered.holds(user.user_id, password):
            return SignedIn(caller=Caller.of(user), method=USER_OFFICE)
        return None

    async def _prove(self, user: User | None, name: str, password: str) -> SignedIn | None:
        has_password = user is not None and await asyncio.to_thread(self._backend.passwords.exists, user.user_id)
        asks = self._user_office.checks_passwords and is_user_name(name)
        if has_password or not asks:
            async with self._verifying:
                verify = partial(self._backend.passwords.verify, user.user_id if user else None, password)
                if await asyncio.to_thread(verify) and user is not None:
                    return SignedIn(caller=Caller.of(user), method=LOCAL)
        if asks and (user is None or not has_password or _is_of_user_office(user)):
            return await self._prove_outside(name, password)
        return None

    async def _prove_outside(self, name: str, password: str) -> SignedIn | None:
        if not await self._user_office.accepts_password(name, password):
            return None
        account = partial(self._federation.account_of, USER_OFFICE, name.casefold(), name, is_authority_of_names=True)
        user = await asyncio.to_thread(account)
        self._remembered.add(user.user_id, password)
        return SignedIn(caller=Caller.of(user), method=USER_OFFICE)


def _is_of_user_office(user: User) -> bool:
    return (USER_OFFICE, user.name.casefold()) in user.identities


class _Remembered:
    """Passwords that the User Office accepted within half a minute, because scripts send theirs with every request."""

    def __init__(self) -> None:
        self._digests: TTLCache[bytes, None] = TTLCache(_REMEMBERED, _REMEMBERED_SECONDS)
        self._lock = threading.Lock()
        # what is remembered can be compared in this process only
        self._seal = secrets.token_bytes(32)

    def holds(self, user_id: UUID, password: str) -> bool:
        with self._lock:
            return self._digest(user_id, password) in self._digests

    def add(self, user_id: UUID, password: str) -> None:
        with self._lock:
            self._digests[self._digest(user_id, password)] = None

    def _digest(self, user_id: UUID, password: str) -> bytes:
        return hmac.digest(self._seal, f"{user_id}\0{password}".encode(), "sha256")
