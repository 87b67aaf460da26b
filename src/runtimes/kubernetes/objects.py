"""How an order reads for a Kubernetes cluster: the pod, its secret, its service and who may reach it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from calipso.commands.volumes import is_below
from calipso.events.container import ContainerRequested
from calipso.events.naming import container_name
from calipso.events.values import ImageSpec, Volume
from calipso.runtimes.folders import script
from calipso.runtimes.kubernetes.folders import SECRET_FILE, Folders, Manifest
from calipso.runtimes.names import environment, names_for
from calipso.runtimes.protocol import Order
from calipso.runtimes.services import has_secret, service_port

_PREFIX = "calipso.eu"
_INSTALLATION, _FACILITY = f"{_PREFIX}/installation", f"{_PREFIX}/facility"
_TARGET, _CONTAINER = f"{_PREFIX}/target", f"{_PREFIX}/container"
_WITHOUT_PRIVILEGES: Mapping[str, Any] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The labels by which pods are found again."""

    installation: str
    facility: str
    target: str

    def of(self, container_id: UUID) -> dict[str, str]:
        """The labels of all that is made for one container."""
        return {
            _INSTALLATION: self.installation,
            _FACILITY: self.facility,
            _TARGET: self.target,
            _CONTAINER: str(container_id),
        }

    def selector(self) -> str:
        """The labels that everything of this installation and target has, as the cluster's lists take it."""
        return f"{_INSTALLATION}={self.installation},{_TARGET}={self.target}"

    def owned(self, labels: Mapping[str, str] | None) -> UUID | None:
        """The container that these labels belong to; None when it is not of this installation and target."""
        given = labels or {}
        if (given.get(_INSTALLATION), given.get(_TARGET)) != (self.installation, self.target):
            return None
        try:
            return UUID(given.get(_CONTAINER, ""))
        except ValueError:
            return None


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What holds for every pod of a target.

    `service` is `NodePort` or `ClusterIP`; `networks` may reach the pods; `volumes` says where folders are: `host` for
    the nodes' own, `nfs:SERVER`, or `claim:NAME:ROOT` for a claim whose top is the folder ROOT; `roots` are the folders
    below which missing ones are made, in `folder_image` or the image itself; `grace` is the time in seconds that a
    process has to end. Without `egress` pods reach nothing outside.
    """

    namespace: str
    service: str
    networks: Sequence[str]
    volumes: str
    roots: Sequence[str]
    folder_image: str
    pull_policy: str
    pull_secrets: Sequence[str]
    grace: int
    egress: bool


def service_number(image: ImageSpec) -> int:
    """The TCP port on which an image's service listens."""
    return int(service_port(image).partition("/")[0])


def pod(order: Order, labels: Labels, cluster: Cluster, known: Collection[str] = ()) -> Manifest:
    """The pod: one process, that never starts anew behind the record.

    Args:
        order: what is to be made.
        labels: whose it is.
        cluster: what holds for all pods.
        known: folders that are there, so that nobody need look before the process begins.
    """
    request, identity = order.request, order.request.identity
    folders = Folders(request=request, places=cluster.volumes, roots=cluster.roots)
    unknown = folders.below_a_top([volume for volume in request.volumes if volume.source not in known])
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _metadata(request.container_id, labels),
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": cluster.grace,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "imagePullSecrets": [{"name": name} for name in cluster.pull_secrets],
            "nodeSelector": dict(request.image.node_selector),
            "tolerations": [toleration(text) for text in request.image.tolerations],
            "securityContext": {
                "runAsUser": identity.uid,
                "runAsGroup": identity.gid,
                "supplementalGroups": list(identity.groups),
                "runAsNonRoot": True,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "volumes": folders.volumes(),
            "initContainers": [_preparing(order, cluster, folders, unknown)] if unknown else [],
            "containers": [
                {
                    "name": "main",
                    "image": request.image.reference,
                    "imagePullPolicy": cluster.pull_policy,
                    "env": [{"name": name, "value": value} for name, value in environment(order).items()],
                    "ports": [{"containerPort": service_number(request.image), "protocol": "TCP"}],
                    "resources": _resources(request),
                    "volumeMounts": folders.mounts(),
                    "securityContext": _WITHOUT_PRIVILEGES,
                    **_working_folder(request),
                }
            ],
        },
    }


