"""A Docker Engine, and what the tests of one installation leave on it."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import docker
import kubernetes
import pytest
from docker import APIClient
from docker.errors import DockerException
from tests.runtimes.docker_binding import DockerBinding
from tests.runtimes.kubernetes_binding import KubernetesBinding, container_killer

KUBE = Path(__file__).parents[3] / "shared" / "kube"
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


@pytest.fixture(scope="session")
def kubernetes_cluster() -> Iterator[Path]:
    """The kubeconfig of a real cluster that has the images of the tests.

    CALIPSO_TEST_KUBECONFIG names one; else the small cluster that may stand beside this tree is started, and stopped in
    the end.
    """
    if given := os.environ.get("CALIPSO_TEST_KUBECONFIG"):
        load_images(Path(given))
        yield Path(given)
        return
    if not (KUBE / "up").exists() or os.geteuid() != 0:
        pytest.skip("NO KUBERNETES: CALIPSO_TEST_KUBECONFIG names no cluster, and none can be started here")
    # its path must be short
    with tempfile.TemporaryDirectory(prefix="calipso-kube-", dir="/tmp") as folder:
        started = subprocess.run([KUBE / "up", folder], capture_output=True, text=True, check=False)
        assert started.returncode == 0, started.stderr[-2000:]
        try:
            load_images(Path(folder) / "kubeconfig")
            yield Path(folder) / "kubeconfig"
        finally:
            subprocess.run([KUBE / "down", folder], check=True, stdout=subprocess.DEVNULL)


def load_images(kubeconfig: Path) -> None:
    """Bring the images of the tests to a cluster of our own; somebody else's must have them."""
    if not (kubeconfig.parent / "node" / "ctr.sock").exists():
        return
    with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
        subprocess.run(["docker", "save", *sorted(IMAGES)], stdout=archive, check=True)
        subprocess.run([KUBE / "load-image", kubeconfig.parent, archive.name], check=True, stdout=subprocess.DEVNULL)


@pytest.fixture
def kubernetes_binding(kubernetes_cluster: Path) -> Iterator[KubernetesBinding]:
    """A binding with an installation of its own, of which nothing is left in the end."""
    api = kubernetes.config.new_client_from_config(str(kubernetes_cluster))  # type: ignore[no-untyped-call]  # the library has no types here
    binding = KubernetesBinding(api, kubernetes_cluster, uuid4().hex, container_killer(kubernetes_cluster.parent))
    yield binding
    binding.close()
    api.close()
