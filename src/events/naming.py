"""Keys of streams, and ids.

A natural key becomes a keyed hash, so that two writers of one name collide on its first version.
"""

import hmac
import ssl
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID, uuid5


@dataclass(frozen=True)
class Naming:
    """Makes stream keys from natural keys under the installation's naming key."""

    key: bytes

    def _uuid(self, kind: str, name: str) -> UUID:
        # a command line may hold bytes that are no characters: decisions refuse the name, and must be reached for it
        named = f"{kind}\0{name}".encode(errors="surrogateescape")
        # `hmac.digest` lets go of the interpreter, which a thread beside a busy one gets back after milliseconds
        return UUID(bytes=hmac.new(self.key, named, "sha256").digest()[:16], version=5)

    @lru_cache(maxsize=10_000)  # noqa: B019 - a process has one of these
    def image(self, name: str) -> UUID:
        """The stream of the catalogue entry `name`."""
        return self._uuid("image", name)

    def experiment(self, proposal_id: str) -> UUID:
        """The stream of the experiment with this public number."""
        return self._uuid("experiment", proposal_id)

    def user_name(self, name: str) -> UUID:
        """The stream that claims a user name; names that differ only in case are one."""
        return self._uuid("user-name", name.casefold())

    def identity(self, issuer: str, subject: str) -> UUID:
        """The stream of a federated identity."""
        return self._uuid("identity", f"{issuer}\0{subject}")

    def target(self, name: str) -> UUID:
        """The stream of the target `name`."""
        return self._uuid("target", name)


def new_id() -> UUID:
    """A random uuid (version 4).

    From OpenSSL's generator, which the system seeds and which begins anew in a process that was forked: that of the
    system, which `uuid.uuid4` asks, lets go of the interpreter.
    """
    return UUID(bytes=ssl.RAND_bytes(16), version=4)


def parse_uuid(text: str) -> UUID | None:
    """The uuid that a text is, None when it is none."""
    try:
        return UUID(text)
    except ValueError:
        return None


@lru_cache(maxsize=10_000)
def quota_stream(user_id: UUID) -> UUID:
    """The stream of a user's quota."""
    return uuid5(user_id, "quota")


def refusals_stream(user_id: UUID) -> UUID:
    """The stream of what a user was refused."""
    return uuid5(user_id, "refusals")


def audit_stream(reader: UUID | None) -> UUID:
    """The stream of what a user has read of the history; None stands for the command line."""
    return uuid5(reader or UUID(int=0), "audit")


def container_name(container_id: UUID) -> str:
    """The name of a container on every runtime and on the wire; a DNS label that never changes."""
    return f"calipso-{container_id.hex}"