def toleration(text: str) -> Manifest:
    """A toleration from the way in which kubectl writes taints.

    Args:
        text: `key`, `key=value`, or one of them with `:effect`; without an effect it bears them all.
    """
    taint, _, effect = text.partition(":")
    key, sign, value = taint.partition("=")
    wanted = {"key": key, "operator": "Equal", "value": value} if sign else {"key": key, "operator": "Exists"}
    return wanted | ({"effect": effect} if effect else {})


def secret(order: Order, labels: Labels) -> Manifest:
    """The secret that is mounted into the pod as files: the name of its account, and its password if it has one."""
    names = names_for(order.request)
    held = {SECRET_FILE: order.secret} if has_secret(order.request.image) else {}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": _metadata(order.request.container_id, labels),
        "stringData": {**held, **vars(names)},
    }


def service(order: Order, labels: Labels, cluster: Cluster, owner: Manifest) -> Manifest:
    """The address at which the pod's service is reached."""
    port = service_number(order.request.image)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(order.request.container_id, labels, owner),
        "spec": {
            "type": cluster.service,
            "selector": {_CONTAINER: str(order.request.container_id)},
            "ports": [{"port": port, "targetPort": port, "protocol": "TCP"}],
        },
    }


def network_policy(order: Order, labels: Labels, cluster: Cluster) -> Manifest:
    """Who may reach the pod: the networks of guacd and of ours, at its port alone."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(order.request.container_id, labels),
        "spec": {
            "podSelector": {"matchLabels": {_CONTAINER: str(order.request.container_id)}},
            # a listed type without rules lets nothing pass
            "policyTypes": ["Ingress"] if cluster.egress else ["Ingress", "Egress"],
            "ingress": [
                {
                    "from": [{"ipBlock": {"cidr": network}} for network in cluster.networks],
                    "ports": [{"port": service_number(order.request.image), "protocol": "TCP"}],
                }
            ],
        },
    }


def owned_by(pod_name: str, pod_uid: str) -> Manifest:
    """The reference that lets an object go when the pod goes."""
    return {"apiVersion": "v1", "kind": "Pod", "name": pod_name, "uid": pod_uid}


def _preparing(order: Order, cluster: Cluster, folders: Folders, unknown: Sequence[Volume]) -> Manifest:
    """What makes the folders that are missing, as the pod's account, before its process begins."""
    return {
        "name": "folders",
        "image": cluster.folder_image or order.request.image.reference,
        "imagePullPolicy": cluster.pull_policy,
        "command": script.command(unknown, list(folders.tops)),
        "resources": _resources(order.request),
        "volumeMounts": folders.tops_of(unknown),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": _WITHOUT_PRIVILEGES,
    }


def _metadata(container_id: UUID, labels: Labels, owner: Manifest | None = None) -> Manifest:
    owners = {"ownerReferences": [owner]} if owner else {}
    return {"name": container_name(container_id), "labels": labels.of(container_id), **owners}


def _resources(request: ContainerRequested) -> Manifest:
    wanted = request.resources
    given = {"cpu": f"{wanted.millicores}m", "memory": str(wanted.memory), "ephemeral-storage": str(wanted.disk)}
    amounts = (wanted.millicores, wanted.memory, wanted.disk)
    limits = {name: text for (name, text), amount in zip(given.items(), amounts, strict=True) if amount}
    return {"limits": limits, "requests": limits}


def _working_folder(request: ContainerRequested) -> Manifest:
    covered = any(request.workdir == v.bind or is_below(request.workdir, v.bind) for v in request.volumes)
    return {"workingDir": request.workdir} if request.workdir and covered else {}
