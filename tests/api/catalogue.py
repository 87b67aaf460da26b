"""Images of the tests of the API."""

from uuid import uuid4

from tests.api.conftest import Api

from calipso.commands.handling import IMAGE
from calipso.events.image import Image

BODY = {"image": "desktop:12", "protocol": "vnc", "cpu": 2, "memory": "3G", "hdd": "5G"}


def new_name() -> str:
    """A name that no image has."""
    return f"image-{uuid4().hex}"


def stored(api: Api, name: str) -> Image | None:
    """The image of a name, as its events tell it."""
    return api.backend.dispatcher.state(IMAGE, api.backend.installation.naming.image(name))
