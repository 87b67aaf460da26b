"""A Docker Engine, and what the tests of one installation leave on it."""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import docker
import kubernetes
import pytest
from docker import APIClient
from docker.errors import DockerException
from tests.runtimes.cluster import IMAGES
from tests.runtimes.docker_binding import DockerBinding
from tests.runtimes.kubernetes_binding import KubernetesBinding, container_killer

ADDRESS = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")


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


@pytest.fixture
def kubernetes_binding(kubernetes_cluster: Path) -> Iterator[KubernetesBinding]:
    """A binding with an installation of its own, of which nothing is left in the end."""
    api = kubernetes.config.new_client_from_config(str(kubernetes_cluster))  # type: ignore[no-untyped-call]  # the library has no types here
    binding = KubernetesBinding(api, kubernetes_cluster, uuid4().hex, container_killer(kubernetes_cluster.parent))
    yield binding
    binding.close()
    api.close()
