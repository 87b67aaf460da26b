"""The runtime of virtual machines keeps the contract on a real libvirt, with real machines that QEMU runs."""

import socket
import tempfile
from collections.abc import Iterator
from io import BufferedRWPair
from pathlib import Path

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from tests.runtimes import libvirt_daemon
from tests.runtimes.binding import usable
from tests.runtimes.contract import RuntimeContract
from tests.runtimes.optional_contract import ForceContract
from tests.runtimes.orders import SECRET, order
from tests.runtimes.virtual_machine_binding import QemuBinding

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
