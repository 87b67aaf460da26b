"""A daemon of libvirt for the tests, with a pool of guests of one sector."""

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import libvirt  # type: ignore[import-untyped]  # the library has no types
from tests.runtimes.orders import wait_until

POOL = "guests"
_GUEST = Path(__file__).parent / "guest.S"
_SECTOR = 512
_DISK = 2**20
_BEHAVIOUR = 2
_BEHAVIOURS = {
    "tiny": 0,
    "vnc": 0,
    "token": 0,
    "silent": 0,
    "stubborn": 1,
    "crash": 2,
    "crashlater": 3,
    "exit0later": 4,
    "slow": 5,
}
_NOBODY = "65534"


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Run a daemon of an ordinary account, whose machines and files are in a folder; gives its URI.

    Args:
        folder: an empty one, whose path is so short that sockets deep below it can have names.
    """
    folders = {name: folder / name for name in ("config", "cache", "data", "state", "run", "pool")}
    for made in folders.values():
        made.mkdir()
    _write_guests(folder, folders["pool"])
    settings = folders["config"] / "libvirt"
    settings.mkdir()
    (settings / "libvirtd.conf").write_text(f'log_outputs="2:file:{folder}/log"\n')
    # else it needs another daemon for the logs of machines
    (settings / "qemu.conf").write_text('stdio_handler = "file"\n')
    program = shutil.which("libvirtd", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None, "libvirtd is not installed: ops/test does it"
    command = [program]
    if os.geteuid() == 0:
        # a daemon of root would be the machine's own
        subprocess.run(["chown", "-R", f"{_NOBODY}:{_NOBODY}", folder], check=True)
        command = ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", *command]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "XDG_RUNTIME_DIR": str(folders["run"]),
        **{f"XDG_{name.upper()}_HOME": str(folders[name]) for name in ("config", "cache", "data", "state")},
    }
    place = folders["run"] / "libvirt" / "libvirt-sock"
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as daemon:
        try:
            wait_until(lambda: _answers(place))
            uri = f"qemu+unix:///session?socket={place}"
            _make_pool(uri, folders["pool"])
            yield uri
        finally:
            daemon.terminate()


def _answers(place: Path) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        probe.connect(str(place))  # it is there a moment before anybody listens
        return True
    return False


def _write_guests(folder: Path, pool: Path) -> None:
    program, sector = folder / "guest.o", folder / "guest.bin"
    subprocess.run(["as", "--32", "-o", program, _GUEST], check=True)
    linking: list[str | Path] = [
        "ld",
        "-m",
        "elf_i386",
        "-Ttext",
        "0x7c00",
        "--oformat",
        "binary",
        "-o",
        sector,
        program,
    ]
    subprocess.run(linking, check=True)
    code = bytearray(sector.read_bytes())
    assert len(code) == _SECTOR
    for name, behaviour in _BEHAVIOURS.items():
        code[_BEHAVIOUR] = behaviour
        (pool / name).write_bytes(code.ljust(_DISK, b"\0"))


def _make_pool(uri: str, folder: Path) -> None:
    connection = libvirt.open(uri)
    definition = f"<pool type='dir'><name>{POOL}</name><target><path>{folder}</path></target></pool>"
    connection.storagePoolCreateXML(definition)
    connection.close()
