"""The runtime of virtual machines keeps the contract on libvirt's own test driver."""

from collections.abc import Iterator

import pytest
from tests.runtimes.contract import RuntimeContract
from tests.runtimes.optional_contract import ServiceContract
from tests.runtimes.virtual_machine_binding import PretendingBinding

pytestmark = pytest.mark.libvirt


@pytest.fixture
def binding() -> Iterator[PretendingBinding]:
    made = PretendingBinding()
    yield made
    made.close()


class TestOnTheTestDriver(RuntimeContract, ServiceContract):
    """The contract, on machines that are kept in memory; all of them hear their power button."""

    # a machine has no exit code
    crash_code = crash_later_code = 1
