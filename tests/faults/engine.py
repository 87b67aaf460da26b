"""A Docker Engine of a test's own, which can be killed and restarted without hurting anybody else's containers."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import psutil
import requests
from docker import APIClient
from tests.conftest import wait_until

PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
_TIMEOUT = 10
AWAY = (OSError, docker.errors.DockerException, requests.RequestException)
_CONTAINERD = """
version = 2
root = "{folder}/containerd"
state = "{folder}/containerd-state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{folder}/containerd.sock"
[ttrpc]
  address = "{folder}/containerd.sock.ttrpc"
"""


def why_not() -> str:
    """What hinders an engine of one's own here; empty when nothing does."""
    if os.geteuid() != 0:
        return "a Docker Engine of the tests' own needs root"
    missing = [name for name in ("dockerd", "containerd", "ip") if shutil.which(name, path=PATH) is None]
    return f"a Docker Engine of the tests' own needs {', '.join(missing)}" if missing else ""


class Engine:
    """`dockerd` and its `containerd`, with folders, socket and bridge of their own.

    It writes no rules for packets, which would be the machine's: ports are published by the engine's own proxy.

    Args:
        folder: for everything; its path must be short, because sockets lie in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "docker.sock"
        self.log = folder / "engine.log"
        self.pid = 0
        self._number = os.getpid() % 256
        self._bridge = f"calipso{os.getpid() % 10**7}"
        self._containerd: subprocess.Popen[bytes] | None = None
        self._dockerd: subprocess.Popen[bytes] | None = None

    @contextmanager
    def running(self, images: Sequence[str]) -> Iterator["Engine"]:
        """Run it for the time of the block, with these images of the machine's own engine."""
        try:
            self._prepare()
            self.start()
            self._load(images)
            yield self
        finally:
            self._clear_away()

    def client(self) -> APIClient:
        """A client of the engine itself, past all links.

        Raises:
            OSError: the engine does not listen.
        """
        # the library leaks each socket that it cannot connect
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_TIMEOUT)
            probe.connect(str(self.socket))
        return APIClient(f"unix://{self.socket}", timeout=_TIMEOUT)

    def containers(self) -> list[dict[str, Any]]:
        """What the engine lists of the containers of users, ended ones too."""
        with contextlib.closing(self.client()) as client:
            listed: list[dict[str, Any]] = client.containers(all=True, filters={"label": "calipso.container"})
        return listed

    def start(self) -> None:
        """Start it and wait until it answers."""
        (self.folder / "pid").unlink(missing_ok=True)
        options = {
            "host": f"unix://{self.socket}",
            "pidfile": self.folder / "pid",
            "data-root": self.folder / "data",
            "exec-root": self.folder / "run",
            "containerd": self.folder / "containerd.sock",
            "bridge": self._bridge,
            "iptables": "false",
            "ip-masq": "false",
            # for the networks of targets, apart from those of the machine's engine
            "default-address-pool": f"base=10.214.{self._number}.0/24,size=27",
            # one that ends its containers with itself takes the machine's own default bridge away at its start
            "live-restore": "true",
        }
        self._dockerd = self._spawn("dockerd", *(f"--{name}={value}" for name, value in options.items()))
        self.pid = self._dockerd.pid
        wait_until(self._answers, "the Docker Engine to answer")

    def stop(self, *, keeps: bool = True) -> None:
        """End it in order.

        Args:
            keeps: whether its containers live on.
        """
        if not keeps:
            with contextlib.suppress(*AWAY), contextlib.closing(self.client()) as client:
                for container in client.containers():
                    client.stop(container["Id"], timeout=1)
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it without warning; its containers live on until it starts again."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let it stand still until `resume`."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def hurt(self, randomness: random.Random, *, remove: bool) -> None:
        """Kill a running container by hand, or remove it; nothing happens while none runs or the engine is away."""
        with contextlib.suppress(*AWAY), contextlib.closing(self.client()) as client:
            if running := client.containers():
                victim = randomness.choice(running)["Id"]
                if remove:
                    client.remove_container(victim, force=True, v=True)
                else:
                    client.kill(victim)

    def _signal(self, number: int) -> None:
        if self._dockerd is not None:
            self._dockerd.send_signal(number)

    def _end(self, number: int) -> None:
        if self._dockerd is not None:
            self._signal(signal.SIGCONT)
            self._signal(number)
            self._dockerd.wait(60)
            self._dockerd = None

    def _answers(self) -> bool:
        assert self._dockerd is not None
        assert self._dockerd.poll() is None, f"dockerd ended: {(self.folder / 'log').read_text()[-2000:]}"
        with contextlib.suppress(*AWAY), contextlib.closing(self.client()) as client:
            return bool(client.ping())
        return False

    def _prepare(self) -> None:
        self.folder.mkdir(mode=0o700)
        _run("ip", "link", "add", "name", self._bridge, "type", "bridge")
        _run("ip", "address", "add", f"10.213.{self._number}.1/24", "dev", self._bridge)
        _run("ip", "link", "set", self._bridge, "up")
        settings = self.folder / "containerd.toml"
        settings.write_text(_CONTAINERD.format(folder=self.folder))
        self._containerd = self._spawn("containerd", f"--config={settings}")
        wait_until((self.folder / "containerd.sock").exists, "containerd to answer")

    def _load(self, images: Sequence[str]) -> None:
        with contextlib.closing(docker.from_env()) as machine, contextlib.closing(self.client()) as client:
            for image in images:
                client.load_image(b"".join(machine.images.get(image).save(named=True)))  # type: ignore[no-untyped-call]  # the stubs leave it out

    def _spawn(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [program, *arguments],
                env={**os.environ, "PATH": PATH},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _clear_away(self) -> None:
        try:
            if self._containerd is not None:
                self._remove_all()
        finally:
            self._end_all()

    def _remove_all(self) -> None:
        # it may stand still or be dead, with containers that live on
        self.kill()
        self.start()
        with contextlib.closing(self.client()) as client:
            for container in client.containers(all=True):
                client.remove_container(container["Id"], force=True, v=True)
            for network in client.networks(filters={"type": "custom"}):
                # an engine that was killed while it removed a container may still hold its place in the network
                for held in client.inspect_network(network["Id"])["Containers"].values():
                    client.disconnect_container_from_network(held["Name"], network["Id"], force=True)
                client.remove_network(network["Id"])

    def _end_all(self) -> None:
        self.stop()
        if self._containerd is not None:
            self._containerd.terminate()
            self._containerd.wait(60)
        self._kill_shims()
        for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
            if (place := line.split()[1]).startswith(f"{self.folder}/"):
                _run("umount", place)
        subprocess.run(["ip", "link", "delete", self._bridge], env={"PATH": PATH}, capture_output=True, check=False)

    def _kill_shims(self) -> None:
        """What an engine that was killed leaves of its containers' keepers, with what they keep."""
        for process in psutil.process_iter(["cmdline"]):
            if f"{self.folder}/containerd.sock" in (process.info["cmdline"] or ()):
                with contextlib.suppress(psutil.NoSuchProcess):
                    for each in (*process.children(recursive=True), process):
                        each.kill()


def _run(*command: str) -> None:
    subprocess.run(command, env={**os.environ, "PATH": PATH}, check=True)
