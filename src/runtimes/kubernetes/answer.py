"""What a cluster says of a pod, as observations."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from calipso.events.values import FailureReason
from calipso.runtimes.protocol import Observation, Status

# the kubelet's words for what will not mend itself
_HOPELESS = {
    "ErrImageNeverPull": FailureReason.IMAGE_MISSING,
    "ImagePullBackOff": FailureReason.IMAGE_MISSING,
    "ErrImagePull": FailureReason.IMAGE_MISSING,
    "InvalidImageName": FailureReason.IMAGE_MISSING,
    "CreateContainerConfigError": FailureReason.REJECTED,
    "CreateContainerError": FailureReason.REJECTED,
    "RunContainerError": FailureReason.REJECTED,
}
_KILLED = 137
_HARMLESS = "MissingClusterDNS"
_NO_FOLDER = "hostPath type check failed"


def observed(pod: Mapping[str, Any], container_id: UUID, *, host: str, port: int) -> Observation:
    """The observation in a pod.

    Args:
        pod: as the cluster's interface gives it.
        container_id: whose it is.
        host: where its service is reached.
        port: the port there, 0 while there is none.
    """
    status, container = pod.get("status") or {}, _container(pod)
    state = container.get("state") or {}
    now = _status(status.get("phase", "Pending"), state)
    waiting = state.get("waiting") or {}
    return Observation(
        container_id=container_id,
        runtime_id=pod["metadata"]["uid"],
        name=pod["metadata"]["name"],
        status=now,
        host=host,
        port=0 if now is Status.EXITED else port,
        image_digest=container.get("imageID") or "",
        exit_code=_exit_code(state) if now is Status.EXITED else None,
        detail=_detail(status, state),
        failure=_HOPELESS.get(waiting.get("reason", "")) if now is Status.CREATED else None,
    )


def is_held_up(seen: Observation) -> bool:
    """Whether a pod has not begun, and does not say why."""
    return seen.status is Status.CREATED and not seen.detail


def with_warning(seen: Observation, warnings: Sequence[str]) -> Observation:
    """The observation with the last of the cluster's warnings about its pod, if there is one that matters."""
    told = [text[:1000] for text in warnings if not text.startswith(_HARMLESS)]
    if not told:
        return seen
    failure = FailureReason.REJECTED if _NO_FOLDER in told[-1] else None
    return replace(seen, detail=told[-1], failure=failure)


def has_ended(pod: Mapping[str, Any]) -> bool:
    """Whether the pod's process has ended, or the pod is going."""
    is_going = bool(pod["metadata"].get("deletionTimestamp"))
    return is_going or (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}


def _container(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    statuses = (pod.get("status") or {}).get("containerStatuses") or [{}]
    found: Mapping[str, Any] = statuses[0]
    return found


def _status(phase: str, state: Mapping[str, Any]) -> Status:
    # a pod counts as failed as soon as it is to be ended, while its process may still run
    if state.get("running"):
        return Status.RUNNING
    has_ended = phase in {"Succeeded", "Failed"} or bool(state.get("terminated"))
    return Status.EXITED if has_ended else Status.CREATED


def _exit_code(state: Mapping[str, Any]) -> int:
    terminated = state.get("terminated") or {}
    return int(terminated.get("exitCode", _KILLED))


def _detail(status: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    """Why the pod is as it is, in the cluster's own words."""
    terminated, waiting = state.get("terminated") or {}, state.get("waiting") or {}
    if terminated.get("reason") == "OOMKilled":
        return "out of memory"
    if status.get("reason") not in {None, "DeadlineExceeded"}:
        return _told(status)
    unscheduled = [
        condition
        for condition in status.get("conditions") or ()
        if condition["type"] == "PodScheduled" and condition["status"] == "False"
    ]
    if unscheduled:
        return _told(unscheduled[0])
    return _told(waiting) if waiting.get("reason") != "ContainerCreating" else ""


def _told(words: Mapping[str, Any]) -> str:
    return ": ".join(text for text in (words.get("reason"), words.get("message")) if text)[:1000]
