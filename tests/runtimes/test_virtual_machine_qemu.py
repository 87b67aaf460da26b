"""The runtime of virtual machines keeps the contract on a real libvirt, with real machines that QEMU runs."""

import contextlib
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from io import BufferedRWPair
from pathlib import Path

import libvirt  # type: ignore[import-untyped]  # the library has no types
import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from tests.runtimes import libvirt_daemon
from tests.runtimes.binding import usable
from tests.runtimes.contract import RuntimeContract
from tests.runtimes.optional_contract import ForceContract
from tests.runtimes.orders import SECRET, order
from tests.runtimes.virtual_machine_binding import QemuBinding

from calipso.events.values import FailureReason
from calipso.runtimes.protocol import RuntimeFailed

pytestmark = [pytest.mark.libvirt, pytest.mark.slow]
_BY_PASSWORD = 2


@pytest.fixture(scope="module")
def daemon() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="cvm-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        with libvirt_daemon.serving(Path(folder)) as uri:
            yield uri


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder that the daemon's account can reach."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def binding(daemon: str) -> Iterator[QemuBinding]:
    made = QemuBinding(daemon, libvirt_daemon.POOL)
    yield made
    made.close()


class TestOnQemu(RuntimeContract, ForceContract):
    """The contract, on machines whose processor runs; they have a screen, and no network."""

    # a machine has no exit code
    crash_code = crash_later_code = 1


def test_the_screen_asks_for_the_password(binding: QemuBinding) -> None:
    runtime, wanted = binding.runtime(), order(binding.image("vnc"))
    placement = usable(runtime, wanted)
    answers = [_authenticate(placement.port, password) for password in (SECRET, "geheim13", "")]
    assert answers == [0, 1, 1]
    assert SECRET not in binding.reality(wanted.name).told


@pytest.fixture
def full(daemon: str, tmp_path: Path) -> Iterator[QemuBinding]:
    """A pool with a disk in it, and room for nothing more."""
    place = tmp_path / "full"
    place.mkdir()
    size = "size=1100k,mode=0755,uid=65534,gid=65534"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", size, "full", place], check=False).returncode:
        pytest.skip("NOT ROOT: no file system can be mounted here")
    connection = libvirt.open(daemon)
    try:
        (place / "vnc").write_bytes(bytes(2**20))
        pool = connection.storagePoolCreateXML(
            f"<pool type='dir'><name>full</name><target><path>{place}</path></target></pool>"
        )
        with contextlib.suppress(OSError), (place / "filling").open("wb", buffering=0) as filling:
            while filling.write(bytes(512)):
                pass
        binding = QemuBinding(daemon, "full")
        yield binding
        binding.close()
        pool.destroy()
    finally:
        connection.close()
        subprocess.run(["umount", "--lazy", place], check=True)


def test_a_full_pool_is_told_and_nothing_stays_in_it(full: QemuBinding) -> None:
    runtime, wanted = full.runtime(), order(full.image("vnc"))
    before = full.volumes()
    with pytest.raises(RuntimeFailed, match="No space left on device") as caught:
        runtime.start(wanted)
    assert caught.value.reason is FailureReason.CAPACITY
    assert runtime.list() == {}
    assert full.volumes() == before


def _authenticate(port: int, password: str) -> int:
    """What a VNC server says of a password: 0 that it is right (RFC 6143 7.2.2)."""
    with socket.create_connection(("127.0.0.1", port), 5) as connection, connection.makefile("rwb") as stream:
        version = stream.read(12)
        _say(stream, version)
        kinds = stream.read(stream.read(1)[0])
        assert kinds == bytes([_BY_PASSWORD])
        _say(stream, kinds)
        # each byte of the key is read from its other end
        key = bytes(int(f"{byte:08b}"[::-1], 2) for byte in password.encode().ljust(8, b"\0"))
        encryptor = Cipher(TripleDES(key * 3), modes.ECB()).encryptor()  # noqa: S305 - what VNC does
        _say(stream, encryptor.update(stream.read(16)))
        return int.from_bytes(stream.read(4))


def _say(stream: BufferedRWPair, said: bytes) -> None:
    stream.write(said)
    stream.flush()
