"""What a cluster does by itself: it schedules, counts, collects what nobody owns, and looks after namespaces."""

from collections.abc import Iterable
from copy import deepcopy

from tests.runtimes.kubernetes_double import telling
from tests.runtimes.kubernetes_double.kubelet import Node, Pod
from tests.runtimes.kubernetes_double.resources import ACCOUNTS, NAMESPACES, PODS, QUOTAS, SECRETS, SERVICES, Resource
from tests.runtimes.kubernetes_double.status import Json
from tests.runtimes.kubernetes_double.store import Change, Store

_LABELS = {"kubernetes.io/hostname": "node1", "kubernetes.io/os": "linux"}
_MILLICORES = 64_000
_SUFFIXES = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 10**3, "M": 10**6, "G": 10**9, "m": 0.001}
_MEMORY = 256 * 2**30


class Scheduler:
    """Gives each pod to the one node, unless it asks for more than the node has altogether; hands on what it hears."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._pods: dict[str, Pod] = {}

    def hear(self, change: Change) -> None:
        if change.resource is not PODS:
            return
        uid = change.after["metadata"]["uid"]
        if change.is_end:
            if pod := self._pods.pop(uid, None):
                pod.vanish()
        elif uid in self._pods:
            self._pods[uid].hear(change.after)
        elif change.before is None:
            self._schedule(change.after)

    def close(self) -> None:
        for pod in self._pods.values():
            pod.vanish()

    def _schedule(self, pod: Json) -> None:
        store, namespace = self._node.store, pod["metadata"]["namespace"]
        current = store.find(PODS, namespace, pod["metadata"]["name"])
        if current is None or current["metadata"]["uid"] != pod["metadata"]["uid"]:
            return
        if lacking := _lacking(pod["spec"]):
            why = f"0/1 nodes are available: {', '.join(lacking)}."
            telling.tell(store, pod, conditions=telling.scheduled(why))
            telling.warn(store, pod, "FailedScheduling", why)
            return
        placed = deepcopy(current)
        placed["spec"]["nodeName"] = "node1"
        placed["status"]["conditions"] = telling.scheduled()
        self._pods[pod["metadata"]["uid"]] = Pod(self._node, store.replace(PODS, namespace, placed))


class Collector:
    """Removes what is owned by nothing that is there."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def hear(self, change: Change) -> None:
        if change.is_end:
            gone = change.after["metadata"]["uid"]
            self._collect(found for found in self._all() if gone in owners(found[1]))
        elif owners(change.after):
            self._collect([(change.resource, change.after)])

    def _collect(self, suspects: Iterable[tuple[Resource, Json]]) -> None:
        alive = {found["metadata"]["uid"] for _, found in self._all()}
        for of, found in list(suspects):
            metadata = found["metadata"]
            is_there = metadata["uid"] in alive
            if is_there and not owners(found) & alive:
                self._store.remove(of, metadata["namespace"], metadata["name"])

    def _all(self) -> Iterable[tuple[Resource, Json]]:
        return self._store.everything()


class Keeper:
    """Gives a namespace its account, empties one that is to go, and counts for the quotas."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def hear(self, change: Change) -> None:
        if change.resource is NAMESPACES:
            self._keep(change)
        elif change.resource in {QUOTAS, PODS, SERVICES, SECRETS}:
            self._count(change.after["metadata"]["namespace"])

    def _keep(self, change: Change) -> None:
        name = change.after["metadata"]["name"]
        if change.before is None and not change.is_end:
            account = {"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default"}}
            self._store.create(ACCOUNTS, name, account)
        elif change.after["status"]["phase"] == "Terminating" and not change.is_end:
            for of, found in self._store.everything():
                if found["metadata"].get("namespace") == name:
                    self._store.remove(of, name, found["metadata"]["name"])
            self._store.remove(NAMESPACES, "", name)

    def _count(self, namespace: str) -> None:
        for quota in self._store.items(QUOTAS, namespace):
            hard = quota["spec"].get("hard", {})
            known = {of.plural: of for of in (PODS, SERVICES, SECRETS)}
            used = {name: str(len(self._store.items(known[name], namespace))) for name in hard if name in known}
            changed = {**quota, "status": {"hard": hard, "used": used}}
            self._store.replace(QUOTAS, namespace, changed)


def owners(found: Json) -> set[str]:
    """The uids of an object's owners."""
    return {owner["uid"] for owner in found["metadata"].get("ownerReferences") or ()}


def _lacking(spec: Json) -> list[str]:
    """What a pod asks for, and the node will never have."""
    requests = [container["resources"].get("requests", {}) for container in spec["containers"]]
    lacking = []
    if not (spec.get("nodeSelector") or {}).items() <= _LABELS.items():
        lacking.append("1 node(s) didn't match Pod's node affinity/selector")
    if sum(_quantity(request.get("cpu", "0")) for request in requests) * 1000 > _MILLICORES:
        lacking.append("1 Insufficient cpu")
    if sum(_quantity(request.get("memory", "0")) for request in requests) > _MEMORY:
        lacking.append("1 Insufficient memory")
    claims = [
        v["persistentVolumeClaim"]["claimName"] for v in spec.get("volumes") or () if "persistentVolumeClaim" in v
    ]
    return lacking + [f'1 persistentvolumeclaim "{name}" not found' for name in claims]


def _quantity(text: str) -> float:
    for suffix, factor in _SUFFIXES.items():
        if text.endswith(suffix):
            return float(text.removesuffix(suffix)) * factor
    return float(text)
