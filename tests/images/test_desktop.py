"""The desktop image: started as Calipso starts it, seen through a VNC viewer."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docker.models.containers import Container
from tests.images.conftest import Start
from tests.images.containers import USER, address_of, exit_code, log_of, wait_for_log, wait_until
from tests.images.rfb import SignInRefusedError, connect, sign_in

# the first use of the image may have to build it
pytestmark = [pytest.mark.docker]
PASSWORD = "g3heim-8"
VNC: dict[str, Any] = {"ports": {"5901/tcp": ("127.0.0.1", None)}}


def has_terminal(container: Container) -> bool:
    return container.exec_run(["pgrep", "-x", "xterm"]).exit_code == 0


@pytest.fixture
def running(desktop: str, start: Start) -> Container:
    container = start(desktop, password=PASSWORD, **VNC)
    wait_for_log(container, "calipso desktop ready")
    return container


@pytest.fixture
def shared_folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "results"
    folder.mkdir()
    folder.chmod(0o777)
    yield folder
    for file in folder.iterdir():
        file.unlink()


def test_a_viewer_signs_in_and_sees_a_desktop(running: Container, tmp_path: Path) -> None:
    with sign_in(*address_of(running, 5901), PASSWORD) as viewer:
        wait_until(lambda: len(viewer.picture().colours()) > 50)
        picture = viewer.picture()
    assert (picture.width, picture.height) == (1280, 800)
    folder = Path(os.environ.get("CALIPSO_TEST_PICTURES", tmp_path))
    (folder / "desktop.png").write_bytes(picture.png())


def test_what_is_typed_appears_in_a_terminal_of_the_working_folder(
    desktop: str, start: Start, shared_folder: Path
) -> None:
    container = start(
        desktop,
        password=PASSWORD,
        volumes=["/run/secrets", f"{shared_folder}:/tmp/results/visit"],
        working_dir="/tmp/results/visit",
        **VNC,
    )
    wait_for_log(container, "calipso desktop ready")
    with sign_in(*address_of(container, 5901), PASSWORD) as viewer:

        def is_made() -> bool:
            # keys are lost until the terminal has the focus
            viewer.type_text("id -un >made\n")
            return (shared_folder / "made").exists() and (shared_folder / "made").read_text() == "user\n"

        wait_until(is_made, every=0.5)
    assert (shared_folder / "made").stat().st_uid == USER


def test_a_wrong_password_is_refused(running: Container) -> None:
    with pytest.raises(SignInRefusedError), sign_in(*address_of(running, 5901), "wrong"):
        pass


def test_probes_that_do_not_sign_in_lock_nobody_out(running: Container) -> None:
    address = address_of(running, 5901)
    for _ in range(10):
        with connect(*address):
            pass
        with pytest.raises(SignInRefusedError), sign_in(*address, "wrong"):
            pass
    with sign_in(*address, PASSWORD) as viewer:
        assert viewer.width == 1280


def test_the_password_is_in_no_argument_environment_or_log(running: Container) -> None:
    everything = running.exec_run(["sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ"]).output
    assert b"Xvnc" in everything
    assert PASSWORD.encode() not in everything
    assert PASSWORD not in log_of(running)


def test_it_ends_at_once_on_term(running: Container) -> None:
    began = time.monotonic()
    running.stop(timeout=60)
    assert time.monotonic() - began < 30
    assert exit_code(running) == 0


def test_it_ends_well_when_the_user_ends_it(running: Container) -> None:
    wait_until(lambda: has_terminal(running))
    running.exec_run(["jwm", "-exit"])
    assert exit_code(running) == 0
    wait_for_log(running, "the user ended the desktop")


@pytest.mark.parametrize("death", ["pkill -9 Xvnc", "pkill -9 jwm; pkill -9 Xvnc"])
def test_it_fails_when_the_server_dies(running: Container, death: str) -> None:
    wait_until(lambda: has_terminal(running))
    running.exec_run(["sh", "-c", death])
    assert exit_code(running) == 1
    wait_for_log(running, "the VNC server ended")  # the engine may tell the end before the last line


def test_it_fails_when_the_window_manager_dies(running: Container) -> None:
    wait_until(lambda: has_terminal(running))
    running.exec_run(["pkill", "-9", "jwm"])
    assert exit_code(running) == 1
    wait_for_log(running, "the window manager ended with exit code 137")


def test_the_health_check_passes(running: Container) -> None:
    assert running.exec_run(["desktop-answers"]).exit_code == 0


@pytest.mark.parametrize(
    ("password", "options", "reason"),
    [
        (None, {}, "is missing"),
        ("", {}, "is empty"),
        (PASSWORD, {"user": "23456:23456"}, "cannot be read"),
        (PASSWORD, {"tmpfs": {"/run": "mode=755"}}, "is not writable for user 12345"),
    ],
)
def test_it_says_what_it_lacks(
    desktop: str, start: Start, password: str | None, options: dict[str, Any], reason: str
) -> None:
    container = start(desktop, password=password, **options)
    assert exit_code(container) == 78
    wait_for_log(container, reason)
