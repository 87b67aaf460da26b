"""A Docker Engine, a cluster and its double, and what the tests of one installation leave on them."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import docker
import pytest
from docker import APIClient
from docker.errors import DockerException
from tests.runtimes.cluster import IMAGES
from tests.runtimes.cluster_binding import ClusterBinding
from tests.runtimes.docker_binding import DockerBinding
from tests.runtimes.double_binding import DoubleBinding
from tests.runtimes.kubernetes_double import Double

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
def cluster_binding(kubernetes_cluster: Path, tmp_path: Path) -> Iterator[ClusterBinding]:
    """A binding with an installation of its own, of which nothing is left in the end."""
    binding = ClusterBinding(kubernetes_cluster, tmp_path)
    yield binding
    binding.close()


@pytest.fixture
def kubernetes_double(tmp_path: Path) -> Iterator[Double]:
    """A double of a cluster, of the test's own."""
    with Double(tmp_path) as made:
        yield made


@pytest.fixture
def double_binding(kubernetes_double: Double, tmp_path: Path) -> Iterator[DoubleBinding]:
    """A binding to the test's own double."""
    binding = DoubleBinding(kubernetes_double, tmp_path)
    yield binding
    binding.close()


@pytest.fixture
def end_codes() -> frozenset[int]:
    """What a target tells of a process that ended well when it was stopped."""
    return frozenset({0})


@pytest.fixture
def open_root() -> Iterator[Path]:
    """A root that everybody can reach, and in which everybody may make folders."""
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        Path(made).chmod(0o1777)
        yield Path(made)
