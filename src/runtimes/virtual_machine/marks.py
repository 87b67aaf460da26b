"""The marks by which machines are found again: an element of ours in the metadata of their definitions."""

from dataclasses import dataclass
from uuid import UUID, uuid5
from xml.etree import ElementTree as ET

from calipso.events.naming import container_name

MARK = "urn:calipso:container"
STARTED = "urn:calipso:started"
_INSTALLATION, _FACILITY, _TARGET, _CONTAINER = "installation", "facility", "target", "container"
_PORT, _IMAGE = "port", "image"


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What a machine's definition says of its container.

    `port` is that of the service in the guest, 0 where the hypervisor's own VNC is the service; `image` tells which
    disk it was made from; `has_started` whether it was ever started.
    """

    container_id: UUID
    port: int
    image: str
    has_started: bool


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Whose machines these are."""

    installation: str
    facility: str
    target: str

    def mark(self, container_id: UUID, *, port: int, image: str) -> ET.Element:
        """The element that marks the machine of a container."""
        given = {
            _INSTALLATION: self.installation,
            _FACILITY: self.facility,
            _TARGET: self.target,
            _CONTAINER: str(container_id),
            _PORT: str(port),
            _IMAGE: image,
        }
        return ET.Element(f"{{{MARK}}}container", given)

    def read(self, definition: ET.Element) -> Mark | None:
        """The mark in a machine's definition; None when it is not of this installation and target."""
        mark = definition.find(f"metadata/{{{MARK}}}container")
        if mark is None or (mark.get(_INSTALLATION), mark.get(_TARGET)) != (self.installation, self.target):
            return None
        try:
            return Mark(
                container_id=UUID(mark.get(_CONTAINER, "")),
                port=int(mark.get(_PORT, "")),
                image=mark.get(_IMAGE, ""),
                has_started=definition.find(f"metadata/{{{STARTED}}}started") is not None,
            )
        except ValueError:
            return None

    def prefix(self, container_id: UUID) -> str:
        """How the names of all volumes of one container begin; no other installation or target has the same."""
        # volumes cannot carry marks
        own = uuid5(container_id, f"{self.installation}/{self.target}").hex[:8]
        return f"{container_name(container_id)}-{own}."
