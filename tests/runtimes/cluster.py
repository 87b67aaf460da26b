"""A real Kubernetes cluster for the tests, and the images that they run on it."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

KUBE = Path(__file__).parents[3] / "shared" / "kube"
_VARIANTS = ("", "-vnc", "-slow", "-crash", "-crashlater", "-exit0later", "-token", "-silent", "-stubborn")
IMAGES = {f"calipso/tiny:1{variant}" for variant in _VARIANTS}


@pytest.fixture(scope="session")
def kubernetes_cluster() -> Iterator[Path]:
    """The kubeconfig of a real cluster that has the images of the tests.

    CALIPSO_TEST_KUBECONFIG names one; else the small cluster that may stand beside this tree is started, and stopped in
    the end.
    """
    if given := os.environ.get("CALIPSO_TEST_KUBECONFIG"):
        load_images(Path(given), *IMAGES)
        yield Path(given)
        return
    if not (KUBE / "up").exists() or os.geteuid() != 0:
        pytest.skip("NO KUBERNETES: CALIPSO_TEST_KUBECONFIG names no cluster, and none can be started here")
    # its path must be short
    with tempfile.TemporaryDirectory(prefix="calipso-kube-", dir="/tmp") as folder:
        started = subprocess.run([KUBE / "up", folder], capture_output=True, text=True, check=False)
        assert started.returncode == 0, started.stderr[-2000:]
        try:
            load_images(Path(folder) / "kubeconfig", *IMAGES)
            yield Path(folder) / "kubeconfig"
        finally:
            subprocess.run([KUBE / "down", folder], check=True, stdout=subprocess.DEVNULL)


def load_images(kubeconfig: Path, *images: str) -> None:
    """Bring images of the engine to a cluster of our own; somebody else's must have them."""
    if not (kubeconfig.parent / "node" / "ctr.sock").exists():
        return
    with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
        subprocess.run(["docker", "save", *sorted(images)], stdout=archive, check=True)
        subprocess.run([KUBE / "load-image", kubeconfig.parent, archive.name], check=True, stdout=subprocess.DEVNULL)
