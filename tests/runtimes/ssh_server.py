"""A server of ssh of the tests' own, on loopback, that lets in one key."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from tests.runtimes.orders import wait_until


@contextmanager
def serving(folder: Path) -> Iterator[int]:
    """Run it; gives its port.

    Args:
        folder: gets the key that is let in (`own`), the server's key (`host`) and the list of known hosts (`known`).
    """
    for name in ("host", "own"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = int(probe.getsockname()[1])
    (folder / "known").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    (folder / "config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/own.pub\n"
        "PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
    )
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None, "sshd is not installed: ops/test does it"
    Path("/run/sshd").mkdir(exist_ok=True)  # where it confines itself
    with subprocess.Popen([program, "-D", "-f", folder / "config"], stderr=subprocess.DEVNULL) as server:
        try:
            wait_until(lambda: _answers(port))
            yield port
        finally:
            server.terminate()


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
