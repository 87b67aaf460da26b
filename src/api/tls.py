"""HTTPS without a proxy: the certificate and the key of the settings, checked before anything is served with them."""

import os
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import structlog
from cryptography import x509

from calipso.errors import Invalid
from calipso.settings import Settings

_log = structlog.get_logger()

_CERTIFICATE = "CALIPSO_TLS_CERTIFICATE"
_KEY = "CALIPSO_TLS_KEY"


def server_context(settings: Settings) -> ssl.SSLContext | None:
    """How the API speaks TLS, from version 1.2 on; None when the settings name no certificate.

    A certificate that is not valid now is logged, not refused: the clock may be wrong, and clients see it themselves.

    Raises:
        Invalid: a file cannot be read, or the key is not that of the certificate.
    """
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    chain = _read_chain(settings.tls_certificate)
    _read(_KEY, settings.tls_key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        # without a password the library would ask for one at the terminal
        context.load_cert_chain(settings.tls_certificate, settings.tls_key, password="")
    except ssl.SSLError as error:
        raise _unusable(settings.tls_certificate, settings.tls_key, error) from error
    _tell_validity(settings.tls_certificate, chain[0])
    return context


def _read_chain(file: Path) -> Sequence[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_read(_CERTIFICATE, file))
    except ValueError as error:
        raise Invalid("settings", f"{_CERTIFICATE}: {file} holds no certificate (PEM)") from error


def _read(name: str, file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise Invalid("settings", f"{name}: cannot read {file}: {reason}") from error


def _unusable(certificate: Path, key: Path, error: ssl.SSLError) -> Invalid:
    if error.reason == "KEY_VALUES_MISMATCH":
        return Invalid("settings", f"{_KEY}: {key} is not the key of the certificate in {certificate}")
    if error.reason in {"EE_KEY_TOO_SMALL", "CA_MD_TOO_WEAK", "CA_KEY_TOO_SMALL"}:
        return Invalid("settings", f"{_CERTIFICATE}: {certificate} is too weak ({error.reason})")
    return Invalid("settings", f"{_KEY}: {key} holds no private key (PEM) without a passphrase")


def _tell_validity(file: Path, certificate: x509.Certificate) -> None:
    now, begin, end = datetime.now(UTC), certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begin <= now <= end:
        event = "the certificate has expired" if now > end else "the certificate is not valid yet"
        _log.warning(event, file=str(file), valid_from=begin.isoformat(), valid_until=end.isoformat())
