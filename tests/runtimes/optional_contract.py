"""What targets show besides the contract, if their programs can refuse to end, or have services of their own."""

import time
from datetime import timedelta

import pytest
from tests.runtimes.binding import Binding, usable
from tests.runtimes.contract import GRACE
from tests.runtimes.orders import IDENTITY, SECRET, order

from calipso.events.values import Protocol
from calipso.runtimes.protocol import ContainerRuntime, Status


class ForceContract:
    """The tests of targets whose programs can refuse to end; a subclass needs a fixture `binding`."""

    @pytest.fixture
    def runtime(self, binding: Binding) -> ContainerRuntime:
        return binding.runtime()

    def test_the_stubborn_ends_by_force_after_the_grace(self, binding: Binding, runtime: ContainerRuntime) -> None:
        wanted = order(binding.image("stubborn"))
        usable(runtime, wanted)
        begin = time.monotonic()
        runtime.stop(wanted.request.container_id, grace=timedelta(seconds=1))
        assert 0.9 < time.monotonic() - begin < GRACE.total_seconds() + binding.slack
        seen = runtime.observe(wanted.request.container_id)
        assert seen is not None
        assert (seen.status, seen.exit_code) == (Status.EXITED, 137)


class ServiceContract:
    """The tests of targets whose programs can have services of their own; a subclass needs a fixture `binding`."""

    @pytest.fixture
    def runtime(self, binding: Binding) -> ContainerRuntime:
        return binding.runtime()

    def test_a_token_in_the_log_makes_the_link(self, binding: Binding, runtime: ContainerRuntime) -> None:
        placement = usable(runtime, order(binding.image("token", logs_er="token=[0-9a-f]+")))
        assert placement.link == f"http://{placement.host}:{placement.port}/?token=0a1b2c3d4e5f"

    def test_the_secret_is_in_a_file_of_the_account_and_nowhere_else(
        self, binding: Binding, runtime: ContainerRuntime
    ) -> None:
        wanted = order(binding.image("vnc", Protocol.VNC))
        usable(runtime, wanted)
        reality = binding.reality(wanted.name)
        assert (reality.secret, reality.secret_reader) == (SECRET, IDENTITY.uid)
        assert SECRET not in reality.told
