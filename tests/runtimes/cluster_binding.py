"""Looks into the pods of a real cluster: executes programs in them, and ends them on their node."""

import shutil
import subprocess

from kubernetes.stream import stream
from tests.runtimes.kubernetes_binding import Inside, KubernetesBinding
from tests.runtimes.orders import wait_until

from calipso.events.values import Identity

_SECRET_FILE = "/run/secrets/vnc_password"


class ClusterBinding(KubernetesBinding):
    """A binding to a cluster whose node is of this machine: its state is beside the kubeconfig file."""

    def kill(self, name: str) -> None:
        def running() -> str:
            statuses = self.pod(name).status.container_statuses or []
            return str(statuses[0].container_id).partition("//")[2] if statuses and statuses[0].state.running else ""

        wait_until(running)
        program = shutil.which("ctr")
        assert program is not None
        socket = str(self.kubeconfig.parent / "node" / "ctr.sock")
        subprocess.run([program, "-a", socket, "-n", "k8s.io", "tasks", "kill", "-s", "KILL", running()], check=True)

    def inside(self, name: str) -> Inside:
        uid, gid, groups = (self.run(name, f"id {flag}").split() for flag in ("-u", "-g", "-G"))
        mounts = self.pod(name).spec.containers[0].volume_mounts
        has_secret = any(mount.mount_path == "/run/secrets" for mount in mounts)
        return Inside(
            identity=Identity(uid=int(uid[0]), gid=int(gid[0]), groups=tuple(int(g) for g in groups if g != gid[0])),
            account=self.run(name, "id -un").strip(),
            workdir=self.run(name, "pwd").strip(),
            secret=self.run(name, f"cat {_SECRET_FILE}") if has_secret else "",
            env=self.run(name, "env"),
        )

    def can_write(self, name: str, folder: str) -> bool:
        self.run(name, f"ls {folder}")
        return self._run(name, f"touch {folder}/written")[0] == 0

    def run(self, name: str, command: str) -> str:
        """What a command prints in a container; it must succeed."""
        status, output = self._run(name, command)
        assert status == 0, output
        return output

    def tries(self, name: str, command: str) -> int:
        """The exit code of a command in a container."""
        return self._run(name, command)[0]

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
