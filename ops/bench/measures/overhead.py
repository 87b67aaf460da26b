"""How much longer a `run` takes than a bare `docker run`; the program `run_overhead` measures it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from measures.results import Result
from measures.servers import USER, installation, processor_seconds, resident_megabytes

_IMAGE = ("--image", "calipso/tiny:1", "--protocol", "http", "--cpu", "0.1", "--memory", "64M", "--hdd", "1G")
_SETTINGS = {"CALIPSO_MAX_RESOURCES_PER_USER": "50", "CALIPSO_MAX_CPU_PER_USER": "50"}
_ROUNDS = 5


@contextmanager
def _without_new_networks(docker: str) -> Iterator[None]:
    """Leave no network behind: an engine has addresses for some thirty. One that is missing is made again."""
    before = _networks(docker)
    yield
    if new := _networks(docker) - before:
        subprocess.run([docker, "network", "rm", *new], capture_output=True, check=False)


def _networks(docker: str) -> set[str]:
    listing = [docker, "network", "ls", "--quiet", "--filter", "label=calipso.installation"]
    return set(subprocess.run(listing, capture_output=True, check=True, text=True).stdout.split())


def measure(folder: Path, together: int) -> Result | None:
    """Measure `run_overhead/1` or `/8`: seconds of a run beside 1.15 times the bare ones plus 0.15 s.

    Returns:
        None when no engine answers that has the image.
    """
    docker = shutil.which("docker")
    if (
        docker is None
        or subprocess.run([docker, "inspect", "calipso/tiny:1"], capture_output=True, check=False).returncode
    ):
        return None
    password_file, figures = folder / "password", folder / "figures.json"
    with _without_new_networks(docker), installation(folder, _SETTINGS) as server:
        server.command("images", "add", "tiny", *_IMAGE, "--resource-type", "docker_container")
        password_file.write_text(server.password)
        before = processor_seconds(server.processes())
        program = [sys.executable, str(Path(__file__).parents[1] / "run_overhead")]
        options = ["--url", server.url, "--user", USER, "--password-file", password_file, "--json", figures]
        subprocess.run([*program, *options, "--rounds", str(_ROUNDS), "--together", str(together)], check=False)
        used, memory = processor_seconds(server.processes()) - before, resident_megabytes(server.processes())
    (found,) = json.loads(figures.read_text())
    return Result(
        name=f"run_overhead/{together}",
        measured=found["measured"],
        limit=found["limit"],
        unit="s",
        spread=tuple(found["spread"]),
        cpu_ms=used / ((_ROUNDS + 1) * together) * 1000,
        rss_mb=memory,
        wanted="<= 1",
    )
