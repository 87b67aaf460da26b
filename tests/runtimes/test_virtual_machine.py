"""The runtime of virtual machines keeps the contract on libvirt's own test driver."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.runtimes import rdp_server
from tests.runtimes.binding import wait
from tests.runtimes.contract import RuntimeContract
from tests.runtimes.optional_contract import ServiceContract
from tests.runtimes.orders import IDENTITY, SECRET, order, volumes_of
from tests.runtimes.reconciling_contract import ReconcilingContract
from tests.runtimes.virtual_machine_binding import PretendingBinding

from calipso.events.values import FailureReason, Protocol
from calipso.runtimes.protocol import RuntimeFailed
from calipso.runtimes.virtual_machine import seed

pytestmark = pytest.mark.libvirt


@pytest.fixture
def binding() -> Iterator[PretendingBinding]:
    made = PretendingBinding()
    yield made
    made.close()


class TestReconciledTestDriver(ReconcilingContract):
    """What the reconciler does."""


class TestOnTheTestDriver(RuntimeContract, ServiceContract):
    """The contract, on machines that are kept in memory; all of them hear their power button."""

    # a machine has no exit code
    crash_code = crash_later_code = 1


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT ROOT: folders of others cannot be made here")
def test_missing_folders_of_this_host_are_made_for_the_account(binding: PretendingBinding, open_root: Path) -> None:
    volumes = volumes_of(open_root / "a" / "out")
    wanted = order(binding.image("tiny"), volumes=volumes)
    binding.runtime(roots=(str(open_root),)).start(wanted)
    found = (open_root / "a" / "out").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (IDENTITY.uid, IDENTITY.gid, 0o750)
    assert binding.can_write(wanted.name, volumes[0].bind)


def test_a_link_out_of_a_root_is_refused_and_leaves_nothing(binding: PretendingBinding, open_root: Path) -> None:
    (open_root / "out").symlink_to("/etc")
    runtime = binding.runtime(roots=(str(open_root),))
    wanted = order(binding.image("tiny", Protocol.VNC), volumes=volumes_of(open_root / "out"))
    with pytest.raises(RuntimeFailed, match=re.escape(f"{open_root}/out leads out of {open_root}")) as caught:
        runtime.start(wanted)
    assert caught.value.reason is FailureReason.REJECTED
    assert runtime.list() == {}
    assert not [name for name in binding.volumes() if name.startswith("calipso-")]


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT ROOT: xrdp cannot read its keys here")
def test_a_guest_with_rdp_is_reached_at_its_own_address(binding: PretendingBinding, tmp_path: Path) -> None:
    """By a real server of RDP, where the network's DHCP has put the guest."""
    runtime, wanted = binding.runtime(), order(binding.image("silent", Protocol.RDP))
    started = runtime.start(wanted)
    with pytest.raises(TimeoutError):
        wait(runtime, wanted, started, seconds=1)
    guest = runtime.observe(wanted.request.container_id)
    assert guest is not None
    # the driver counts from the network's first address, by the machines that it has had, and on into the next
    assert (guest.host.startswith("127.77."), guest.port) == (True, 3389)
    with rdp_server.serving(tmp_path, guest.host, guest.port):
        placement = wait(runtime, wanted, started)
        assert (placement.host, placement.port, placement.link) == (guest.host, guest.port, "")
        assert rdp_server.speaks_tls(placement.host, placement.port)


@pytest.mark.parametrize(("protocol", "logs_in"), [(Protocol.SSH, True), (Protocol.RDP, True), (Protocol.VNC, False)])
def test_who_signs_in_has_a_password_from_the_first(
    binding: PretendingBinding, protocol: Protocol, logs_in: bool
) -> None:
    told = seed.user_data(order(binding.image("tiny", protocol)), own_screen=False, shares="9p")
    (user,) = told["users"]
    assert (user.get("plain_text_passwd"), user["lock_passwd"]) == (SECRET if logs_in else None, not logs_in)
    # that of an account which the image brings is changed a little later
    assert ("chpasswd" in told) is logs_in
