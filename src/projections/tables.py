"""Read models: projections whose rows live beside the events, each in a schema of its own.

A schema per projection lets a rebuild fill a second one beside the live one and swap them by renaming.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from sqlalchemy import Connection, MetaData, Table
from sqlalchemy.schema import CreateSchema

from calipso.events.envelope import Recorded
from calipso.projections import protocol


def read_model_metadata(name: str) -> MetaData:
    """The tables of a read model; its schema is `rm_<name>`, and the position table is among them."""
    metadata = MetaData(schema=f"rm_{name}")
    protocol.position_table(metadata, metadata.schema)
    return metadata


class ReadModel(ABC):
    """The part of a read model that is the same for all; subclasses give name, topics, metadata and `apply`."""

    name: ClassVar[str]
    topics: ClassVar[frozenset[str] | None]
    metadata: ClassVar[MetaData]

    @property
    def position(self) -> Table:
        """Its table of one row with the position of the last event applied."""
        return self.metadata.tables[f"{self.metadata.schema}.position"]

    @abstractmethod
    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        """Change the rows for events of `topics`, in the order of their positions."""

    def prepare(self, connection: Connection) -> None:
        """Make the schema and the tables where they are missing."""
        connection.execute(CreateSchema(str(self.metadata.schema), if_not_exists=True))
        self.metadata.create_all(connection)
        protocol.ensure_position(connection, self.position)

    def lock_position(self, connection: Connection) -> int:
        """The position of the last event applied; others wait until the transaction ends."""
        return protocol.lock_position(connection, self.position)

    def save_position(self, connection: Connection, position: int) -> None:
        """Keep the position together with the rows."""
        protocol.save_position(connection, self.position, position)
