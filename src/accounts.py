"""Ordinary tables beside the events: password hashes, logins, sign-ins under way. Never rebuilt, never published."""

import hashlib
import hmac
import math
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from cachetools import TTLCache

from calipso.database import ACCOUNTS, Database
from calipso.errors import Invalid, TooManyAttempts

ACCOUNTS_DDL = """
CREATE TABLE IF NOT EXISTS passwords (
    user_id uuid PRIMARY KEY,
    hash text NOT NULL
);
CREATE TABLE IF NOT EXISTS logins (
    key_hash bytea PRIMARY KEY,
    user_id uuid NOT NULL,
    csrf_token text NOT NULL,
    expires timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS logins_user ON logins (user_id);
CREATE INDEX IF NOT EXISTS logins_expires ON logins (expires);
CREATE TABLE IF NOT EXISTS sign_in_attempts (
    key_hash bytea NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS sign_in_attempts_key ON sign_in_attempts (key_hash, at);
CREATE TABLE IF NOT EXISTS sign_in_flows (
    key_hash bytea PRIMARY KEY,
    content text NOT NULL,
    expires timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS sign_in_flows_expires ON sign_in_flows (expires)
"""

LOGIN_LIFETIME = timedelta(days=14)
FLOW_LIFETIME = timedelta(minutes=10)
ATTEMPTS_LIMIT = 10
ATTEMPTS_PERIOD = timedelta(minutes=5)
_PASSWORD_LIMIT = 1000
_REMEMBERED = 10_000
_REMEMBERED_SECONDS = 30.0

_hasher = PasswordHasher()


@cache
def _nobodys_hash() -> str:
    """What is verified when there is no such account, so that an answer takes as long as for one that exists."""
    return _hasher.hash(secrets.token_urlsafe())


@dataclass(frozen=True, kw_only=True)
class Login:
    """A signed-in browser."""

    user_id: UUID
    csrf_token: str
    expires: datetime


class Passwords:
    """Argon2id hashes of local passwords. Safe for use from several threads.

    A right password is remembered for half a minute, because clients without cookies send theirs with every request.

    Args:
        database: the store's database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._remembered: TTLCache[bytes, None] = TTLCache(_REMEMBERED, _REMEMBERED_SECONDS)
        self._lock = threading.Lock()
        # what is remembered can be compared in this process only
        self._seal = secrets.token_bytes(32)

    def set(self, user_id: UUID, password: str) -> None:
        """Give an account a password.

        Raises:
            Invalid: it is empty or absurdly long.
        """
        if not password or len(password) > _PASSWORD_LIMIT:
            raise Invalid("password", f"must have 1 to {_PASSWORD_LIMIT} characters")
        with self._database.connect() as connection:
            connection.execute(
                "WITH changed AS (INSERT INTO passwords (user_id, hash) VALUES (%s, %s) "
                "ON CONFLICT (user_id) DO UPDATE SET hash = excluded.hash) SELECT pg_notify(%s, '')",
                (user_id, _hasher.hash(password), ACCOUNTS),
            )

    def forget(self, user_id: UUID) -> None:
        """Take the password of an account away, if it has one."""
        with self._database.connect() as connection:
            connection.execute(
                "WITH gone AS (DELETE FROM passwords WHERE user_id = %s) SELECT pg_notify(%s, '')", (user_id, ACCOUNTS)
            )

    def exists(self, user_id: UUID) -> bool:
        """Whether an account has a local password."""
        return self._hash_of(user_id) is not None

    def verify(self, user_id: UUID | None, password: str) -> bool:
        """Whether this is the account's password; takes as long when there is no account."""
        stored = self._hash_of(user_id) if user_id else None
        try:
            _hasher.verify(stored or _nobodys_hash(), password[:_PASSWORD_LIMIT])
        except VerificationError:
            return False
        if stored is None:
            return False
        with self._lock:
            self._remembered[self._digest(stored, password)] = None
        return True

    def remembers(self, user_id: UUID, password: str) -> bool:
        """Whether this was found to be the account's password of late, and is it still."""
        stored = self._hash_of(user_id)
        with self._lock:
            return stored is not None and self._digest(stored, password) in self._remembered

    def _digest(self, stored: str, password: str) -> bytes:
        # the hash has a salt of its own, so it stands for the account and for this very password of it
        return hmac.digest(self._seal, f"{stored}\0{password}".encode(), "sha256")

    def _hash_of(self, user_id: UUID) -> str | None:
        with self._database.connect() as connection:
            row = connection.execute("SELECT hash FROM passwords WHERE user_id = %s", (user_id,)).fetchone()
        return row["hash"] if row else None


