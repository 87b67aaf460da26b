"""Gives out links: nothing is made anywhere, so nothing can be observed, end, or be lost."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from threading import Event
from uuid import UUID

from calipso.runtimes.protocol import Observation, Order, Status, Target


class StaticLinkRuntime:
    """Answers at once with the address that the image names.

    Args:
        target: whose links are given out; its address is not used.
    """

    keeps_containers = False

    def __init__(self, target: Target) -> None:
        self._target = target

    def start(self, order: Order) -> Observation:
        """The image's reference is the link."""
        return Observation(
            container_id=order.request.container_id,
            runtime_id=order.request.container_id.hex,
            name=order.name,
            status=Status.RUNNING,
            link=order.request.image.reference,
        )

    def observe(self, container_id: UUID) -> Observation | None:  # noqa: ARG002 - the protocol's signature
        """Nothing, for a link is kept nowhere."""
        return None

    def list(self) -> Mapping[UUID, Observation]:
        """Nothing, for links are kept nowhere."""
        return {}

    def logs(self, container_id: UUID, *, lines: int) -> tuple[str, ...]:  # noqa: ARG002 - the protocol's signature
        """None, for a link has no log."""
        return ()

    def stop(self, container_id: UUID, *, grace: timedelta) -> None:
        """Nothing has to happen."""

    def remove(self, container_id: UUID) -> None:
        """Nothing has to happen."""

    def watch(self, ended: Event) -> Iterator[UUID]:
        """Wait until `ended` is set: links do not end."""
        ended.wait()
        yield from ()

    def ping(self) -> str:
        """What this is."""
        return f"links of {self._target.name}"
