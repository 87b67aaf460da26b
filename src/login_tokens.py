"""What an OpenID provider handed out for a login: an ordinary table beside the logins, whose rows go with them."""

import hashlib
from dataclasses import asdict, dataclass
from uuid import UUID

import msgspec

from calipso.credentials import MasterKeys
from calipso.database import Database
from calipso.vault import unwrap, wrap

# after the table of logins
LOGIN_TOKENS_DDL = """
CREATE TABLE IF NOT EXISTS login_tokens (
    key_hash bytea PRIMARY KEY REFERENCES logins ON DELETE CASCADE,
    key_number integer NOT NULL,
    sealed bytea NOT NULL
)
"""

_PURPOSE = "login tokens"


@dataclass(frozen=True, kw_only=True)
class ProviderTokens:
    """The tokens of one sign-in; `access_token` is empty where nothing of ours may use it."""

    id_token: str
    access_token: str = ""


class LoginTokens:
    """Keeps tokens sealed so that it takes a master key and the key of the login, which only the browser has, to read.

    Args:
        database: the store's database.
        keys: the master keys.
    """

    def __init__(self, database: Database, keys: MasterKeys) -> None:
        self._database = database
        self._keys = keys

    def put(self, key: str, tokens: ProviderTokens) -> None:
        """Keep the tokens of an open login.

        Args:
            key: of the login.
            tokens: of its sign-in.
        """
        number = self._keys.current
        sealed = wrap(self._keys, number, _PURPOSE, _owner(key), msgspec.json.encode(asdict(tokens)))
        with self._database.connect() as connection:
            connection.execute(
                # nothing is kept for a login that has ended meanwhile
                "INSERT INTO login_tokens (key_hash, key_number, sealed) "
                "SELECT key_hash, %s, %s FROM logins WHERE key_hash = %s FOR KEY SHARE",
                (number, sealed, _key_hash(key)),
            )

    def find(self, key: str) -> ProviderTokens | None:
        """The tokens of a login, None when it has none that can be read."""
        with self._database.connect() as connection:
            row = connection.execute(
                "SELECT key_number, sealed FROM login_tokens JOIN logins USING (key_hash) "
                "WHERE key_hash = %s AND expires > now()",
                (_key_hash(key),),
            ).fetchone()
        if row is None:
            return None
        try:
            plain = unwrap(self._keys, row["key_number"], _PURPOSE, _owner(key), bytes(row["sealed"]))
        except (KeyError, ValueError):  # its master key is retired
            return None
        return msgspec.json.decode(plain, type=ProviderTokens)


def _key_hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _owner(key: str) -> UUID:
    return UUID(bytes=hashlib.sha256(f"{_PURPOSE}\0{key}".encode()).digest()[:16])
