"""The catalogue: what may be launched."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from calipso.events.envelope import Event
from calipso.events.values import ImageSpec


@dataclass(frozen=True, kw_only=True)
class ImageEvent(Event, is_base=True):
    """An event of one catalogue entry."""

    kind: ClassVar[str] = "image"
    image_id: UUID

    @property
    def stream(self) -> UUID:
        """The entry's stream, a keyed hash of its name."""
        return self.image_id


@dataclass(frozen=True, kw_only=True)
class ImageAdded(ImageEvent):
    """An entry came into the catalogue (again, if it had been withdrawn)."""

    name: str
    spec: ImageSpec


@dataclass(frozen=True, kw_only=True)
class ImageChanged(ImageEvent):
    """An entry says something else now; containers that run keep what they were started with."""

    spec: ImageSpec


@dataclass(frozen=True, kw_only=True)
class ImageWithdrawn(ImageEvent):
    """An entry left the catalogue; containers that run are not touched."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """A catalogue entry that may be launched."""

    image_id: UUID
    name: str
    spec: ImageSpec


def evolve(state: Image | None, event: Event) -> Image | None:
    """The entry after one more event; None while it is not in the catalogue."""
    match event:
        case ImageAdded():
            return Image(image_id=event.image_id, name=event.name, spec=event.spec)
        case ImageChanged() if state is not None:
            return Image(image_id=state.image_id, name=state.name, spec=event.spec)
        case ImageWithdrawn():
            return None
        case _:
            return state
