"""Looks at what the Kubernetes runtime makes, past the runtime."""

import contextlib
import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import NotFoundException
from kubernetes.stream import stream
from tests.runtimes.binding import Reality
from tests.runtimes.orders import image, wait_until

from calipso.events.values import Identity, ImageSpec, Protocol, Resources, Runtime
from calipso.runtimes.kubernetes import KubernetesRuntime
from calipso.runtimes.protocol import Target

_STRANGER = "calipso.test/stranger"
_SECRET_FILE = "/run/secrets/vnc_password"


class KubernetesBinding:
    """Runtimes of one random installation, and everything that they and strangers made.

    Args:
        api: the cluster itself.
        kubeconfig: its kubeconfig file.
        installation: the id, in place of `ours`.
        kill: ends the process of a container of the node, by the runtime's id of it.
    """

    slack = 25.0

    def __init__(self, api: client.ApiClient, kubeconfig: Path, installation: str, kill: Callable[[str], None]) -> None:
        self.core = client.CoreV1Api(api)
        self.api = api
        self.kubeconfig = kubeconfig
        self.installation = installation
        self._kill = kill
        self._runtimes: list[KubernetesRuntime] = []

    def runtime(self, target: str = "here", installation: str = "ours", **changes: Any) -> KubernetesRuntime:  # noqa: ANN401 - fields of the target
        return self.made(str(self.kubeconfig), target, f"{installation}-{self.installation}"[:63], **changes)

    def made(self, address: str, target: str, installation: str, **changes: Any) -> KubernetesRuntime:  # noqa: ANN401 - fields of the target
        place = Target(
            name=target,
            runtime=Runtime.KUBERNETES,
            address=address,
            networks=("127.0.0.0/8", "10.244.0.0/16"),
            **changes,
        )
        grace = timedelta(seconds=1)
        made = KubernetesRuntime(place, grace=grace, installation=installation, facility="test", timeout=5)
        self._runtimes.append(made)
        return made

    def away(self) -> KubernetesRuntime:
        config = json.loads(json.dumps(_AWAY))
        path = self.kubeconfig.parent / "away.kubeconfig"
        path.write_text(json.dumps(config))
        return self.made(str(path), "nowhere", self.installation)

    def image(self, name: str, protocol: Protocol = Protocol.HTTP, *, logs_er: str = "") -> ImageSpec:
        references = {"tiny": "docker.io/calipso/tiny:1", "missing": "missing.invalid/calipso/missing:1"}
        reference = references.get(name, f"docker.io/calipso/tiny:1-{name}")
        return image(reference, protocol, logs_er=logs_er, runtime=Runtime.KUBERNETES)

    def kill(self, name: str) -> None:
        def running() -> str:
            statuses = self.pod(name).status.container_statuses or []
            return str(statuses[0].container_id).partition("//")[2] if statuses and statuses[0].state.running else ""

        wait_until(running)
        self._kill(running())

    def lose(self, name: str) -> None:
        self.core.delete_namespaced_pod(name, "default", grace_period_seconds=0)

    def occupy(self, name: str) -> None:
        container = {"name": "main", "image": "docker.io/local/busybox:1", "command": ["sleep", "600"]}
        pod = {
            "metadata": {"name": name, "labels": {_STRANGER: self.installation}},
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
        }
        self.core.create_namespaced_pod("default", pod)  # type: ignore[arg-type]  # a dict is taken too
        wait_until(lambda: self.pod(name).status.phase == "Running")

    def is_occupied(self, name: str) -> bool:
        found = self.pod(name)
        return _STRANGER in found.metadata.labels and found.status.phase == "Running"

    def pod(self, name: str) -> Any:  # noqa: ANN401 - the cluster's answer
        return self.core.read_namespaced_pod(name, "default")

    def reality(self, name: str) -> Reality:
        found = self.pod(name)
        limits = found.spec.containers[0].resources.limits
        uid, gid, groups = (self.run(name, f"id {flag}").split() for flag in ("-u", "-g", "-G"))
        has_secret = any(mount.mount_path == "/run/secrets" for mount in found.spec.containers[0].volume_mounts)
        told = json.dumps(self.api.sanitize_for_serialization(found))  # type: ignore[no-untyped-call]  # the library has no types here
        return Reality(
            identity=Identity(uid=int(uid[0]), gid=int(gid[0]), groups=tuple(int(g) for g in groups if g != gid[0])),
            account=self.run(name, "id -un").strip(),
            resources=Resources(millicores=int(limits["cpu"].removesuffix("m")), memory=int(limits["memory"])),
            workdir=self.run(name, "pwd").strip(),
            secret=self.run(name, f"cat {_SECRET_FILE}") if has_secret else "",
            secret_reader=int(uid[0]),
            told=told + self.core.read_namespaced_pod_log(name, "default") + self.run(name, "env"),
        )

    def can_write(self, name: str, folder: str) -> bool:
        self.run(name, f"ls {folder}")
        return self._run(name, f"touch {folder}/written")[0] == 0

    def run(self, name: str, command: str) -> str:
        """What a command prints in a container; it must succeed."""
        status, output = self._run(name, command)
        assert status == 0, output
        return output

    def close(self) -> None:
        """Remove what was made with this binding, and nothing else."""
        for runtime in self._runtimes:
            runtime.close()
        labels = [f"calipso.eu/installation={who}-{self.installation}"[:90] for who in ("ours", "theirs")]
        networking = client.NetworkingV1Api(self.api)
        for label in (*labels, f"{_STRANGER}={self.installation}"):
            self.core.delete_collection_namespaced_pod("default", label_selector=label, grace_period_seconds=0)
            self.core.delete_collection_namespaced_secret("default", label_selector=label)
            networking.delete_collection_namespaced_network_policy("default", label_selector=label)
            # those whose pod has gone are going by themselves
            for service in self.core.list_namespaced_service("default", label_selector=label).items:
                with contextlib.suppress(NotFoundException):
                    name = service.metadata.name if service.metadata else ""
                    self.core.delete_namespaced_service(str(name), "default", _preload_content=False)

    def _run(self, name: str, command: str) -> tuple[int, str]:
        wait_until(lambda: self.pod(name).status.phase == "Running")
        call = stream(
            self.core.connect_get_namespaced_pod_exec,
            name,
            "default",
            command=command.split(),
            stdout=True,
            stderr=True,
            stdin=False,
            tty=False,
            _preload_content=False,
        )
        call.run_forever(timeout=20)
        status, output = int(call.returncode), str(call.read_all())
        call.sock.shutdown()
        return status, output


def container_killer(folder: Path) -> Callable[[str], None]:
    """Ends the process of a container of the node whose state is below a folder."""
    program = shutil.which("ctr")
    assert program is not None

    def kill(container_id: str) -> None:
        socket = str(folder / "node" / "ctr.sock")
        subprocess.run([program, "-a", socket, "-n", "k8s.io", "tasks", "kill", "-s", "KILL", container_id], check=True)

    return kill


_AWAY = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "away",
    "clusters": [{"name": "away", "cluster": {"server": "https://127.0.0.1:1"}}],
    "users": [{"name": "away", "user": {"token": "none"}}],
    "contexts": [{"name": "away", "context": {"cluster": "away", "user": "away"}}],
}
