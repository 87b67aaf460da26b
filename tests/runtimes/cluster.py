"""A real Kubernetes cluster for the tests, and the images that they run on it."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import pytest

KUBE = Path(__file__).parents[3] / "shared" / "kube"
_VARIANTS = ("", "-vnc", "-slow", "-crash", "-crashlater", "-exit0later", "-token", "-silent", "-stubborn")
IMAGES = {f"calipso/tiny:1{variant}" for variant in _VARIANTS}


@pytest.fixture(scope="session")
def kubernetes_cluster() -> Iterator[Path]:
    """The kubeconfig of a real cluster that has the images of the tests.

    CALIPSO_TEST_KUBECONFIG names one; else the one that stands on this machine is used, or the small cluster that may
    stand beside this tree is started, and stopped in the end.
    """
    if given := os.environ.get("CALIPSO_TEST_KUBECONFIG"):
        load_images(Path(given), *IMAGES)
        yield Path(given)
        return
    if not (KUBE / "up").exists() or os.geteuid() != 0:
        pytest.skip("NO KUBERNETES: CALIPSO_TEST_KUBECONFIG names no cluster, and none can be started here")
    with standing_cluster() or new_cluster() as kubeconfig:
        load_images(kubeconfig, *IMAGES)
        yield kubeconfig


def standing_cluster() -> AbstractContextManager[Path] | None:
    """The cluster that stands on this machine already, which has room for one; it is not ours to end."""
    claim = Path("/sys/class/net/kubebr0/ifalias")
    folder = Path(claim.read_text().strip()) if claim.exists() else None
    if folder is None or not (folder / "kubeconfig").exists():
        return None
    start(folder)
    return nullcontext(folder / "kubeconfig")


def start(folder: Path) -> None:
    """Start what does not run of the cluster in a folder."""
    started = subprocess.run([KUBE / "up", folder], capture_output=True, text=True, check=False)
    assert started.returncode == 0, started.stderr[-2000:]


@contextmanager
def new_cluster() -> Iterator[Path]:
    """A cluster of the tests' own."""
    # its path must be short
    with tempfile.TemporaryDirectory(prefix="calipso-kube-", dir="/tmp") as folder:
        provide_busybox(Path(folder) / "node" / "deb" / "bin" / "busybox")
        try:
            start(Path(folder))
            yield Path(folder) / "kubeconfig"
        finally:
            subprocess.run([KUBE / "down", folder], check=True, stdout=subprocess.DEVNULL)


def provide_busybox(place: Path) -> None:
    """Put a static busybox where `up` looks first: what it unpacks itself it takes by the folder's order."""
    place.parent.mkdir(parents=True)
    image = next(iter(sorted(IMAGES)))
    made = subprocess.run(["docker", "create", image], capture_output=True, text=True, check=True).stdout.strip()
    try:
        subprocess.run(["docker", "cp", f"{made}:/bin/busybox", place], capture_output=True, check=True)
    finally:
        subprocess.run(["docker", "rm", made], stdout=subprocess.DEVNULL, check=True)


def load_images(kubeconfig: Path, *images: str) -> None:
    """Bring images of the engine to a cluster of our own; somebody else's must have them."""
    if not (kubeconfig.parent / "node" / "ctr.sock").exists():
        return
    with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
        subprocess.run(["docker", "save", *sorted(images)], stdout=archive, check=True)
        subprocess.run([KUBE / "load-image", kubeconfig.parent, archive.name], check=True, stdout=subprocess.DEVNULL)
