"""A Docker Engine with the images of ops/images, and containers that go when the test ends."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import docker
import pytest
from docker.models.containers import Container
from tests.images.containers import create

BUILD = Path(__file__).parents[2] / "ops" / "images" / "build"


class Start(Protocol):
    """Starts a container of an image, with Docker's own options beside the usual ones."""

    def __call__(self, image: str, *, password: str | None = None, **options: Any) -> Container: ...  # noqa: ANN401


def build(image: str) -> None:
    subprocess.run([BUILD, image], check=True)


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    client.ping()
    yield client
    client.close()


@pytest.fixture(scope="session")
def tiny(engine: docker.DockerClient) -> str:  # noqa: ARG001 - the engine answers
    build("tiny")
    return "calipso/tiny:1"


@pytest.fixture(scope="session")
def desktop(engine: docker.DockerClient) -> str:  # noqa: ARG001 - the engine answers
    build("desktop")
    return "calipso/desktop:1"


@pytest.fixture
def start(engine: docker.DockerClient) -> Iterator[Start]:
    made: list[Container] = []

    def start_one(image: str, *, password: str | None = None, **options: Any) -> Container:  # noqa: ANN401 - docker's own options
        container = create(engine, image, password=password, **options)
        made.append(container)
        container.start()
        return container

    yield start_one
    for container in made:
        container.remove(force=True, v=True)
