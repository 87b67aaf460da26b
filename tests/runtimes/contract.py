"""What every runtime promises. A runtime's own test gives it a binding, and adds only what no other runtime has."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from tests.conftest import PATIENCE
from tests.runtimes.binding import Binding, Ear, exited, usable, wait
from tests.runtimes.orders import IDENTITY, order, wait_until

from calipso.errors import Unavailable
from calipso.events.naming import container_name
from calipso.events.values import FailureReason, Mode, Protocol, Volume
from calipso.runtimes.protocol import ContainerRuntime, Order, RuntimeFailed, Status

GRACE = timedelta(seconds=5)


class RuntimeContract:
    """The tests; a subclass is all that a new runtime needs beside a fixture `binding`."""

    crash_code, crash_later_code = 3, 7

    @pytest.fixture
    def runtime(self, binding: Binding) -> ContainerRuntime:
        return binding.runtime()

    @pytest.fixture
    def tiny(self, binding: Binding) -> Order:
        return order(binding.image("tiny"))

    @pytest.fixture
    def folders(self, tmp_path: Path) -> tuple[Volume, Volume]:
        """A folder to read and one to write."""
        readable, writable = tmp_path / "in", tmp_path / "out"
        for folder in (readable, writable):
            folder.mkdir()
            folder.chmod(0o777)
        return (
            Volume(source=str(readable), bind="/data/in", mode=Mode.READ_ONLY),
            Volume(source=str(writable), bind="/tmp/results/out", mode=Mode.READ_WRITE),
        )

    def test_a_started_container_is_usable_and_observed(self, runtime: ContainerRuntime, tiny: Order) -> None:
        started = runtime.start(tiny)
        placement = wait(runtime, tiny, started)

        seen = runtime.observe(tiny.request.container_id)

        assert started.status in {Status.CREATED, Status.RUNNING}
        assert (started.container_id, started.name) == (tiny.request.container_id, tiny.name)
        assert seen is not None
        assert seen.status is Status.RUNNING
        assert seen.image_digest
        assert (seen.container_id, seen.runtime_id, seen.name, seen.host, seen.port) == (
            started.container_id,
            started.runtime_id,
            started.name,
            started.host,
            started.port,
        )
        assert (placement.runtime_id, placement.name) == (started.runtime_id, tiny.name)
        assert (placement.host, placement.port) == (started.host, started.port)
        is_web = tiny.request.image.protocol is Protocol.HTTP
        assert placement.link == (f"http://{started.host}:{started.port}/" if is_web else "")

    def test_a_second_start_adopts_what_is_there(self, binding: Binding, runtime: ContainerRuntime) -> None:
        wanted = order(binding.image("vnc", Protocol.VNC))
        first, second = runtime.start(wanted), runtime.start(wanted)
        # it may have begun in between
        assert (first.runtime_id, first.name, first.host, first.port) == (
            second.runtime_id,
            second.name,
            second.host,
            second.port,
        )
        assert list(runtime.list()) == [wanted.request.container_id]

    def test_starts_at_one_time_make_one_container(self, binding: Binding) -> None:
        wanted = order(binding.image("vnc", Protocol.VNC))
        runtimes = [binding.runtime() for _ in range(4)]
        with ThreadPoolExecutor(len(runtimes)) as pool:
            started = set(pool.map(lambda runtime: runtime.start(wanted).runtime_id, runtimes))
        assert len(started) == 1
        assert usable(runtimes[0], wanted).runtime_id in started

    def test_what_ended_meanwhile_is_adopted_as_ended(self, binding: Binding, runtime: ContainerRuntime) -> None:
        wanted = order(binding.image("crash"))
        runtime.start(wanted)
        exited(runtime, wanted)
        assert runtime.start(wanted).exit_code == self.crash_code

    def test_the_absent_is_told_as_absent_and_ends_quietly(self, runtime: ContainerRuntime) -> None:
        nobody = uuid4()
        runtime.stop(nobody, grace=GRACE)
        runtime.remove(nobody)
        assert runtime.observe(nobody) is None
        assert runtime.logs(nobody, lines=100) == ()
        assert runtime.list() == {}

    def test_targets_and_installations_are_blind_to_each_other(self, binding: Binding, tiny: Order) -> None:
        here = binding.runtime("here")
        others = binding.runtime("there"), binding.runtime("here", "theirs")
        started = here.start(tiny)
        for other in others:
            assert other.observe(tiny.request.container_id) is None
            assert other.list() == {}
            assert other.logs(tiny.request.container_id, lines=100) == ()
            other.stop(tiny.request.container_id, grace=GRACE)
            other.remove(tiny.request.container_id)
        assert {key: seen.runtime_id for key, seen in here.list().items()} == {
            tiny.request.container_id: started.runtime_id
        }

    def test_stop_and_remove_are_done_when_they_return_and_may_be_repeated(
        self, runtime: ContainerRuntime, tiny: Order, end_codes: frozenset[int]
    ) -> None:
        usable(runtime, tiny)
        container_id = tiny.request.container_id

        runtime.stop(container_id, grace=GRACE)
        stopped = runtime.observe(container_id)
        assert stopped is not None
        assert (stopped.status, stopped.port) == (Status.EXITED, 0)
        assert stopped.exit_code in end_codes
        assert runtime.list() == {container_id: stopped}
        runtime.stop(container_id, grace=GRACE)

        runtime.remove(container_id)
        assert runtime.observe(container_id) is None
        assert runtime.list() == {}
        runtime.remove(container_id)

    def test_a_running_container_can_be_removed(self, runtime: ContainerRuntime, tiny: Order) -> None:
        runtime.start(tiny)
        runtime.remove(tiny.request.container_id)
        assert runtime.observe(tiny.request.container_id) is None

    def test_the_log_gives_its_last_lines(self, binding: Binding, runtime: ContainerRuntime) -> None:
        wanted = order(binding.image("token", logs_er="token"))
        usable(runtime, wanted)
        lines = runtime.logs(wanted.request.container_id, lines=100)
        assert any("token=" in line for line in lines)
        assert runtime.logs(wanted.request.container_id, lines=1) == lines[-1:]

    def test_a_slow_start_is_usable_later(self, binding: Binding, runtime: ContainerRuntime) -> None:
        begin = time.monotonic()
        assert usable(runtime, order(binding.image("slow"))).port
        assert time.monotonic() - begin > 0.5

    def test_what_never_answers_is_never_usable(self, binding: Binding, runtime: ContainerRuntime) -> None:
        with pytest.raises(TimeoutError):
            usable(runtime, order(binding.image("silent")), seconds=1)

    def test_a_desktop_has_no_link(self, binding: Binding, runtime: ContainerRuntime) -> None:
        placement = usable(runtime, order(binding.image("vnc", Protocol.VNC)))
        assert placement.port
        assert not placement.link

    def test_a_crash_at_the_start_is_told(self, binding: Binding, runtime: ContainerRuntime) -> None:
        wanted = order(binding.image("crash"))
        with pytest.raises(RuntimeFailed) as caught:
            usable(runtime, wanted)
        assert caught.value.reason is FailureReason.CRASHED
        assert caught.value.detail.startswith(f"the process ended with exit code {self.crash_code}")
        assert runtime.logs(wanted.request.container_id, lines=100)

    def test_a_crash_before_it_is_usable_is_told(self, binding: Binding, runtime: ContainerRuntime) -> None:
        wanted = order(binding.image("silent"))
        started = runtime.start(wanted)
        binding.kill(wanted.name)
        with pytest.raises(RuntimeFailed, match="exit code 137"):
            wait(runtime, wanted, started)

    def test_removal_before_it_is_usable_is_told(self, binding: Binding, runtime: ContainerRuntime) -> None:
        wanted = order(binding.image("silent"))
        started = runtime.start(wanted)
        binding.lose(wanted.name)
        with pytest.raises(RuntimeFailed, match="removed"):
            wait(runtime, wanted, started)

    @pytest.mark.parametrize("name", ["crashlater", "exit0later"])
    def test_the_end_of_a_running_container_is_observed(
        self, binding: Binding, runtime: ContainerRuntime, name: str
    ) -> None:
        wanted = order(binding.image(name))
        usable(runtime, wanted)
        ended = exited(runtime, wanted)
        assert ended.exit_code == (self.crash_later_code if name == "crashlater" else 0)
        assert runtime.list() == {wanted.request.container_id: ended}

    def test_what_somebody_removed_is_absent(self, binding: Binding, runtime: ContainerRuntime, tiny: Order) -> None:
        runtime.start(tiny)
        binding.lose(tiny.name)
        assert runtime.observe(tiny.request.container_id) is None
        assert runtime.list() == {}

    def test_a_watch_tells_of_ends_and_only_of_its_own(self, binding: Binding, runtime: ContainerRuntime) -> None:
        ear, deaf = Ear(runtime), Ear(binding.runtime("there"))
        started: set[UUID] = set()
        try:

            def has_heard() -> bool:
                # one that ended before the watch began is not told, so there are more of them
                wanted = order(binding.image("crash"))
                started.add(wanted.request.container_id)
                runtime.start(wanted)
                return bool(ear.heard)

            wait_until(has_heard)
        finally:
            assert ear.close() < PATIENCE / 10
            assert deaf.close() < PATIENCE / 10
        assert set(ear.heard) <= started
        assert not deaf.heard

    def test_a_strangers_name_is_respected(self, binding: Binding, runtime: ContainerRuntime, tiny: Order) -> None:
        binding.occupy(tiny.name)
        with pytest.raises(RuntimeFailed) as caught:
            runtime.start(tiny)
        runtime.stop(tiny.request.container_id, grace=GRACE)
        runtime.remove(tiny.request.container_id)
        assert caught.value.reason is FailureReason.REJECTED
        assert runtime.observe(tiny.request.container_id) is None
        assert binding.is_occupied(tiny.name)

    def test_a_missing_image_is_told(self, binding: Binding, runtime: ContainerRuntime) -> None:
        spec = binding.image("missing")
        wanted = order(spec)
        with pytest.raises(RuntimeFailed) as caught:
            usable(runtime, wanted)
        runtime.remove(wanted.request.container_id)
        assert caught.value.reason is FailureReason.IMAGE_MISSING
        assert spec.reference.partition(":")[0] in caught.value.detail
        assert runtime.list() == {}

    def test_a_target_that_is_away_is_told_by_every_method(self, binding: Binding, tiny: Order) -> None:
        runtime, container_id = binding.away(), tiny.request.container_id
        for ask in (
            lambda: runtime.start(tiny),
            lambda: runtime.observe(container_id),
            runtime.list,
            lambda: runtime.logs(container_id, lines=1),
            lambda: runtime.stop(container_id, grace=GRACE),
            lambda: runtime.remove(container_id),
            runtime.ping,
        ):
            with pytest.raises(Unavailable):
                ask()

    def test_a_watch_waits_for_a_target_that_is_away(self, binding: Binding) -> None:
        assert Ear(binding.away()).close() < PATIENCE / 10

    def test_limits_identity_and_volumes_are_as_ordered(
        self, binding: Binding, runtime: ContainerRuntime, folders: tuple[Volume, Volume]
    ) -> None:
        readable, writable = folders
        wanted = order(binding.image("tiny"), volumes=folders, workdir=writable.bind)
        usable(runtime, wanted)
        reality = binding.reality(wanted.name)
        assert reality.resources == wanted.request.resources
        assert reality.identity == IDENTITY
        assert reality.account == "_ada_of_a_lab"
        assert reality.workdir == writable.bind
        assert binding.can_write(wanted.name, writable.bind)
        assert not binding.can_write(wanted.name, readable.bind)

    def test_a_ping_tells_what_the_target_is(self, runtime: ContainerRuntime) -> None:
        assert runtime.ping()

    def test_names_derive_from_the_container_id(self, runtime: ContainerRuntime, tiny: Order) -> None:
        assert runtime.start(tiny).name == container_name(tiny.request.container_id)
