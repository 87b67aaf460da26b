"""The parts that every process needs, made when they are first used: store, dispatch, accounts, databases."""

import math
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from calipso import installation
from calipso.accounts import Logins, Passwords, SignInAttempts, SignInFlows
from calipso.codec import Codec
from calipso.commands.dispatch import Dispatcher
from calipso.credentials import MasterKeys, parse_master_keys
from calipso.database import Database
from calipso.erasures import Erasures
from calipso.installation import Installation
from calipso.login_tokens import LoginTokens
from calipso.parts import Parts
from calipso.rotation import KeyInUse
from calipso.settings import Settings
from calipso.snapshots import StoredSnapshots
from calipso.store import PostgresStore
from calipso.vault import NoSubjectKeys, PostgresSubjectKeys

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from calipso.bus import Bus


@dataclass(frozen=True)
class Backend:
    """The parts of one process, made when they are first needed.

    Args:
        settings: with addresses filled in, also those of the embedded default.
    """

    settings: Settings

    @cached_property
    def keys(self) -> MasterKeys:
        """The master keys."""
        keys = parse_master_keys(self.settings.master_keys.get_secret_value())
        keys.in_use = KeyInUse(self.database)
        if (file := self.settings.master_keys_file) is not None:
            keys.read_again = lambda: parse_master_keys(file.read_text()).keys
        return keys

    @cached_property
    def database(self) -> Database:
        """The store's database."""
        return Database(self.settings.database_url)

    @cached_property
    def parts(self) -> Parts:
        """What each part tells of itself."""
        return Parts(self.database)

    @cached_property
    def store(self) -> PostgresStore:
        """The event store."""
        return PostgresStore(self.database, Codec(self.subject_keys))

    @cached_property
    def public_store(self) -> PostgresStore:
        """The event store for those who may not, or need not, read personal data."""
        return PostgresStore(self.database, Codec(NoSubjectKeys()))

    @cached_property
    def subject_keys(self) -> PostgresSubjectKeys:
        """The keys of people."""
        return PostgresSubjectKeys(self.database.connect, self.keys)

    @cached_property
    def erasures(self) -> Erasures:
        """The list of who was erased.

        Raises:
            Invalid: no folder for it is set.
        """
        return Erasures(self.settings.backup_folder())

    @cached_property
    def installation(self) -> Installation:
        """The installation's id and naming; needs a prepared database."""
        return installation.load(self.database, self.keys)

    @cached_property
    def dispatcher(self) -> Dispatcher:
        """The one way to change facts."""
        keys = self.keys
        snapshots = StoredSnapshots(self.database, self.subject_keys)
        policy = self.settings.policy(keys.newest)
        return Dispatcher(self.store, policy, snapshots=snapshots, key_number=lambda: keys.current)

    @cached_property
    def passwords(self) -> Passwords:
        """The hashes of local passwords."""
        return Passwords(self.database)

    @cached_property
    def logins(self) -> Logins:
        """Who is signed in."""
        return Logins(self.database)

    @cached_property
    def sign_in_attempts(self) -> SignInAttempts:
        """How often sign-in was tried of late."""
        return SignInAttempts(self.database)

    @cached_property
    def sign_in_flows(self) -> SignInFlows:
        """Which sign-ins go through another service now."""
        return SignInFlows(self.database)

    @cached_property
    def login_tokens(self) -> LoginTokens:
        """What OpenID providers handed out for logins."""
        return LoginTokens(self.database, self.keys)

    @cached_property
    def engine(self) -> "Engine":
        """The read models' engine."""
        from calipso.engines import engine_of  # noqa: PLC0415 - its library takes long to import, and few read rows

        return engine_of(self.database)

    @cached_property
    def projecting_engine(self) -> "Engine":
        """The read models' engine for projections."""
        from calipso.engines import projecting_engine_of  # noqa: PLC0415 - as above

        return projecting_engine_of(self.database)

    @cached_property
    def reading_engine(self) -> "Engine":
        """The read models' engine for questions of requests."""
        from calipso.engines import reading_engine_of  # noqa: PLC0415 - as above

        return reading_engine_of(self.database)

    @cached_property
    def guacamole_engine(self) -> "Engine | None":
        """Guacamole's database, if there is one."""
        from calipso.engines import guacamole_engine_of  # noqa: PLC0415 - as above

        url = self.settings.guacamole_database_url
        return guacamole_engine_of(url) if url else None

    def bus(self, name: str, *, patience: float = math.inf) -> "AbstractAsyncContextManager[Bus]":
        """A connection to NATS.

        Args:
            name: what the server's own monitoring calls it.
            patience: seconds to wait for the server; then it raises `Unavailable`.
        """
        from calipso.bus import connected  # noqa: PLC0415 - its client takes long to import, and few speak to the bus
        from calipso.bus.access import Access  # noqa: PLC0415 - as above

        given = self.settings
        access = Access(
            authority=given.nats_tls_ca,
            certificate=given.nats_tls_cert,
            key=given.nats_tls_key,
            credentials=given.nats_credentials,
        )
        return connected(given.nats_url, given.facility, name=name, patience=patience, access=access)

    def close(self) -> None:
        """Give back all connections that were opened."""
        opened = vars(self)
        for name in ("engine", "projecting_engine", "reading_engine", "guacamole_engine"):
            if opened.get(name) is not None:
                opened[name].dispose()
        if "database" in opened:
            self.database.close()
