"""Real web servers in front of something, each with the very file of `ops` that facilities are given."""

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import PATIENCE, find_free_port, wait_until
from tests.runtimes.certificates import Pair

OPS = Path(__file__).parents[2] / "ops"
PREFIX = "/calipsoplus-services"
SECRET = "a-secret-of-both"

_MODULES = Path("/usr/lib/apache2/modules")
_APACHE = """
ServerRoot "{folder}"
PidFile "{folder}/apache.pid"
DefaultRuntimeDir "{folder}"
Mutex file:{folder} default
ErrorLog "{folder}/error.log"
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
{account}
{modules}
# stands in for the environment that mod_shib makes of a session
SetEnvIf X-Stand-In-Person "^(.+)$" EAAHash=hash-of-$1 uid=$1
Define CALIPSO_NAME 127.0.0.1
Define CALIPSO_LISTEN 127.0.0.1:{port}
Define CALIPSO_CERTIFICATE "{certificate}"
Define CALIPSO_KEY "{key}"
Define CALIPSO_BACKEND http://127.0.0.1:{upstream}
Define CALIPSO_PROXY_SECRET {secret}
Include "{file}"
"""
_LOADED = (
    "mpm_event",
    "alias",
    "authz_core",
    "authn_core",
    "headers",
    "proxy",
    "proxy_http",
    "setenvif",
    "socache_shmcb",
    "ssl",
)
_NGINX = """
daemon off;
pid "{folder}/nginx.pid";
error_log "{folder}/error.log";
{account}
events {{ }}
http {{
    access_log off;
    client_body_temp_path "{folder}/body";
    fastcgi_temp_path "{folder}/fastcgi";
    proxy_temp_path "{folder}/proxy";
    scgi_temp_path "{folder}/scgi";
    uwsgi_temp_path "{folder}/uwsgi";
    include "{file}";
}}
"""


@dataclass(frozen=True, kw_only=True)
class Front:
    """A web server that runs: `port` is where it speaks HTTPS, `upstream` the port of what it stands in front of."""

    port: int
    upstream: int

    @property
    def authority(self) -> str:
        """Its name and port."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Where browsers find the API."""
        return f"https://{self.authority}{PREFIX}"


@contextmanager
def apache(folder: Path, upstream: int, pair: Pair) -> Iterator[Front]:
    """Apache in front of a port of this machine, ended with the block."""
    port, configuration = find_free_port(), folder / "apache.conf"
    configuration.write_text(
        _APACHE.format(
            folder=folder,
            port=port,
            upstream=upstream,
            account="User www-data\nGroup www-data" if os.geteuid() == 0 else "",
            modules="\n".join(f"LoadModule {name}_module {_MODULES}/mod_{name}.so" for name in _LOADED),
            certificate=pair.certificate,
            key=pair.key,
            secret=SECRET,
            file=OPS / "apache" / "calipso.conf",
        )
    )
    with _running(["apache2", "-DFOREGROUND", "-f", configuration], folder, port):
        yield Front(port=port, upstream=upstream)


@contextmanager
def nginx(folder: Path, upstream: int, pair: Pair) -> Iterator[Front]:
    """Nginx in front of a port of this machine, ended with the block."""
    port, configuration, file = find_free_port(), folder / "nginx.conf", folder / "calipso.conf"
    text = (OPS / "nginx" / "calipso.conf").read_text()
    for example, here in {
        "server 127.0.0.1:8000;": f"server 127.0.0.1:{upstream};",
        "listen 443 ssl http2;": f"listen 127.0.0.1:{port} ssl http2;",
        "ssl_certificate /etc/ssl/certs/calipso.pem;": f"ssl_certificate {pair.certificate};",
        "ssl_certificate_key /etc/ssl/private/calipso.key;": f"ssl_certificate_key {pair.key};",
    }.items():
        assert text.count(example) == 1
        text = text.replace(example, here)
    file.write_text(text)
    account = "user root;" if os.geteuid() == 0 else ""  # the folder is nobody else's
    configuration.write_text(_NGINX.format(folder=folder, account=account, file=file))
    with _running(["nginx", "-p", folder, "-c", configuration], folder, port):
        yield Front(port=port, upstream=upstream)


@contextmanager
def _running(command: list[str | Path], folder: Path, port: int) -> Iterator[None]:
    environment = os.environ | {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        wait_until(lambda: _answers(port) or process.poll() is not None, f"{command[0]} to answer")
        assert process.poll() is None, _told(folder)
        yield
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE)


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _told(folder: Path) -> str:
    return "".join(file.read_text() for file in (folder / "output", folder / "error.log") if file.exists())
