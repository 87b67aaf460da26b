"""One installation for all acceptance tests, with two targets on one Docker Engine."""

import json
from collections.abc import Iterator, Sequence

import docker
import psycopg
import pytest
from docker.models.containers import Container
from tests.acceptance.system import PASSWORD, System, system
from tests.conftest import find_free_port

TINY = "calipso/tiny:1"
IMAGES = {
    "tiny": (TINY, "http"),
    "tiny-vnc": (f"{TINY}-vnc", "vnc"),
    "slow": (f"{TINY}-slow", "http"),
    "crash": (f"{TINY}-crash", "http"),
    "token": (f"{TINY}-token", ""),
    "silent": (f"{TINY}-silent", "http"),
    "stubborn": (f"{TINY}-stubborn", "http"),
    "desktop": ("calipso/desktop:1", "vnc"),
    "absent": ("calipso/absent:1", "vnc"),
}


ENGINE = "unix:///var/run/docker.sock"
TARGETS = json.dumps(
    [
        {"name": "links", "runtime": "static_link"},
        {"name": "docker-a", "runtime": "docker_container", "address": ENGINE},
        {"name": "docker-b", "runtime": "docker_container", "address": ENGINE},
        {"name": "away", "runtime": "docker_container", "address": "tcp://127.0.0.1:9"},
    ]
)


@pytest.fixture(scope="session")
def installation() -> Iterator[System]:
    """A running installation with users, an experiment with two sessions, and the test images."""
    with system(CALIPSO_TARGETS=TARGETS, CALIPSO_CORS_ORIGIN_WHITELIST=f"localhost:{find_free_port()}") as made:
        made.start()
        fill(made)
        yield made
        remove_all(made)


def fill(made: System) -> None:
    """Add what the tests need, by the command line."""
    add = made.command_here
    for name in ("ada", "bob"):
        add("users", "add", name, "--password-stdin", stdin=PASSWORD)
    add("users", "add", "root", "--admin", "--password-stdin", stdin=PASSWORD)
    add(
        *("experiments", "add", "--public-number", "P1", "--title", "Tin", "--description", "Cold"),
        *("--beamline-code", "BL01", "--uid", "5001", "--gid", "5002"),
    )
    for number in ("1", "2"):
        volumes = {
            str(made.folder / "datasets" / "p1"): {"bind": "/p1", "mode": "ro"},
            str(made.folder / "results" / "p1"): {"bind": "/p1", "mode": "rw"},
        }
        add(
            *("sessions", "add", "--public-number", "P1", "--session-number", number, "--start-date", "2026-11-20"),
            *("--end-date", "2026-11-23", "--subject", "Tin", "--body", "Cold", "--data-set-path", json.dumps(volumes)),
        )
    add("members", "add", "--userlogin", "ada", "--public-number", "P1")
    for name, (reference, protocol) in IMAGES.items():
        add(*adding(name, reference, "--protocol", protocol, "--target", "docker-a", "--target", "docker-b"))
    add("images", "change", "token", "--logs-er", "token=[0-9a-f]+")
    add(*adding("never-matches", TINY, "--protocol", "", "--logs-er", "no such line", "--target", "docker-a"))
    add(*adding("away", TINY, "--protocol", "http", "--target", "away"))
    add("images", "add", "link", "--image", "https://example.org/", "--resource-type", "static_link")


def add_image(made: System, name: str, reference: str, *options: str) -> None:
    """Add an image of the docker runtime that takes little."""
    made.command(*adding(name, reference, *options))


def adding(name: str, reference: str, *options: str) -> Sequence[str]:
    """The command for that."""
    return ("images", "add", name, "--image", reference, "--cpu", "0.5", "--memory", "256M", "--hdd", "1G", *options)


def ours(made: System) -> list[Container]:
    """What the engine has of the installation's containers."""
    found: list[Container] = docker.from_env().containers.list(
        all=True, filters={"label": f"calipso.installation={installation_id(made)}"}
    )
    return found


def installation_id(made: System) -> str:
    """The id with which the installation labels its containers."""
    with psycopg.connect(made.addresses()["database_url"]) as connection:
        row = connection.execute("SELECT id FROM installation").fetchone()
    assert row is not None
    return str(row[0])


def remove_all(made: System) -> None:
    """Remove every container of the installation from the engine, and its networks."""
    for container in ours(made):
        container.remove(force=True, v=True)
    for network in docker.from_env().networks.list(filters={"label": f"calipso.installation={installation_id(made)}"}):
        network.remove()
