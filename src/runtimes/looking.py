"""Second looks at a container, for what its target did not know at the start."""

import asyncio
import contextlib
from uuid import UUID

from calipso.errors import Unavailable
from calipso.runtimes.protocol import ContainerRuntime, Observation, RuntimeFailed

_LOOK_SECONDS = 2.0


async def image_digest(runtime: ContainerRuntime, observation: Observation) -> str:
    """The digest of a container's image, which some targets know only when it runs.

    Args:
        runtime: what made the container.
        observation: what it said at the start.
    """
    if observation.image_digest or not runtime.keeps_containers:
        return observation.image_digest
    seen = await _look(runtime, observation.container_id)
    return seen.image_digest if seen else ""


async def why_not_yet(runtime: ContainerRuntime, container_id: UUID) -> str:
    """What the target says of a container that did not become usable, in brackets; empty when it says nothing."""
    seen = await _look(runtime, container_id)
    return f" ({seen.detail})" if seen and seen.detail else ""


async def _look(runtime: ContainerRuntime, container_id: UUID) -> Observation | None:
    with contextlib.suppress(Unavailable, RuntimeFailed, TimeoutError):
        async with asyncio.timeout(_LOOK_SECONDS):
            return await asyncio.to_thread(runtime.observe, container_id)
    return None
