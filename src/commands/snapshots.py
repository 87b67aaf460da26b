"""Snapshots of states: what a process that never saw a long stream begins with, in place of its first event.

They are made of events and may be thrown away at any time; what is decided never depends on whether there are any.
"""

import hashlib
import inspect
import sys
from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol
from uuid import UUID

from calipso.commands.handling import Fold
from calipso.events import envelope, values

EVERY = 50  # events of a stream


class Snapshots(Protocol):
    """Where snapshots are kept. Blocking; safe for use from several threads."""

    def find(self, folds: Mapping[UUID, Fold[Any]]) -> Mapping[UUID, tuple[int, Any]]:
        """What is kept of streams: the version and the state then, of those that a fold of today made.

        Raises:
            Unavailable: the store does not answer.
        """

    def keep(self, fold: Fold[Any], stream: UUID, subject: UUID, version: int, state: Any) -> None:  # noqa: ANN401 - of any fold
        """Keep the state of a stream at a version, in place of an older one; not that of an erased subject.

        Args:
            fold: how it followed from the events.
            stream: its key.
            subject: whose personal data may be in it.
            version: of the last event in it.
            state: what is kept.

        Raises:
            Unavailable: the store does not answer.
        """


class NoSnapshots:
    """None are kept: every stream is read from its first event."""

    def find(self, folds: Mapping[UUID, Fold[Any]]) -> Mapping[UUID, tuple[int, Any]]:  # noqa: ARG002 - the protocol
        """None."""
        return {}

    def keep(self, fold: Fold[Any], stream: UUID, subject: UUID, version: int, state: Any) -> None:  # noqa: ANN401 - the protocol
        """Nothing."""


def mark_of(fold: Fold[Any]) -> str:
    """What a fold is known by: another one as soon as anything in the files of its state and its values changes.

    So nobody has to remember to raise a number, and a state that was folded by other rules is never believed.
    """
    return f"{fold.name} {_digest(fold.evolve.__module__)}"


@cache
def _digest(module: str) -> str:
    files = sys.modules[module], values, envelope
    return hashlib.sha256("".join(inspect.getsource(file) for file in files).encode()).hexdigest()[:16]
