"""A real RDP server of the tests' own, which negotiates TLS."""

import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.runtimes.certificates import Authority

_TLS = 1
_OFFER_OF_TLS = bytes.fromhex("030000130ee000000000000100080001000000")


@contextmanager
def serving(folder: Path, host: str, port: int) -> Iterator[None]:
    """Run xrdp at an address.

    Args:
        folder: gets its settings, its certificate and its log.
        host: the address.
        port: its TCP port there.
    """
    program = shutil.which("xrdp", path="/usr/sbin:/usr/local/sbin")
    assert program is not None, "xrdp is not installed: ops/test does it"
    pair = Authority(folder, "guests").sign("guest")
    settings = folder / "xrdp.ini"
    settings.write_text(
        f"[Globals]\nini_version=1\nport=tcp://{host}:{port}\nsecurity_layer=negotiate\n"
        f"certificate={pair.certificate}\nkey_file={pair.key}\n"
        f"[Logging]\nLogFile={folder}/xrdp.log\nLogLevel=INFO\nEnableSyslog=false\nEnableConsole=false\n"
    )
    command = [program, "--nodaemon", "--config", str(settings)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            yield
        finally:
            server.terminate()


def speaks_tls(host: str, port: int) -> bool:
    """Whether a server goes on by TLS when a client offers that and nothing else (MS-RDPBCGR 5.4.2.1)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((host, port), timeout=5) as connection:
        connection.sendall(_OFFER_OF_TLS)
        # the whole of the confirmation, which ends with what was chosen
        answer = connection.recv(19, socket.MSG_WAITALL)
        with context.wrap_socket(connection) as secured:
            return answer[15] == _TLS and secured.version() is not None
