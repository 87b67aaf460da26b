"""The keys of subjects: personal data in events can be read only while its subject's key exists.

Each subject has a random AES-256 key, stored wrapped by the facility's master key (AES-GCM, with the number of the
master key beside it). Destroying it makes every personal field of that subject unreadable for ever; the row stays, so
that no event that comes later gets a key of its own under which the older ones would seem to be tampered with.
"""

import base64
import contextlib
import os
import ssl
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol
from uuid import UUID

import msgspec
from cachetools import TTLCache
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg import Connection

from calipso.credentials import KEY_BYTES, MasterKeys

_NONCE_BYTES = 12
_CACHED_KEYS = 20_000
_CACHED_SECONDS = 60.0  # how long another process may still read a person who was erased
SUBJECT_KEY = "subject key"  # what they are wrapped for

SUBJECT_KEYS_DDL = """
CREATE TABLE IF NOT EXISTS subject_keys (
    subject uuid PRIMARY KEY,
    key_number integer NOT NULL,
    wrapped bytea,
    made timestamptz NOT NULL DEFAULT now()
)
"""

_WRAPPED = (
    "SELECT subject, key_number, wrapped FROM subject_keys WHERE subject = ANY(%s::uuid[]) AND wrapped IS NOT NULL"
)


def wrap(keys: MasterKeys, number: int, purpose: str, owner: UUID, plain: bytes) -> bytes:
    """Encrypt a small secret under a key derived from master key `number` for this purpose and owner."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(keys.derive(number, purpose, owner)).encrypt(nonce, plain, owner.bytes)


def unwrap(keys: MasterKeys, number: int, purpose: str, owner: UUID, wrapped: bytes) -> bytes:
    """Undo `wrap`.

    Raises:
        KeyError: the master key of this number is not there.
        ValueError: it is another key, or the bytes were changed.
    """
    cipher = AESGCM(keys.derive(number, purpose, owner))
    try:
        return cipher.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], owner.bytes)
    except InvalidTag as error:
        message = f"the {purpose} cannot be unwrapped with master key {number}"
        raise ValueError(message) from error


class SubjectKeys(Protocol):
    """Where the keys of subjects are."""

    def look_up(self, subjects: Collection[UUID]) -> None:
        """Hear whose keys will be asked for, so that they can be fetched together."""

    def of(self, subject: UUID) -> bytes | None:
        """The subject's key; None when it was destroyed or never made."""

    def make(self, subject: UUID) -> bytes | None:
        """The subject's key, made now if there never was one; None when it was destroyed."""

    def destroy(self, subject: UUID) -> None:
        """Make the subject's personal data unreadable for ever."""


class MemorySubjectKeys:
    """Keys that live as long as the process."""

    def __init__(self) -> None:
        self._keys: dict[UUID, bytes | None] = {}

    def look_up(self, subjects: Collection[UUID]) -> None:
        """They are all at hand."""

    def of(self, subject: UUID) -> bytes | None:
        """The subject's key; None when it was destroyed or never made."""
        return self._keys.get(subject)

    def make(self, subject: UUID) -> bytes | None:
        """The subject's key, made now if there never was one; None when it was destroyed."""
        return self._keys.setdefault(subject, os.urandom(KEY_BYTES))

    def destroy(self, subject: UUID) -> None:
        """Make the subject's personal data unreadable for ever."""
        self._keys[subject] = None


class NoSubjectKeys:
    """No keys: personal data reads as if it were erased, for those who do not need it."""

    def look_up(self, subjects: Collection[UUID]) -> None:
        """There are none."""

    def of(self, subject: UUID) -> bytes | None:  # noqa: ARG002 - the protocol
        """None."""
        return None

    def make(self, subject: UUID) -> bytes | None:  # noqa: ARG002 - the protocol
        """None: what is sealed without a key is erased from the beginning."""
        return None

    def destroy(self, subject: UUID) -> None:
        """There is nothing to destroy."""


class PostgresSubjectKeys:
    """Keys in the table `subject_keys`, with a cache of those that were used.

    Args:
        connect: gives a connection of the store's database in autocommit mode.
        master: the master keys that wrap the subjects' keys.
    """

    def __init__(self, connect: Callable[[], AbstractContextManager[Connection[Any]]], master: MasterKeys) -> None:
        self._connect = connect
        self._master = master
        self._cache: TTLCache[UUID, bytes] = TTLCache(_CACHED_KEYS, _CACHED_SECONDS)
        self._lock = threading.Lock()

    def look_up(self, subjects: Collection[UUID]) -> None:
        """Fetch the keys of these subjects at once, but for those that were used lately."""
        with self._lock:
            missing = [subject for subject in subjects if subject not in self._cache]
        for row in self._stored(missing) if missing else ():
            with contextlib.suppress(LookupError, ValueError):  # told to whoever asks for this one
                self._kept(row)

    def of(self, subject: UUID) -> bytes | None:
        """The subject's key; None when it was destroyed or never made."""
        with self._lock:
            known = self._cache.get(subject)
        if known is not None:
            return known
        return next((self._kept(row) for row in self._stored([subject])), None)

    def make(self, subject: UUID) -> bytes | None:
        """The subject's key, made and stored now if there never was one; None when it was destroyed."""
        if (known := self.of(subject)) is not None:
            return known
        number = self._master.current
        wrapped = wrap(self._master, number, SUBJECT_KEY, subject, os.urandom(KEY_BYTES))
        with self._connect() as connection:
            connection.execute(
                "INSERT INTO subject_keys (subject, key_number, wrapped) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                (subject, number, wrapped),
            )
        return self.of(subject)

    def destroy(self, subject: UUID) -> None:
        """Make the subject's personal data unreadable for ever; other processes may read it for a minute yet."""
        with self._connect() as connection:
            connection.execute(
                "INSERT INTO subject_keys (subject, key_number, wrapped) VALUES (%s, %s, NULL) "
                "ON CONFLICT (subject) DO UPDATE SET wrapped = NULL",
                (subject, self._master.current),
            )
        with self._lock:
            self._cache.pop(subject, None)

    def _stored(self, subjects: Sequence[UUID]) -> Sequence[Mapping[str, Any]]:
        with self._connect() as connection:
            return connection.execute(_WRAPPED, (list(subjects),)).fetchall()

    def _kept(self, row: Mapping[str, Any]) -> bytes:
        """The key in a row of the table, from now on in the cache."""
        subject: UUID = row["subject"]
        key = unwrap(self._master, row["key_number"], SUBJECT_KEY, subject, bytes(row["wrapped"]))
        with self._lock:
            self._cache[subject] = key
        return key


class Sealer:
    """Seals values under a subject's key.

    Args:
        key: the subject's.
    """

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)  # made once for the fields of an event: that takes as long as a field

    def seal(self, context: str, value: object) -> str:
        """Encrypt a value as JSON; `context` says what it is, so that it cannot be moved elsewhere."""
        nonce = ssl.RAND_bytes(_NONCE_BYTES)  # in place of the system's for the same reason as `naming.new_id`
        box = self._cipher.encrypt(nonce, msgspec.json.encode(value), context.encode())
        return base64.b64encode(nonce + box).decode()

    def unseal(self, context: str, box: str) -> object:
        """Undo `seal`.

        Raises:
            ValueError: it was sealed under another key or for another context.
        """
        raw = base64.b64decode(box)
        try:
            plain = self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], context.encode())
        except InvalidTag as error:
            message = f"{context} cannot be read with the subject's key"
            raise ValueError(message) from error
        value: object = msgspec.json.decode(plain)
        return value
