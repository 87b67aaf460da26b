"""The two programs that bring engine and images: run again, they find everything there."""

import subprocess
from pathlib import Path

import docker
import pytest

OPS = Path(__file__).parents[2] / "ops"
pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("tiny")]


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_an_engine_that_answers_is_left_as_it_is() -> None:
    result = run(OPS / "docker-engine")
    assert result.returncode == 0
    assert "answers at" in result.stdout
    assert "starting" not in result.stdout


def test_a_second_build_builds_nothing(engine: docker.DockerClient) -> None:
    before = engine.images.get("calipso/tiny:1").id
    result = run(OPS / "images" / "build", "tiny")
    assert result.stdout == "images: calipso/tiny:1 and its variants are there\n"
    assert engine.images.get("calipso/tiny:1").id == before


def test_an_engine_that_does_not_answer_is_named() -> None:
    result = run(OPS / "images" / "build", "tiny", "--engine", "tcp://127.0.0.1:9")
    assert result.returncode == 1
    assert "tcp://127.0.0.1:9" in result.stderr


@pytest.mark.parametrize("program", ["docker-engine", "images/build"])
def test_an_unknown_argument_shows_the_usage(program: str) -> None:
    result = run(OPS / program, "--unknown")
    assert result.returncode != 0
    assert "usage:" in result.stderr
