"""Orders for containers, and a wait that has an end."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from tests.conftest import PATIENCE

from calipso.events.container import ContainerRequested
from calipso.events.naming import container_name
from calipso.events.values import Identity, ImageSpec, Mode, Protocol, Resources, Runtime, Volume
from calipso.runtimes.protocol import Order

SECRET = "geheim12"
RESOURCES = Resources(millicores=500, memory=64 * 2**20)
IDENTITY = Identity(uid=12345, gid=23456, groups=(100, 34567))


def image(
    reference: str, protocol: Protocol = Protocol.HTTP, *, logs_er: str = "", runtime: Runtime = Runtime.DOCKER
) -> ImageSpec:
    return ImageSpec(reference=reference, runtime=runtime, protocol=protocol, resources=RESOURCES, logs_er=logs_er)


def order(spec: ImageSpec, *, volumes: tuple[Volume, ...] = (), workdir: str = "") -> Order:
    """An order for a new container."""
    container_id = uuid4()
    request = ContainerRequested(
        container_id=container_id,
        user_id=uuid4(),
        target="here",
        image_id=uuid4(),
        image_name="image",
        image=spec,
        resources=spec.resources,
        label="1",
        info="P1",
        session=None,
        identity=IDENTITY,
        volumes=volumes,
        workdir=workdir,
        account=":ada of a lab",
        key_number=1,
        deadline=datetime.now(UTC) + timedelta(minutes=1),
    )
    return Order(request=request, name=container_name(container_id), secret=SECRET)


def volumes_of(*folders: Path) -> tuple[Volume, ...]:
    """Volumes that may be written."""
    return tuple(Volume(source=str(f), bind=f"/data/{n}", mode=Mode.READ_WRITE) for n, f in enumerate(folders))


def wait_until(condition: Callable[[], object], *, seconds: float = PATIENCE) -> None:
    """Ask again and again until the answer is yes; fail after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)
