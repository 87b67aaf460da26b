"""Looks at the pods of the double."""

import os
from pathlib import Path

from tests.runtimes.kubernetes_binding import Inside, KubernetesBinding
from tests.runtimes.kubernetes_double import Double
from tests.runtimes.orders import wait_until

from calipso.events.values import Identity


class DoubleBinding(KubernetesBinding):
    """A binding to the double.

    Programs of the double run in its own process, without a kernel's walls around them: who a process is and what it
    may write is read from the pod's specification here, where the binding of a real cluster executes programs in the
    pod. That limits and accounts are enforced can be seen on a real cluster only.
    """

    slack = 5.0

    def __init__(self, double: Double, folder: Path) -> None:
        super().__init__(double.kubeconfig, folder)
        self.double = double

    def kill(self, name: str) -> None:
        wait_until(lambda: self.pod(name).status.phase == "Running")
        self.double.kill(self.pod(name).metadata.uid)

    def inside(self, name: str) -> Inside:
        found = self.pod(name)
        context, container = found.spec.security_context, found.spec.containers[0]
        files = {path: content.decode() for path, content in self.double.files(found.metadata.uid).items()}
        accounts = {line.split(":")[2]: line.split(":")[0] for line in files["/etc/passwd"].splitlines()}
        groups = tuple(context.supplemental_groups or ())
        return Inside(
            identity=Identity(uid=context.run_as_user, gid=context.run_as_group, groups=groups),
            account=accounts[str(context.run_as_user)],
            workdir=container.working_dir or "/",
            secret=files.get("/run/secrets/vnc_password", ""),
            env="\n".join(f"{variable.name}={variable.value}" for variable in container.env),
        )

    def can_write(self, name: str, folder: str) -> bool:
        spec = self.pod(name).spec
        (mount,) = [mount for mount in spec.containers[0].volume_mounts if mount.mount_path == folder]
        (volume,) = [volume for volume in spec.volumes if volume.name == mount.name]
        path = Path(volume.host_path.path, mount.sub_path or "")
        assert path.is_dir()
        return not mount.read_only and os.access(path, os.W_OK)