class Logins:
    """Logins on the server: revocable, surviving restarts, known by the hash of a random key.

    Args:
        database: the store's database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, user_id: UUID) -> tuple[str, Login]:
        """Open a login; gives the key that the browser keeps, which is stored nowhere."""
        key = secrets.token_urlsafe(32)
        with self._database.connect() as connection:
            connection.execute("DELETE FROM logins WHERE expires < now()")
            row = connection.execute(
                "INSERT INTO logins (key_hash, user_id, csrf_token, expires) VALUES (%s, %s, %s, now() + %s) "
                "RETURNING user_id, csrf_token, expires",
                (_key_hash(key), user_id, secrets.token_urlsafe(32), LOGIN_LIFETIME),
            ).fetchone()
        return key, Login(**(row or {}))

    def find(self, key: str) -> Login | None:
        """The login of a key, if it is still open."""
        with self._database.connect() as connection:
            row = connection.execute(
                "SELECT user_id, csrf_token, expires FROM logins WHERE key_hash = %s AND expires > now()",
                (_key_hash(key),),
            ).fetchone()
        return Login(**row) if row else None

    def close(self, key: str) -> None:
        """End a login; nothing happens when it has ended."""
        with self._database.connect() as connection:
            connection.execute(
                "WITH ended AS (DELETE FROM logins WHERE key_hash = %s) SELECT pg_notify(%s, '')",
                (_key_hash(key), ACCOUNTS),
            )

    def of(self, user_id: UUID) -> Sequence[datetime]:
        """When the open logins of an account end."""
        with self._database.connect() as connection:
            rows = connection.execute(
                "SELECT expires FROM logins WHERE user_id = %s AND expires > now() ORDER BY expires", (user_id,)
            ).fetchall()
        return [row["expires"] for row in rows]

    def close_all(self, user_id: UUID) -> None:
        """End every login of an account."""
        with self._database.connect() as connection:
            connection.execute(
                "WITH ended AS (DELETE FROM logins WHERE user_id = %s) SELECT pg_notify(%s, '')", (user_id, ACCOUNTS)
            )


def _key_hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


class SignInFlows:
    """What we must remember of a sign-in that goes through another service, until the browser comes back.

    Args:
        database: the store's database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, content: str) -> str:
        """Remember a text for ten minutes; gives the key that the browser keeps, which is stored nowhere."""
        key = secrets.token_urlsafe(32)
        self.forget_old()
        with self._database.connect() as connection:
            connection.execute(
                "INSERT INTO sign_in_flows (key_hash, content, expires) VALUES (%s, %s, now() + %s)",
                (_key_hash(key), content, FLOW_LIFETIME),
            )
        return key

    def forget_old(self) -> None:
        """Forget all that nobody came back for in time."""
        with self._database.connect() as connection:
            connection.execute("DELETE FROM sign_in_flows WHERE expires < now()")

    def end(self, key: str) -> str | None:
        """The text of a key, which is forgotten by this; None when there is none, or no more."""
        with self._database.connect() as connection:
            row = connection.execute(
                "DELETE FROM sign_in_flows WHERE key_hash = %s RETURNING content, expires > now() AS is_open",
                (_key_hash(key),),
            ).fetchone()
        return row["content"] if row and row["is_open"] else None


class SignInAttempts:
    """Bounds how often sign-in is tried, per account and address, over all API processes.

    Args:
        database: the store's database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def check(self, name: str, address: str) -> None:
        """Let an attempt pass.

        Raises:
            TooManyAttempts: there were too many wrong ones of late.
        """
        with self._database.connect() as connection:
            row = connection.execute(
                "SELECT count(*) AS number, extract(epoch FROM min(at) + %s - now()) AS seconds "
                "FROM sign_in_attempts WHERE key_hash = %s AND at > now() - %s",
                (ATTEMPTS_PERIOD, _attempt_hash(name, address), ATTEMPTS_PERIOD),
            ).fetchone()
        if row is not None and row["number"] >= ATTEMPTS_LIMIT:
            raise TooManyAttempts(math.ceil(row["seconds"]))

    def count(self, name: str, address: str) -> None:
        """Remember a wrong attempt; those that are over are forgotten."""
        self.forget_old()
        with self._database.connect() as connection:
            connection.execute("INSERT INTO sign_in_attempts (key_hash) VALUES (%s)", (_attempt_hash(name, address),))

    def clear(self, name: str, address: str) -> None:
        """Forget the wrong attempts before a right one."""
        with self._database.connect() as connection:
            connection.execute("DELETE FROM sign_in_attempts WHERE key_hash = %s", (_attempt_hash(name, address),))

    def forget_old(self) -> None:
        """Forget all wrong attempts that are over."""
        with self._database.connect() as connection:
            connection.execute("DELETE FROM sign_in_attempts WHERE at < now() - %s", (ATTEMPTS_PERIOD,))


def _attempt_hash(name: str, address: str) -> bytes:
    # no names of people in an ordinary table that nothing erases
    return hashlib.sha256(f"{name.casefold()}\0{address}".encode()).digest()
