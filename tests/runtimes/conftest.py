"""A Docker Engine, and what the tests of one installation leave on it."""

import os
from collections.abc import Iterator
from uuid import uuid4

import docker
import pytest
from docker import APIClient
from docker.errors import DockerException
from tests.runtimes.docker_binding import DockerBinding

ADDRESS = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
_VARIANTS = ("", "-vnc", "-slow", "-crash", "-crashlater", "-exit0later", "-token", "-silent", "-stubborn")
IMAGES = {f"calipso/tiny:1{variant}" for variant in _VARIANTS}


@pytest.fixture(scope="session")
def engine() -> Iterator[APIClient]:
    """The engine itself, for looks past the runtime."""
    try:
        client = docker.DockerClient(base_url=ADDRESS, version="auto")
    except DockerException as error:
        pytest.fail(f"no Docker Engine answers at {ADDRESS}: run ops/docker-engine ({error})")
    tags = {tag for found in client.images.list("calipso/tiny") for tag in found.tags}
    if missing := IMAGES - tags:
        pytest.fail(f"{', '.join(sorted(missing))} missing: run ops/images/build tiny")
    yield client.api
    client.close()


@pytest.fixture
def docker_binding(engine: APIClient) -> Iterator[DockerBinding]:
    """A binding with an installation of its own, of which nothing is left in the end."""
    binding = DockerBinding(engine, ADDRESS, str(uuid4()))
    yield binding
    binding.close()
