"""How a scheduler and a kubelet tell of a pod: the parts of its status, and events."""

from copy import deepcopy
from hashlib import sha256
from typing import Any
from uuid import uuid4

from tests.runtimes.kubernetes_double.resources import EVENTS, PODS
from tests.runtimes.kubernetes_double.status import Json
from tests.runtimes.kubernetes_double.store import Store, now

_UNREADY = {"reason": "ContainersNotReady", "message": "containers with unready status: [main]"}


def tell(store: Store, pod: Json, **status: Any) -> None:  # noqa: ANN401 - parts of a pod's status
    """Write parts of a pod's status, if it is still there."""
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    found = store.find(PODS, namespace, name)
    if found is not None and found["metadata"]["uid"] == pod["metadata"]["uid"]:
        changed = deepcopy(found)
        changed["status"] |= status
        store.replace(PODS, namespace, changed)


def warn(store: Store, pod: Json, reason: str, message: str) -> None:
    """Make a warning event about a pod."""
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    event = {
        "kind": "Event",
        "apiVersion": "v1",
        "metadata": {"name": f"{name}.{uuid4().hex[:16]}"},
        "involvedObject": {"kind": "Pod", "namespace": namespace, "name": name, "uid": pod["metadata"]["uid"]},
        "reason": reason,
        "message": message,
        "source": {"component": "kubelet", "host": "node1"},
        "firstTimestamp": now(),
        "lastTimestamp": now(),
        "count": 1,
        "type": "Warning",
    }
    store.create(EVENTS, namespace, event)


def scheduled(why_not: str = "") -> list[Json]:
    """The condition of a pod that has a node, or why it has none."""
    if why_not:
        return [_condition("PodScheduled", is_true=False, reason="Unschedulable", message=why_not)]
    return [_condition("PodScheduled", is_true=True)]


def conditions(*, ready: bool, completed: bool = False) -> list[Json]:
    """The conditions of a pod on its node."""
    why = {} if ready else {"reason": "PodCompleted"} if completed else _UNREADY
    return [
        _condition("Initialized", is_true=True),
        _condition("Ready", is_true=ready, **why),
        _condition("ContainersReady", is_true=ready, **why),
        *scheduled(),
    ]


def containers(pod: Json, state: Json, container_id: str = "") -> list[Json]:
    """The status of a pod's one container."""
    (container,) = pod["spec"]["containers"]
    image = container["image"]
    is_running = "running" in state
    made = {
        "name": container["name"],
        "state": state,
        "lastState": {},
        "ready": is_running,
        "restartCount": 0,
        "image": image,
        "imageID": f"sha256:{sha256(image.encode()).hexdigest()}" if container_id else "",
        "started": is_running,
    }
    return [{**made, "containerID": container_id} if container_id else made]


def ended(code: int, begun: str, container_id: str) -> Json:
    """The state of a container that has ended."""
    reason = "Error" if code else "Completed"
    told = {"startedAt": begun, "finishedAt": now(), "containerID": container_id}
    return {"terminated": {"exitCode": code, "reason": reason, **told}}


def _condition(kind: str, *, is_true: bool, **why: str) -> Json:
    return {"type": kind, "status": str(is_true), "lastProbeTime": None, "lastTransitionTime": now(), **why}
