"""Events in the lives of containers that Guacamole shows, or does not."""

from typing import Any
from uuid import UUID, uuid4

from tests import builders

from calipso.events.container import ContainerRequested
from calipso.events.envelope import Event
from calipso.events.values import Placement, Protocol, Runtime

PLACE = Placement(runtime_id="r", name="n", host="10.1.0.7", port=32768)
ELSEWHERE = Placement(runtime_id="r", name="n", host="10.1.0.8", port=5901)
KINDS = ("requested", "starting", "started", "moved", "stop_requested", "stopped", "removed", "failed", "lost")


def requested(
    protocol: Protocol = Protocol.VNC,
    runtime: Runtime = Runtime.DOCKER,
    container_id: UUID | None = None,
    **changes: Any,  # noqa: ANN401 - fields of the event
) -> ContainerRequested:
    """The request of a container of its own."""
    image = builders.image_spec(protocol=protocol, runtime=runtime)
    return builders.container_requested(container_id or uuid4(), image=image, **changes)


def event_of(kind: str, request: ContainerRequested) -> Event:
    """One of `KINDS` in the life that a request began."""
    match kind:
        case "requested":
            return request
        case "started":
            return builders.started(request, PLACE)
        case "moved":
            return builders.started(request, ELSEWHERE)
        case _:
            made: Event = getattr(builders, kind)(request)
            return made
