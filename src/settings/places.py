"""Where the parts of an installation are."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from calipso.errors import Invalid
from calipso.settings.kinds import SHORT_ID

MASTER_KEY_FILE = "master.key"  # in the data folder


class PlaceSettings(BaseSettings):
    """Databases, bus, keys, and the facility's own name."""

    data: Annotated[
        Path,
        Field(
            description="folder of the embedded default: PostgreSQL, NATS, master key; for root in a place that others "
            "cannot enter, a folder below /var/lib/calipso",
            default_factory=lambda: default_data(Path.cwd()),
        ),
    ]
    database_url: Annotated[str, Field(description="PostgreSQL of the events; empty: the embedded one in `data`")] = ""
    guacamole_database_url: Annotated[
        str, Field(description="Guacamole's database, postgresql:// or mysql://; empty: embedded, or none")
    ] = ""
    nats_url: Annotated[str, Field(description="NATS server; empty: the embedded one in `data`")] = ""
    nats_tls_ca: Annotated[
        Path | None,
        Field(description="certificate authority of the NATS servers; with it they are spoken to by TLS"),
    ] = None
    nats_tls_cert: Annotated[Path | None, Field(description="our client certificate for NATS")] = None
    nats_tls_key: Annotated[Path | None, Field(description="the key of `nats_tls_cert`")] = None
    nats_credentials: Annotated[
        Path | None, Field(description="file of credentials (.creds) for NATS, where the URL has no user and password")
    ] = None
    master_keys: Annotated[
        SecretStr, Field(description="lines NUMBER:BASE64 of 32 bytes; best given as CALIPSO_MASTER_KEYS_FILE")
    ] = SecretStr("")
    backups: Annotated[
        Path | None,
        Field(
            description="folder for backups and for the list of who was erased, which a restore needs: on another disk "
            "than the databases; empty: the folder `backups` in `data`, where the embedded databases are used"
        ),
    ] = None
    retention_days: Annotated[
        int,
        Field(
            ge=0,
            description="days without a sign-in, a container, a membership or a visit after which "
            "`calipso users erase --expired` erases an account; 0: never",
        ),
    ] = 0
    facility: Annotated[
        str, Field(pattern=SHORT_ID, description="short id of the facility, in subjects and labels")
    ] = "calipso"
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Field(description="what is logged")] = "info"
    debug: Annotated[
        bool, Field(description="log at level debug, whatever `log_level` says; answers never show more")
    ] = False

    def backup_folder(self) -> Path:
        """Where backups and the list of erasures are.

        Raises:
            Invalid: it is not set.
        """
        if self.backups is None:
            raise Invalid("settings", "CALIPSO_BACKUPS must name the folder where backups are kept")
        return self.backups

    def place_faults(self) -> Iterator[str]:
        """What is wrong with these settings together."""
        if (self.nats_tls_cert is None) != (self.nats_tls_key is None):
            yield "NATS_TLS_CERT and NATS_TLS_KEY must be given together"
        if self.nats_tls_cert is not None and self.nats_tls_ca is None:
            yield "NATS_TLS_CERT needs NATS_TLS_CA, the authority of the servers"

    @property
    def master_keys_file(self) -> Path | None:
        """The file from which the master keys came, None when they were given in another way."""
        if named := os.environ.get("CALIPSO_MASTER_KEYS_FILE"):
            return Path(named)
        own, given = self.data / MASTER_KEY_FILE, set(self.master_keys.get_secret_value().split())
        return own if given and own.is_file() and given <= set(own.read_text().split()) else None

    @property
    def effective_log_level(self) -> str:
        """The level at which processes log."""
        return "debug" if self.debug else self.log_level


def default_data(here: Path) -> Path:
    """The folder `data` in the current one, unless the account of root's PostgreSQL could not reach it.

    Args:
        here: the current folder.
    """
    closed = [folder for folder in (here, *here.parents) if not folder.stat().st_mode & stat.S_IXOTH]
    if os.geteuid() == 0 and closed:
        return Path("/var/lib/calipso") / hashlib.sha256(str(here).encode()).hexdigest()[:12]
    return here / "data"
