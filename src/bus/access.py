"""How a NATS server and this program know each other."""

import os
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from calipso.errors import Invalid

_PLAIN = re.compile("[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, kw_only=True)
class Access:
    """How a server is known, and how we are, by files; none is needed where the URL has user and password.

    Args:
        authority: the certificate authority of the servers; with it they are spoken to by TLS.
        certificate: ours, in PEM.
        key: of our certificate.
        credentials: of a user, as NATS writes them.
    """

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    credentials: Path | None = None

    def options(self, url: str) -> dict[str, Any]:
        """What the client takes, with an inbox that a server can keep for this user alone.

        Raises:
            Invalid: a file cannot be read, or is not what it should be.
        """
        given: dict[str, Any] = {"inbox_prefix": _inbox(url)}
        if self.authority is not None:
            given["tls"] = self._context(self.authority)
        if self.credentials is not None:
            if not os.access(self.credentials, os.R_OK):
                raise Invalid("settings", f"CALIPSO_NATS_CREDENTIALS: {self.credentials} cannot be read")
            given["user_credentials"] = str(self.credentials)
        return given

    def _context(self, authority: Path) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=str(authority))
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise Invalid("settings", f"CALIPSO_NATS_TLS_CA, _CERT, _KEY: {error}") from error
        return context


def _inbox(url: str) -> str:
    """Where answers to a user come: nobody else's permissions need hold it."""
    user = urlsplit(url.partition(",")[0]).username or ""
    return f"_INBOX.{user}" if _PLAIN.fullmatch(user) and ":" in url.partition("@")[0].partition("://")[2] else "_INBOX"
