"""Checkpoints: what the chain was at a time, as a text to be kept elsewhere, signed if wanted.

    calipso checkpoint 1
    facility: <short id>
    installation: <uuid>
    made: <time>
    events: <number of events chained>
    marks: <number of the lines that follow>
    <position> <hash in hex>
    ...
    signature: <number of the master key> <base64 of the Ed25519 signature of all bytes before this line>

The last mark is the end of the chain; those before it let a verification say where a rewritten chain leaves it.
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from uuid import UUID

from calipso.database import Database
from calipso.errors import Invalid, Unavailable
from calipso.proof.chain import Link

_FORMAT = "calipso checkpoint 1"
_MOST_MARKS = 10_000
_COUNT = "SELECT count(*) AS number FROM event_chain"
_MARKS = """
SELECT position, hash FROM (
    SELECT position, hash, row_number() OVER (ORDER BY position) AS number FROM event_chain
) AS numbered WHERE number <= %(count)s AND (number %% %(step)s = 0 OR number = %(count)s) ORDER BY position
"""
_HEAD = re.compile(
    rf"{_FORMAT}\nfacility: (?P<facility>\S+)\ninstallation: (?P<installation>\S+)\nmade: (?P<made>\S+)\n"
    r"events: (?P<events>[0-9]{1,18})\nmarks: (?P<marks>[0-9]{1,9})\n"
)
_MARK = re.compile(r"(?P<position>[0-9]{1,18}) (?P<hash>[0-9a-f]{64})")
_SIGNATURE = re.compile(rb"signature: (?P<number>[0-9]{1,9}) (?P<signature>[A-Za-z0-9+/]{86}==)\n?")
_FIELD = "checkpoint"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What the chain of an installation was: `events` of them chained, the hash after some of them in `marks`."""

    facility: str
    installation: UUID
    made: datetime
    events: int
    marks: Sequence[Link]

    @property
    def last(self) -> Link:
        """The end of the chain at that time."""
        return self.marks[-1]

    def text(self) -> bytes:
        """The text of it, to which a signature may be added."""
        marks = "".join(f"{mark.position} {mark.hash.hex()}\n" for mark in self.marks)
        return (
            f"{_FORMAT}\nfacility: {self.facility}\ninstallation: {self.installation}\nmade: {self.made.isoformat()}\n"
            f"events: {self.events}\nmarks: {len(self.marks)}\n{marks}"
        ).encode()


@dataclass(frozen=True, kw_only=True)
class Signature:
    """A signature of a checkpoint's text; `number` is that of the master key from which the signing key derives."""

    number: int
    signature: bytes

    def line(self) -> bytes:
        """The line of it."""
        return f"signature: {self.number} {base64.b64encode(self.signature).decode()}\n".encode()


@dataclass(frozen=True, kw_only=True)
class Read:
    """A checkpoint that was read: `text` are the bytes that are signed, if they are."""

    checkpoint: Checkpoint
    text: bytes
    signature: Signature | None


def take(database: Database, *, facility: str, installation: UUID) -> Checkpoint:
    """A checkpoint of the chain as it is now.

    Raises:
        Unavailable: the database does not answer, or nothing is chained yet.
    """
    with database.connect() as connection:
        found = connection.execute(_COUNT).fetchone()
        count = int(found["number"]) if found else 0
        rows = connection.execute(_MARKS, {"count": count, "step": -(-count // _MOST_MARKS) or 1}).fetchall()
    if not rows:
        raise Unavailable("the chain", "no event is chained yet")
    return Checkpoint(
        facility=facility,
        installation=installation,
        made=datetime.now(UTC).replace(microsecond=0),
        events=count,
        marks=[Link(position=row["position"], hash=bytes(row["hash"])) for row in rows],
    )


def parse(content: bytes) -> Read:
    """Read a checkpoint.

    Raises:
        Invalid: it is none, or not whole.
    """
    text, signature = _split(content)
    try:
        written = text.decode("ascii")
    except UnicodeDecodeError:
        raise Invalid(_FIELD, f"this is no file of `{_FORMAT}`") from None
    head = _HEAD.match(written)
    if head is None:
        raise Invalid(_FIELD, f"this is no file of `{_FORMAT}`")
    marks = [_mark(line) for line in written[head.end() :].splitlines()]
    if len(marks) != int(head["marks"]) or not marks:
        raise Invalid(_FIELD, f"it should have {head['marks']} marks and has {len(marks)}")
    if any(one.position >= other.position for one, other in pairwise(marks)):
        raise Invalid(_FIELD, "its marks are not in the order of their positions")
    try:
        checkpoint = Checkpoint(
            facility=head["facility"],
            installation=UUID(head["installation"]),
            made=datetime.fromisoformat(head["made"]),
            events=int(head["events"]),
            marks=marks,
        )
    except ValueError as error:
        raise Invalid(_FIELD, str(error)) from error
    return Read(checkpoint=checkpoint, text=text, signature=signature)


def _split(content: bytes) -> tuple[bytes, Signature | None]:
    begin = content.rfind(b"\nsignature: ") + 1
    found = _SIGNATURE.fullmatch(content, begin) if begin else None
    if found is None:
        return content, None
    signature = Signature(number=int(found["number"]), signature=base64.b64decode(found["signature"]))
    return content[:begin], signature


def _mark(line: str) -> Link:
    found = _MARK.fullmatch(line)
    if found is None:
        raise Invalid(_FIELD, f"{line[:40]!r} is no mark")
    return Link(position=int(found["position"]), hash=bytes.fromhex(found["hash"]))
