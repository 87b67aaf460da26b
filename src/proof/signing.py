"""Signatures of checkpoints: Ed25519, by a key that derives from a master key and so needs no keeping of its own."""

from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from calipso.credentials import MasterKeys
from calipso.errors import Invalid
from calipso.proof.checkpoints import Read, Signature

_PURPOSE = "checkpoint signing key"


def sign(keys: MasterKeys, installation: UUID, text: bytes) -> Signature:
    """The signature of a checkpoint's text under the master key in use."""
    number = keys.current
    return Signature(number=number, signature=_private(keys, number, installation).sign(text))


def public_key(keys: MasterKeys, number: int, installation: UUID) -> bytes:
    """The public key (PEM) that belongs to a master key.

    Raises:
        Invalid: there is no master key of this number.
    """
    return (
        _private(keys, number, installation).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )


def check(read: Read, pem: bytes) -> None:
    """Check the signature of a checkpoint.

    Raises:
        Invalid: it has none, or it is not by this key, or the key is no Ed25519 public key in PEM.
    """
    try:
        key = load_pem_public_key(pem)
    except ValueError as error:
        raise Invalid("public key", "this is no public key in PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise Invalid("public key", "this is no Ed25519 key")
    if read.signature is None:
        raise Invalid("checkpoint", "it is not signed, or its signature is damaged")
    try:
        key.verify(read.signature.signature, read.text)
    except InvalidSignature:
        raise Invalid("checkpoint", "its signature is not by this key, or the file was changed") from None


def _private(keys: MasterKeys, number: int, installation: UUID) -> Ed25519PrivateKey:
    if not keys.has(number):
        raise Invalid("master key", f"number {number} is not here; its public key may be given instead")
    return Ed25519PrivateKey.from_private_bytes(keys.derive(number, _PURPOSE, installation))
