"""Links that are put in the way between the look at a folder and its mount, on an engine here and elsewhere."""

import contextlib
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.runtimes.docker_binding import DockerBinding
from tests.runtimes.orders import order, volumes_of, wait_until
from tests.runtimes.proxy import Proxy

from calipso.events.values import FailureReason, Runtime
from calipso.runtimes.docker import DockerRuntime
from calipso.runtimes.folders import Looker
from calipso.runtimes.protocol import RuntimeFailed, Target

pytestmark = pytest.mark.docker


@pytest.fixture
def binding(docker_binding: DockerBinding) -> DockerBinding:
    return docker_binding


@pytest.fixture
def proxy(binding: DockerBinding) -> Iterator[Proxy]:
    with contextlib.closing(Proxy(binding.address.removeprefix("unix://"))) as made:
        yield made


class Mover:
    """Puts a link to somewhere else in the place of a folder, and takes it away again."""

    def __init__(self, folder: Path, elsewhere: Path) -> None:
        self.folder, self._aside = folder, folder.with_name("aside")
        self._link = folder.with_name("link")
        self._link.symlink_to(elsewhere)

    def there(self) -> None:
        self.folder.rename(self._aside)
        while True:
            try:
                self._link.rename(self.folder)
            except IsADirectoryError:
                self.folder.rmdir()  # made by who found nothing there between the two moves
            else:
                return

    def back(self) -> None:
        self.folder.rename(self._link)
        self._aside.rename(self.folder)


@pytest.fixture
def secret() -> Iterator[Path]:
    """A folder beside all roots, which no container may see."""
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        Path(made).chmod(0o755)
        (Path(made) / "secret").touch()
        yield Path(made)


@pytest.fixture(params=["here", "of another account", "elsewhere"])
def racing(request: pytest.FixtureRequest, binding: DockerBinding, proxy: Proxy, open_root: Path) -> DockerRuntime:
    address = f"tcp://127.0.0.1:{proxy.port}" if request.param == "elsewhere" else binding.address
    if request.param == "of another account":
        # who is not root may not look at what others have mounted
        request.getfixturevalue("monkeypatch").setattr(Looker, "check_mounted", lambda *_: False)
    return binding.made(Target(name="here", runtime=Runtime.DOCKER, address=address), roots=(str(open_root),))


@pytest.fixture
def mover(open_root: Path, secret: Path) -> Mover:
    (open_root / "a").mkdir()
    return Mover(open_root / "a", secret)


@pytest.mark.parametrize("comes_back", [False, True])
def test_what_was_put_in_the_way_is_not_kept(
    racing: DockerRuntime,
    binding: DockerBinding,
    mover: Mover,
    monkeypatch: pytest.MonkeyPatch,
    *,
    comes_back: bool,
) -> None:
    names, check = racing._image_names.of, racing._check_mounted

    def between_look_and_mount(*given: Any) -> Mapping[str, str]:  # noqa: ANN401 - the runtime's own
        mover.there()
        return names(*given)

    def after_the_mount(*given: Any) -> None:  # noqa: ANN401 - the runtime's own
        if comes_back:
            mover.back()
        check(*given)

    monkeypatch.setattr(racing._image_names, "of", between_look_and_mount)
    monkeypatch.setattr(racing, "_check_mounted", after_the_mount)
    wanted = order(binding.image("tiny"), volumes=volumes_of(mover.folder))
    with pytest.raises(RuntimeFailed, match="was replaced while" if comes_back else "leads out of") as caught:
        racing.start(wanted)
    assert caught.value.reason is FailureReason.REJECTED
    assert racing.list() == {}


def test_no_race_is_won(racing: DockerRuntime, binding: DockerBinding, mover: Mover) -> None:
    ended = threading.Event()

    def move() -> None:
        while not ended.wait(0.002):
            mover.there()
            mover.back()

    thread = threading.Thread(target=move)
    thread.start()
    try:
        for _ in range(4):
            wanted = order(binding.image("tiny"), volumes=volumes_of(mover.folder))
            with contextlib.suppress(RuntimeFailed):
                racing.start(wanted)
                assert binding.run(wanted.name, f"ls {wanted.request.volumes[0].bind}") == ""
    finally:
        ended.set()
        thread.join()


def test_who_ended_meanwhile_is_not_accused(racing: DockerRuntime, binding: DockerBinding, open_root: Path) -> None:
    wanted = order(binding.image("crash"), volumes=volumes_of(open_root / "a"))
    racing.start(wanted)
    wait_until(lambda: racing.list()[wanted.request.container_id].exit_code == 3)
