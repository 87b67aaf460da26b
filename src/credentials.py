"""The facility's master keys, and the passwords that derive from them. Nothing here is ever stored or published."""

import base64
import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from calipso.errors import Invalid, Unavailable

KEY_BYTES = 32
# VncAuth reads eight characters; letters and digits pass Guacamole's parameters unchanged
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
VNC_PASSWORD_LENGTH = 8
GUACAMOLE_PASSWORD_LENGTH = 40


@dataclass(eq=False)
class MasterKeys:
    """The master keys by number: one is in use for what is new, the others serve what was made with them.

    Args:
        keys: by number.
        in_use: tells the number of the one in use; None: the highest.
        read_again: reads the keys anew, for one that came after the process had begun.
    """

    keys: Mapping[int, bytes]
    in_use: Callable[[], int | None] = lambda: None
    read_again: Callable[[], Mapping[int, bytes]] | None = None

    @property
    def newest(self) -> int:
        """The highest number."""
        return max(self.keys)

    @property
    def current(self) -> int:
        """The number of the key for new containers and new subject keys.

        Raises:
            Unavailable: the key in use is not here.
        """
        number = self.in_use() or self.newest
        if not self.has(number):
            raise Unavailable("the master key", f"number {number} is in use, and missing here")
        return number

    def has(self, number: int) -> bool:
        """Whether the key of this number is here; one that is not known is looked for where keys are kept."""
        if number not in self.keys and self.read_again is not None:
            self.keys = self.read_again()
        return number in self.keys

    def derive(self, number: int, purpose: str, container_id: UUID, length: int = KEY_BYTES) -> bytes:
        """Bytes that only the holder of master key `number` can know (HKDF-SHA256, RFC 5869).

        Raises:
            KeyError: there is no master key of this number.
        """
        if not self.has(number):
            raise KeyError(number)
        hkdf = HKDF(algorithm=SHA256(), length=length, salt=container_id.bytes, info=f"calipso {purpose}".encode())
        return hkdf.derive(self.keys[number])


def generate_key_line(number: int = 1) -> str:
    """A line of a key file with a fresh master key."""
    return f"{number}:{base64.b64encode(os.urandom(KEY_BYTES)).decode()}\n"


def parse_master_keys(text: str) -> MasterKeys:
    """Read a key file: one `number:base64 of 32 bytes` a line.

    Raises:
        Invalid: a line is not of this form, a number stands twice, or there is no key at all.
    """
    keys: dict[int, bytes] = {}
    for line in filter(None, (line.strip() for line in text.splitlines())):
        number, _, encoded = line.partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except ValueError:  # not base64, or not even ASCII
            key = b""
        if not number.isdecimal() or len(key) != KEY_BYTES or int(number) in keys:
            raise Invalid("master_keys", "every line must be NUMBER:BASE64 of 32 bytes, each number once")
        keys[int(number)] = key
    if not keys:
        raise Invalid("master_keys", "there is no key in it")
    return MasterKeys(keys)


def _text(material: bytes) -> str:
    # 62 does not divide 256: two bytes a character keep the bias below 0.1 %
    pairs = zip(material[::2], material[1::2], strict=True)
    return "".join(_ALPHABET[(high << 8 | low) % len(_ALPHABET)] for high, low in pairs)


def vnc_password(keys: MasterKeys, number: int, container_id: UUID) -> str:
    """The password that the container's own service asks for."""
    return _text(keys.derive(number, "vnc password", container_id, 2 * VNC_PASSWORD_LENGTH))


def guacamole_username(container_id: UUID) -> str:
    """The Guacamole account of one container; lower case, so that every collation agrees on it."""
    return hashlib.sha256(b"calipso guacamole user" + container_id.bytes).hexdigest()[:32]


def guacamole_password(keys: MasterKeys, number: int, container_id: UUID) -> str:
    """The password of the container's Guacamole account."""
    return _text(keys.derive(number, "guacamole password", container_id, 2 * GUACAMOLE_PASSWORD_LENGTH))


def guacamole_salt(keys: MasterKeys, number: int, container_id: UUID) -> bytes:
    """The 32 bytes of salt of the container's Guacamole account; derived, so that a rebuild writes the same row."""
    return keys.derive(number, "guacamole salt", container_id)


def guacamole_hash(password: str, salt: bytes) -> bytes:
    """Guacamole's stored hash: SHA-256 over the password and the salt in upper-case hex (GUACAMOLE's own recipe)."""
    return hashlib.sha256((password + salt.hex().upper()).encode()).digest()
