"""The tiny image and its variants: what the tests of the runtimes rely on."""

import re
import time
from datetime import timedelta
from http.client import HTTPConnection
from typing import Any

import docker
import pytest
from docker.models.containers import Container
from tests.conftest import PATIENCE
from tests.images.conftest import Start
from tests.images.containers import (
    LOCKED_DOWN,
    address_of,
    exit_code,
    log_of,
    time_of_line,
    wait_for_log,
    wait_until,
)
from tests.images.rfb import connect

pytestmark = pytest.mark.docker
HTTP: dict[str, Any] = {"ports": {"8888/tcp": ("127.0.0.1", None)}}
DELAY = timedelta(seconds=3)
VNC: dict[str, Any] = {"ports": {"5901/tcp": ("127.0.0.1", None)}}


def status_of(container: Container) -> int:
    connection = HTTPConnection(*address_of(container, 8888), timeout=PATIENCE)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    finally:
        connection.close()


def test_it_serves_a_page_with_every_right_taken_away(tiny: str, start: Start) -> None:
    container = start(tiny, **HTTP)
    wait_for_log(container, "ready on port 8888")
    assert status_of(container) == 200
    wait_for_log(container, "started as 12345:12345")


def test_it_ends_at_once_on_term(tiny: str, start: Start) -> None:
    container = start(tiny)
    wait_for_log(container, "ready")
    began = time.monotonic()
    container.stop(timeout=60)
    assert time.monotonic() - began < 30
    assert exit_code(container) == 0


def test_the_vnc_variant_greets_many_viewers_at_once(tiny: str, start: Start) -> None:
    container = start(f"{tiny}-vnc", **VNC)
    wait_for_log(container, "ready on port 5901")
    with connect(*address_of(container, 5901)), connect(*address_of(container, 5901)):
        wait_for_log(container, "no vnc password file")


def test_the_vnc_variant_reads_the_secret_and_keeps_it(tiny: str, start: Start) -> None:
    container = start(f"{tiny}-vnc", password="s3cret-w")
    wait_for_log(container, "ready")
    wait_for_log(container, "vnc password file read")
    assert "s3cret" not in log_of(container)


def test_the_vnc_variant_tells_of_a_secret_that_it_must_not_read(tiny: str, start: Start) -> None:
    container = start(f"{tiny}-vnc", password="s3cret-w", user="23456:23456")
    assert exit_code(container) == 4
    wait_for_log(container, "cannot be read")


def test_the_slow_variant_listens_after_three_seconds(tiny: str, start: Start) -> None:
    container = start(f"{tiny}-slow", **HTTP)
    assert time_of_line(container, "ready on port 8888") - time_of_line(container, "started as") >= DELAY


@pytest.mark.parametrize(("variant", "code"), [("crashlater", 7), ("exit0later", 0)])
def test_some_variants_end_by_themselves_after_five_seconds(tiny: str, start: Start, variant: str, code: int) -> None:
    began = time.monotonic()  # the engine's own StartedAt is written when the process runs already
    container = start(f"{tiny}-{variant}")
    assert exit_code(container) == code
    assert time.monotonic() - began >= 5
    wait_for_log(container, f"exit code {code}")


def test_a_crash_leaves_lines_in_the_log(tiny: str, start: Start) -> None:
    container = start(f"{tiny}-crash")
    assert exit_code(container) == 3
    wait_for_log(container, "line 5 of 5")
    wait_for_log(container, "exit code 3")


def test_the_token_variant_prints_its_token_once_it_listens(tiny: str, start: Start) -> None:
    container = start(f"{tiny}-token", **HTTP)
    wait_until(lambda: re.search(r"token=[0-9a-z]+", log_of(container)) is not None)
    assert status_of(container) == 200


def test_the_silent_variant_runs_and_never_listens(tiny: str, start: Start) -> None:
    container = start(f"{tiny}-silent")
    wait_for_log(container, "started")
    assert b":8888" not in container.exec_run(["netstat", "-ltn"]).output
    container.reload()
    assert container.status == "running"


def test_the_stubborn_variant_has_to_be_killed(tiny: str, start: Start) -> None:
    container = start(f"{tiny}-stubborn")
    wait_for_log(container, "ready")
    container.stop(timeout=1)
    assert exit_code(container) == 137


def test_switches_can_be_given_as_environment(tiny: str, start: Start) -> None:
    container = start(tiny, environment={"CALIPSO_TINY_LOG_LINES": "120", "CALIPSO_TINY_CRASH": "9"})
    assert exit_code(container) == 9
    wait_for_log(container, "line 120 of 120")


def test_every_variant_is_small_and_tells_its_port(engine: docker.DockerClient, tiny: str) -> None:
    for variant in ("", "-slow", "-crash", "-crashlater", "-exit0later", "-token", "-silent", "-stubborn", "-vnc"):
        image = engine.images.get(tiny + variant)
        port = "5901/tcp" if variant == "-vnc" else "8888/tcp"
        assert image.attrs["Config"]["ExposedPorts"] == {port: {}}
        assert image.attrs["Size"] < 4_000_000


def test_the_usual_options_leave_no_right(tiny: str, start: Start) -> None:
    assert LOCKED_DOWN["cap_drop"] == ["ALL"]
    container = start(tiny)
    assert container.exec_run(["touch", "/bin/x"]).exit_code != 0
    assert b"CapEff:\t0000000000000000" in container.exec_run(["cat", "/proc/1/status"]).output
