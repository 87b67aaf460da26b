"""Looks at what the Kubernetes runtime makes, past the runtime, alike on a real cluster and on the double."""

import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml
from kubernetes import client
from kubernetes.client.exceptions import NotFoundException
from kubernetes.config import new_client_from_config
from kubernetes.utils import FailToCreateError, create_from_dict
from tests.runtimes.binding import Reality
from tests.runtimes.orders import image, wait_until

from calipso.events.values import Identity, ImageSpec, Protocol, Resources, Runtime
from calipso.runtimes.kubernetes import KubernetesRuntime
from calipso.runtimes.protocol import Target

MANIFESTS = Path(__file__).parents[2] / "ops" / "kubernetes" / "calipso.yaml"
_STRANGER = "calipso.test/stranger"


@dataclass(frozen=True, kw_only=True)
class Inside:
    """What a process finds in its pod: who it is, and where; `secret` is empty where there is none."""

    identity: Identity
    account: str
    workdir: str
    secret: str
    env: str


class KubernetesBinding(ABC):
    """Runtimes of one random installation, and everything that they and strangers made.

    Args:
        kubeconfig: of the cluster.
        folder: for files of the test.
    """

    slack = 25.0

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        self.api: client.ApiClient = new_client_from_config(str(kubeconfig))  # type: ignore[no-untyped-call]  # the library has no types here
        self.core = client.CoreV1Api(self.api)
        self.kubeconfig = kubeconfig
        self.folder = folder
        self.installation = uuid4().hex
        self._address = self.provisioner("default", folder)
        self._runtimes: list[KubernetesRuntime] = []

    @abstractmethod
    def kill(self, name: str) -> None:
        """End a container's process from outside, by force."""

    @abstractmethod
    def inside(self, name: str) -> Inside:
        """What a container's process finds."""

    @abstractmethod
    def can_write(self, name: str, folder: str) -> bool:
        """Whether a container's account can write in a folder; fails when the folder is not there."""

    def runtime(
        self,
        target: str = "here",
        installation: str = "ours",
        roots: tuple[str, ...] = (),
        **changes: Any,  # noqa: ANN401 - fields of the target
    ) -> KubernetesRuntime:
        whose = f"{installation}-{self.installation}"[:63]
        address = self.provisioner(changes["namespace"], self.folder) if "namespace" in changes else self._address
        return self.made(address, target, whose, roots=roots, **changes)

    def made(
        self,
        address: str,
        target: str,
        installation: str,
        roots: tuple[str, ...] = (),
        **changes: Any,  # noqa: ANN401 - fields of the target
    ) -> KubernetesRuntime:
        place = Target(
            name=target,
            runtime=Runtime.KUBERNETES,
            address=address,
            networks=("127.0.0.0/8", "10.244.0.0/16"),
            **changes,
        )
        grace = timedelta(seconds=1)
        made = KubernetesRuntime(place, grace=grace, installation=installation, facility="test", roots=roots, timeout=5)
        self._runtimes.append(made)
        return made

    def provisioner(self, namespace: str, folder: Path) -> str:
        """A kubeconfig of somebody who has in a namespace the rights of our manifest, and no others."""
        for manifest in yaml.safe_load_all(MANIFESTS.read_text()):
            if manifest["kind"] == "RoleBinding":
                manifest["subjects"][0]["namespace"] = namespace
            # a test before may have made it
            with contextlib.suppress(FailToCreateError):
                create_from_dict(self.api, manifest, namespace=namespace)  # type: ignore[no-untyped-call]  # the library has no types here
        request = {"spec": {"audiences": [], "expirationSeconds": 600}}
        answer: Any = self.core.create_namespaced_service_account_token(
            "calipso-provisioner",
            namespace,
            request,  # type: ignore[arg-type]  # a dict is taken too
            _preload_content=False,
        )
        return self.kubeconfig_of(json.loads(answer.data)["status"]["token"], folder)

    def kubeconfig_of(self, token: str, folder: Path) -> str:
        """A kubeconfig of whoever has a token."""
        given = yaml.safe_load(self.kubeconfig.read_text())
        given["users"] = [{"name": user["name"], "user": {"token": token}} for user in given["users"]]
        path = folder / f"{uuid4().hex}.kubeconfig"
        path.write_text(yaml.safe_dump(given))
        return str(path)

    def away(self) -> KubernetesRuntime:
        path = self.folder / "away.kubeconfig"
        path.write_text(json.dumps(_AWAY))
        return self.made(str(path), "nowhere", self.installation)

    def image(self, name: str, protocol: Protocol = Protocol.HTTP, *, logs_er: str = "") -> ImageSpec:
        references = {"tiny": "docker.io/calipso/tiny:1", "missing": "missing.invalid/calipso/missing:1"}
        reference = references.get(name, f"docker.io/calipso/tiny:1-{name}")
        return image(reference, protocol, logs_er=logs_er, runtime=Runtime.KUBERNETES)

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

    def strangers_object(self, kind: str, name: str) -> Callable[[], bool]:
        """Let a stranger have a `secret`, `service` or `network_policy` of this name; tells whether it is as it was."""
        bodies: dict[str, Any] = {
            "secret": {"stringData": {"a": "b"}},
            "service": {"spec": {"ports": [{"port": 80}]}},
            "network_policy": {"spec": {"podSelector": {}, "ingress": [{}]}},
        }
        api = client.NetworkingV1Api(self.api) if kind == "network_policy" else self.core
        body = {"metadata": {"name": name, "labels": {_STRANGER: self.installation}}, **bodies[kind]}
        made = getattr(api, f"create_namespaced_{kind}")("default", body)

        def is_as_it_was() -> bool:
            found = getattr(api, f"read_namespaced_{kind}")(name, "default")
            return bool(found.metadata.resource_version == made.metadata.resource_version)

        return is_as_it_was

    def hold(self, name: str, by: str | None) -> None:
        """Let somebody hold a pod by a finalizer, or nobody any more."""
        body = {"metadata": {"finalizers": [by] if by else None}}
        with contextlib.suppress(NotFoundException):
            self.core.patch_namespaced_pod(name, "default", body, _preload_content=False)

    def is_occupied(self, name: str) -> bool:
        found = self.pod(name)
        return _STRANGER in found.metadata.labels and found.status.phase == "Running"

    def pod(self, name: str) -> Any:  # noqa: ANN401 - the cluster's answer
        return self.core.read_namespaced_pod(name, "default")

    def reality(self, name: str) -> Reality:
        found, inside = self.pod(name), self.inside(name)
        limits = found.spec.containers[0].resources.limits
        told = json.dumps(self.api.sanitize_for_serialization(found))  # type: ignore[no-untyped-call]  # the library has no types here
        return Reality(
            identity=inside.identity,
            account=inside.account,
            resources=Resources(millicores=int(limits["cpu"].removesuffix("m")), memory=int(limits["memory"])),
            workdir=inside.workdir,
            secret=inside.secret,
            secret_reader=inside.identity.uid,
            told=told + self.core.read_namespaced_pod_log(name, "default") + inside.env,
        )

    def close(self) -> None:
        """Remove what was made with this binding, and nothing else."""
        for runtime in self._runtimes:
            runtime.close()
        self.api.close()  # type: ignore[no-untyped-call]  # the library has no types here
        # a test may have renewed the credentials
        self.api = new_client_from_config(str(self.kubeconfig))  # type: ignore[no-untyped-call]  # the same
        self.core = client.CoreV1Api(self.api)
        labels = [f"calipso.eu/installation={who}-{self.installation}"[:90] for who in ("ours", "theirs")]
        networking = client.NetworkingV1Api(self.api)
        for label in (*labels, f"{_STRANGER}={self.installation}"):
            for pod in self.core.list_namespaced_pod("default", label_selector=label).items:
                self.hold(str(pod.metadata.name if pod.metadata else ""), None)
            self.core.delete_collection_namespaced_pod("default", label_selector=label, grace_period_seconds=0)
            self.core.delete_collection_namespaced_secret("default", label_selector=label)
            networking.delete_collection_namespaced_network_policy("default", label_selector=label)
            # those whose pod has gone are going by themselves
            for service in self.core.list_namespaced_service("default", label_selector=label).items:
                with contextlib.suppress(NotFoundException):
                    name = service.metadata.name if service.metadata else ""
                    self.core.delete_namespaced_service(str(name), "default", _preload_content=False)
        self.api.close()  # type: ignore[no-untyped-call]  # the library has no types here


_AWAY = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "away",
    "clusters": [{"name": "away", "cluster": {"server": "https://127.0.0.1:1"}}],
    "users": [{"name": "away", "user": {"token": "none"}}],
    "contexts": [{"name": "away", "context": {"cluster": "away", "user": "away"}}],
}
